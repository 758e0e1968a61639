"""Several short sequences in one long one, so that little of a batch is padding."""

import numpy as np

from arena.core.errors import UsageError


def first_fit_decreasing(lengths: np.ndarray, room: int) -> list[list[int]]:
    """Bins of indices whose lengths sum to `room` at most: each length, the longest first, goes into the first bin
    that has room for it (Johnson 1973: at most 11/9 of the best number of bins, and 6/9 more).

    Args:
        lengths: of the sequences, `[N]`, each at most `room`.
        room: of a bin.

    Returns:
        The bins; each index is in one, and the indices of a bin increase.
    """
    order = np.argsort(-lengths, kind="stable")
    left = np.full(len(lengths), room, np.int64)
    bins: list[list[int]] = []
    for index in order.tolist():
        place = int(np.argmax(left >= lengths[index]))
        if place >= len(bins):
            bins.append([])
        left[place] -= lengths[index]
        bins[place].append(index)
    return [sorted(each) for each in bins]


def check_packing(packing: bool, batch_size: int) -> bool:
    """Whether to pack. Raises a `UsageError` where a batch has nothing to pack with."""
    if packing and batch_size < 2:
        raise UsageError("data.packing=true packs the pairs of one batch; data.batch_size=1 leaves nothing to pack")
    return packing
