"""Batches that fit: padding, and what to do with one that does not."""

import numpy as np
import torch


def left_padded(sequences: list[np.ndarray], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask `[N, P]` int64, padded on the left, so that every sequence goes on at the same place."""
    width = max(map(len, sequences))
    ids, mask = np.full((len(sequences), width), pad, dtype=np.int64), np.zeros((len(sequences), width), dtype=np.int64)
    for i, sequence in enumerate(sequences):
        ids[i, width - len(sequence) :] = sequence
        mask[i, width - len(sequence) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def pieces(batch: np.ndarray, halvings: int) -> list[np.ndarray]:
    """The batch cut in halves so many times, the first half never the smaller one."""
    found = [batch]
    for _ in range(halvings):
        found = [half for one in found for half in np.split(one, [(len(one) + 1) // 2]) if len(half)]
    return found
