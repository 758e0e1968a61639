"""Which part every group of rows goes to when each row has several labels: iterative stratification.

Joint classes (stance x sentiment x ...) would be too many and too small to share out. Instead the rarest class that is
left is shared out first, while there is still room everywhere (Sechidis, Tsoumakas and Vlahavas 2011, "On the
Stratification of Multi-label Data"); here over groups that are never cut, and with the number of rows as one more
class, so that the parts keep their sizes. Every class gets its share of each part as far as whole rows allow; a class
of one or two rows trains.

iterative-stratification on PyPI does the same for single rows only; it knows no groups and was last released in 2022.
"""

from collections.abc import Sequence

import numpy as np


def class_counts(classes: np.ndarray, groups: int, group_of_row: np.ndarray) -> np.ndarray:
    """Rows of each class of each head in each group, heads side by side, and rows in all; `[G, C + 1]` int64.

    Args:
        classes: class index of each row in each head, `[R, T]`, negative where it has none.
        groups: G.
        group_of_row: `[R]`.
    """
    columns = []
    for head in classes.T:
        counts = np.zeros((groups, int(head.max(initial=-1)) + 1), dtype=np.int64)
        np.add.at(counts, (group_of_row[head >= 0], head[head >= 0]), 1)
        columns.append(counts)
    return np.concatenate([*columns, np.bincount(group_of_row, minlength=groups)[:, None]], axis=1)


def place_jointly(counts: np.ndarray, order: np.ndarray, shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """The part of each group, `[G]` int64.

    Args:
        counts: see `class_counts`, `[G, C + 1]`.
        order: the groups in the order in which equals are taken, `[G]`.
        shares: of the rows for each part, `[P]`, with sum 1; a part with share 0 gets none.
    """
    shares = np.asarray(shares, dtype=np.float64)
    wanted = shares[:, None] * counts.sum(axis=0)
    part = np.full(len(counts), -1, dtype=np.int64)
    left = counts.sum(axis=0)
    # Large groups first: what is small fits in later.
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    while (part < 0).any():
        rarest = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for group in order[(counts[order, rarest] > 0) & (part[order] < 0)].tolist():
            need = np.where(shares > 0, wanted[:, rarest], -np.inf)
            equal = np.flatnonzero(need >= need.max() - 1e-9)
            chosen = equal[wanted[equal, -1].argmax()]
            part[group] = chosen
            wanted[chosen] -= counts[group]
            left = left - counts[group]
    return part
