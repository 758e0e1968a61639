"""Curves of a classifier, as rows for a table.

Shape legend: N rows, K classes.
"""

import numpy as np
import torch
from torchmetrics.functional.classification import binary_precision_recall_curve

POINTS = 100
"""Points of a curve at most."""


def precision_recall(probabilities: np.ndarray, true: np.ndarray, points: int = POINTS) -> list[tuple[float, float]]:
    """Recall and precision of one class at every threshold, recall rising; thinned to `points` of equal distance.

    Rows of one probability are taken together. Empty where there is no row of the class.

    Args:
        probabilities: of the class, `[N]`.
        true: whether it is the class, `[N]` bool.
        points: how many remain at most.
    """
    if not true.any():
        return []
    pair = torch.from_numpy(probabilities), torch.from_numpy(true.astype(np.int64))
    precision, recall, _ = (each.numpy()[::-1][1:] for each in binary_precision_recall_curve(*pair))
    if len(recall) > points:
        kept = np.unique(np.linspace(0, len(recall) - 1, points).round().astype(int))
        recall, precision = recall[kept], precision[kept]
    return list(zip(recall.tolist(), precision.tolist(), strict=True))


def worst_and_random(loss: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """Positions of rows to look at: half with the largest loss, largest first, then others by lot, in order.

    Args:
        loss: of each row, `[N]`; NaN where it has none.
        samples: how many at most.
        seed: of the lot.
    """
    order = np.argsort(-np.where(np.isnan(loss), -np.inf, loss), kind="stable")
    worst, rest = order[: samples // 2], order[samples // 2 :]
    some = np.random.default_rng(seed).choice(rest, min(samples - len(worst), len(rest)), replace=False)
    return np.concatenate([worst, np.sort(some)])
