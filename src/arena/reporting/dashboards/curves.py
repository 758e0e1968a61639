"""Curves of a classifier, as rows for a table.

Shape legend: N rows, K classes.
"""

import numpy as np

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
    positive = int(true.sum())
    if not positive:
        return []
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(true[order])
    last = np.append(np.diff(probabilities[order]) != 0, True)
    recall, precision = hits[last] / positive, hits[last] / (np.flatnonzero(last) + 1)
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
