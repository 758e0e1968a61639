"""Pairs of prompt and reply to one padded batch, several pairs packed into a sequence on request."""

from dataclasses import dataclass

import numpy as np
import torch

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, ReplyBatch
from arena.data.loading.collate import Collate
from arena.data.text.reply_tokens import ReplyTokens


@dataclass(frozen=True)
class ReplyCollate:
    """Rows to a batch, padded on the right.

    Attributes:
        store: token ids of all R rows of the table.
        weight: weight of each row, `[R]` float32.
        pad: the id of padding.
        packed_length: tokens of a sequence that holds several pairs; None for one pair a sequence.
        prompts: batches have the prompts by themselves too, padded on the left.
        epoch: set by the loader; nothing here depends on it.
    """

    store: ReplyTokens
    weight: np.ndarray
    pad: int
    packed_length: int | None = None
    prompts: bool = False
    epoch: int = 0

    def __call__(self, positions: np.ndarray) -> ReplyBatch:
        """The batch of the rows at these positions, pair i being that of `positions[i]`."""
        rows = np.asarray(positions, dtype=np.int64)
        prompts = [self.store.prompt(row) for row in rows.tolist()]
        ids = [np.concatenate([p, self.store.reply(row)]) for p, row in zip(prompts, rows.tolist(), strict=True)]
        masks = [self.store.loss_mask(row) for row in rows.tolist()]
        sizes = np.array([len(each) for each in ids], np.int64)
        length = self.packed_length
        bins = [[i] for i in range(len(rows))] if length is None else first_fit_decreasing(sizes, length)
        order = np.array([i for each in bins for i in each], np.int64)
        filled = np.array([sizes[each].sum() for each in bins], np.int64)
        there = np.arange(int(filled.max())) < filled[:, None]

        def laid(values: np.ndarray, empty: int) -> torch.Tensor:
            """Values of all tokens in the order of the bins as a padded tensor, `[B, L]`."""
            made = np.full(there.shape, empty, dtype=np.int64)
            made[there] = values
            return torch.from_numpy(made)

        tokens, mask = (np.concatenate([parts[i] for i in order.tolist()]) for parts in (ids, masks))
        sizes = sizes[order]
        return ReplyBatch(
            input_ids=laid(tokens, self.pad),
            attention_mask=torch.from_numpy(there.astype(np.int64)),
            position_ids=laid(np.arange(len(tokens)) - np.repeat(sizes.cumsum() - sizes, sizes), 0),
            segment=laid(np.repeat(order, sizes), -1),
            target=laid(np.where(mask, tokens, UNLABELLED), UNLABELLED),
            weight=torch.from_numpy(self.weight[rows]),
            row=torch.from_numpy(rows),
            supervised=int(mask.sum()),
            packed=length is not None,
            prompts=left_padded(prompts, self.pad) if self.prompts else None,
        )


Batches = Collate | ReplyCollate
"""Rows -> batch, for a loader."""


def left_padded(arrays: list[np.ndarray], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of N sequences that all end in the last column, `[N, P]` int64 each."""
    lengths = np.array([len(array) for array in arrays])
    longest = int(lengths.max())
    there = np.arange(longest) >= longest - lengths[:, None]
    ids = np.full(there.shape, pad, dtype=np.int64)
    ids[there] = np.concatenate(arrays)
    return torch.from_numpy(ids), torch.from_numpy(there.astype(np.int64))


def first_fit_decreasing(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Bins of indices whose lengths sum to `capacity` at most: each length, the longest first, goes into the first bin
    that has room for it (Johnson 1973: at most 11/9 of the best number of bins, and 6/9 more).

    Args:
        lengths: of the sequences, `[N]`, each at most `capacity`.
        capacity: of a bin.

    Returns:
        The bins; each index is in one, and the indices of a bin increase.
    """
    left = np.full(len(lengths), capacity, np.int64)
    bins: list[list[int]] = []
    for index in np.argsort(-lengths, kind="stable").tolist():
        place = int(np.argmax(left >= lengths[index]))
        if place >= len(bins):
            bins.append([])
        left[place] -= lengths[index]
        bins[place].append(index)
    return [sorted(each) for each in bins]


def check_packing(packing: bool, batch_size: int) -> bool:
    """`packing` itself; a `UsageError` where a batch has nothing to pack with."""
    if packing and batch_size < 2:
        raise UsageError("data.packing=true packs the pairs of one batch; data.batch_size=1 leaves nothing to pack")
    return packing
