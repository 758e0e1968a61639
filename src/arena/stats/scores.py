"""Scores of single rows: log loss and Brier score of probabilities, for hard and soft targets.

Shape legend: N rows, K classes, T heads. Probabilities are `[N, K]`; targets are class indices `[N]` or probabilities
`[N, K]`; of several heads class indices `[N, T]`, negative where a row has no label of a head.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arena.stats.intervals import quotient

Array = NDArray[np.float64]

CLIP = 1e-15
"""Probabilities below it count as it, so one row costs at most 34.5 nats and an exact 0 is not infinite. Float32 from a
softmax reaches it only for logits more than 34 apart; scikit-learn clips float32 at 1.2e-7 instead (15.9 nats)."""


def logarithm(probabilities: ArrayLike) -> Array:
    """Compute the logarithm of probabilities in float64, clipped from below at `CLIP`."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), CLIP))


def log_loss(probabilities: ArrayLike, target: ArrayLike) -> Array:
    r"""Compute the log loss of each row in nats, $-\sum_c t_c \log p_c$, `[N]`; $p$ clipped from below at `CLIP`."""
    target, logarithms = np.asarray(target), logarithm(probabilities)
    if target.ndim == 1:
        return -logarithms[np.arange(len(target)), target]
    return -(target * logarithms).sum(axis=1)


def brier_score(probabilities: ArrayLike, target: ArrayLike) -> Array:
    r"""Compute the Brier score of each row, $\sum_c (p_c - t_c)^2$, `[N]`, between 0 and 2.

    The sum over the classes, as in Brier 1950; for two classes it is twice the one-sided square of other tools.
    """
    probabilities, target = np.asarray(probabilities, dtype=np.float64), np.asarray(target)
    if target.ndim == 1:
        target = np.eye(probabilities.shape[1])[target]
    return ((probabilities - target) ** 2).sum(axis=1)


def label_log_losses(parts: Sequence[ArrayLike], target: NDArray[np.int64]) -> Array:
    """Compute the log loss of each label in nats, `[N, T]`, from the probabilities of each head; NaN without one."""
    losses = [log_loss(part, np.maximum(target[:, t], 0)) for t, part in enumerate(parts)]
    return np.where(target >= 0, np.stack(losses, axis=1), np.nan)


def label_hits(parts: Sequence[ArrayLike], target: NDArray[np.int64]) -> Array:
    """Return 1 where a label is the most probable class of its head, else 0, `[N, T]`; NaN without a label."""
    guess = np.stack([np.asarray(part).argmax(axis=1) for part in parts], axis=1)
    return np.where(target >= 0, (guess == target).astype(np.float64), np.nan)


def exact_match(hits: Array) -> NDArray[np.bool_]:
    """Mark the rows all of whose labels are right, `[N]`, from `label_hits`."""
    return (hits != 0).all(axis=1)


def head_means(values: Array) -> Array:
    """Average each column of values of labels `[N, T]` over the rows that have that label, `[T]`; NaN without any."""
    known = np.isfinite(values)
    return quotient(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))


def mean_over_heads(values: Array) -> float:
    """Average values of labels `[N, T]` within each head, then over the heads with labels, each counting the same."""
    means = head_means(values)
    return float(means[np.isfinite(means)].mean()) if np.isfinite(means).any() else math.nan


def row_means(losses: Array, target: NDArray[np.int64]) -> Array:
    """Average the losses of labels `[N, T]` over the labels that each row has, `[N]`; NaN for a row without any."""
    known = target >= 0
    return quotient(np.where(known, losses, 0).sum(axis=1), known.sum(axis=1))
