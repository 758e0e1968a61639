"""Scores of probabilities that torchmetrics has not: log loss and Brier score, for hard and soft targets."""

import torch
from torch import Tensor
from torchmetrics import Metric

CLIP = 1e-15
"""Probabilities below it count as it, so one row costs at most 34.5 nats and an exact 0 is not infinite. Float32 from a
softmax reaches it only for logits more than 34 apart; scikit-learn clips float32 at 1.2e-7 instead (15.9 nats)."""


def one_hot(target: Tensor, like: Tensor) -> Tensor:
    """The target as probabilities `[N, K]`: as it is, or one-hot rows of class indices `[N]`."""
    if target.is_floating_point():
        return target.to(like.dtype)
    return torch.nn.functional.one_hot(target, like.shape[-1]).to(like.dtype)


def log_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    r"""$-\sum_c t_c \log p_c$ of each row in nats, `[N]`; $p$ clipped from below at `CLIP`.

    Args:
        probabilities: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
    """
    return -(one_hot(target, probabilities) * probabilities.clamp_min(CLIP).log()).sum(dim=-1)


def brier_score(probabilities: Tensor, target: Tensor) -> Tensor:
    r"""$\sum_c (p_c - t_c)^2$ of each row, `[N]`, between 0 and 2.

    The sum over the classes, as in Brier 1950; for two classes it is twice the one-sided square that other tools call
    Brier score.

    Args:
        probabilities: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
    """
    return (probabilities - one_hot(target, probabilities)).square().sum(dim=-1)


class RowMean(Metric):
    """The mean of a score over all rows. Subclasses say what one row scores.

    Row scores are kept (4 bytes a row) and added up in float64 on the host at the end: the mean does not depend on how
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
    """Mean log loss in nats, lower is better: see `log_loss`. The cross entropy when the target is soft."""

    def rows(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Log loss of each row, `[N]` nats."""
        return log_loss(probabilities, target)


class BrierScore(RowMean):
    """Mean Brier score, lower is better, summed over the classes: see `brier_score`."""

    def rows(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Brier score of each row, `[N]`."""
        return brier_score(probabilities, target)
