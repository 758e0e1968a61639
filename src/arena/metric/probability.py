"""Means of row scores that torchmetrics has not: log loss and Brier score, for hard and soft targets."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from arena.core.shapes import Float, Target
from arena.stats import scores


class RowMean(Metric):
    """Mean of a score over all rows, in float64 on the host: how the rows were cut into batches does not matter."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    score: ClassVar[Callable[..., np.ndarray]]
    """Score of rows, `[N]`; see `arena.stats.scores`."""
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def rows(self, probabilities: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Score each row, float64."""
        exact = target.double() if target.is_floating_point() else target  # NumPy has no bfloat16
        return torch.from_numpy(type(self).score(probabilities.double().cpu().numpy(), exact.cpu().numpy()))

    def update(self, probabilities: Float[Tensor, "N K"], target: Target) -> None:
        """Add rows."""
        self.scores.append(self.rows(probabilities, target).detach())

    def compute(self) -> Float[Tensor, ""]:
        """Compute the mean over all rows; NaN without rows."""
        # A list of batches, or one tensor where torchmetrics has gathered those of several processes.
        batches = [self.scores] if isinstance(self.scores, Tensor) else self.scores
        return torch.cat([torch.empty(0), *(scores.cpu() for scores in batches)]).double().mean()


class LogLoss(RowMean):
    """Mean log loss in nats, lower is better; the cross entropy when the target is soft."""

    score = staticmethod(scores.log_loss)


class BrierScore(RowMean):
    """Mean Brier score, lower is better, summed over the classes."""

    score = staticmethod(scores.brier_score)
