"""Means of scores of single rows that torchmetrics has not: log loss and Brier score, for hard and soft targets."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from arena.stats import scores


class RowMean(Metric):
    """The mean of a score over all rows. Subclasses say what one row scores.

    Row scores are kept (8 bytes a row) and added up in float64 on the host at the end: the mean does not depend on how
    the rows were cut into batches, and devices without float64 can hold the state.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")

    def rows(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Score of each row, `[N]`."""
        raise NotImplementedError

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add rows: probabilities `[N, K]`, and class indices `[N]` or probabilities `[N, K]`."""
        self.scores.append(self.rows(probabilities, target).detach())

    def compute(self) -> Tensor:
        """The mean over all rows, float64; NaN without rows."""
        # A list of batches, or one tensor where torchmetrics has gathered those of several processes.
        batches = [self.scores] if isinstance(self.scores, Tensor) else self.scores
        return torch.cat([torch.empty(0), *(scores.cpu() for scores in batches)]).double().mean()


class LogLoss(RowMean):
    """Mean log loss in nats, lower is better: see `arena.stats.scores`. The cross entropy when the target is soft."""

    def rows(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Log loss of each row, `[N]` nats."""
        return _on_host(scores.log_loss, probabilities, target)


class BrierScore(RowMean):
    """Mean Brier score, lower is better, summed over the classes: see `arena.stats.scores`."""

    def rows(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Brier score of each row, `[N]`."""
        return _on_host(scores.brier_score, probabilities, target)


def _on_host(score: Callable[..., np.ndarray], probabilities: Tensor, target: Tensor) -> Tensor:
    """Score rows in float64 on the host: `compute` runs there, when the rows of a whole split are in."""
    exact = target.double() if target.is_floating_point() else target  # NumPy has no bfloat16
    return torch.from_numpy(score(probabilities.double().cpu().numpy(), exact.cpu().numpy()))
