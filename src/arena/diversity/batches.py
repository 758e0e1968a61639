"""Batches that fit into memory: one that does not is tried again in halves."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from arena.core.errors import OUT_OF_MEMORY, OutOfMemoryError

log = logging.getLogger("arena")


def halving(function: Callable[[list[int]], np.ndarray], order: list[int], batch_size: int, found: np.ndarray) -> int:
    """Fill `found[order]` batch by batch; one that does not fit into memory is tried again at half the size.

    `function` gives the values of some rows. Returns the batch size that fitted; an `OutOfMemoryError` where a row does
    not.
    """
    start = 0
    while start < len(order):
        rows = order[start : start + batch_size]
        values = attempt(function, rows)
        if values is not None:
            found[rows] = values
            start += len(rows)
        elif len(rows) == 1:
            raise OutOfMemoryError(
                "sentence encoder: out of memory for a single text; lower its max_length, or device=cpu"
            )
        else:
            batch_size = (len(rows) + 1) // 2
            log.warning("sentence encoder: out of memory; going on with batches of %d texts", batch_size)
    return batch_size


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; None where memory did not suffice. Apart from its callers, as an exception that is still at hand
    keeps the tensors alive that it was raised among."""
    import torch

    try:
        return function(*arguments)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
