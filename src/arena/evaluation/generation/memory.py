"""Batches that fit: padding, and what to do with one that does not."""

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence


def left_padded(sequences: list[np.ndarray], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask `[N, P]` int64, padded on the left, so that every sequence goes on at the same place."""
    ids = [torch.from_numpy(each) for each in sequences]
    mask = pad_sequence([torch.ones_like(each) for each in ids], batch_first=True, padding_side="left")
    return pad_sequence(ids, batch_first=True, padding_value=pad, padding_side="left"), mask


def pieces(batch: np.ndarray, halvings: int) -> list[np.ndarray]:
    """The batch cut in halves so many times, the first half never the smaller one."""
    found = [batch]
    for _ in range(halvings):
        found = [half for one in found for half in np.split(one, [(len(one) + 1) // 2]) if len(half)]
    return found
