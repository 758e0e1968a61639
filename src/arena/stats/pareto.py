"""The Pareto front: the points that no other point beats."""

from collections.abc import Sequence

import numpy as np


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Mark the points `[N, M]` that no other one dominates: at least as good in every value (larger is better) and
    better in one. Equal points are on the front together. A point with NaN neither dominates nor is dominated."""
    if not len(points):
        return []
    values = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
    at_least, above = values[None] >= values[:, None], values[None] > values[:, None]
    dominated = np.all(at_least, axis=2) & np.any(above, axis=2)
    return [not each for each in np.any(dominated, axis=1)]
