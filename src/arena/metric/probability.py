"""Log loss and Brier score, for hard and soft targets, and the probabilities that a model has to beat."""

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


def prior_probabilities(class_counts: Tensor, rows: int) -> Float[Tensor, "rows K"]:
    r"""Compute the class shares of the training rows for every row, $p_c = (n_c + 1) / (n + K)$, float32.

    One is added to each count (Laplace's rule), so that a class which training never saw costs log(n + K) nats where
    it occurs and not infinitely many. The log loss of these probabilities is that of a model that has learned nothing
    from the text, their accuracy that of always naming the majority.
    """
    smoothed = class_counts.double() + 1
    return (smoothed / smoothed.sum()).to(torch.float32).expand(rows, -1).clone()
