"""Rows of token ids to one padded batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from arena.core.types import UNLABELLED, TextBatch
from arena.data.text.input_views import InputViews


@dataclass(frozen=True)
class Collate:
    """Rows to a batch, padded on the right. Position p of R rows or more is row p - R with its answers swapped.

    Attributes:
        store: token ids of all R rows of the table.
        target: class index of each row, `[R]` int64, `UNLABELLED` where unknown; or class probabilities `[R, K]`; or
            class indices of several heads, `[R, T]` int64.
        weight: weight of each row, `[R]` float32.
        pad: the id of padding.
        answer_tokens: tokens of answers A and B, `[R, 2]` int64, for models that ask for them.
        swap_permutation: class k is class `swap_permutation[k]` after the swap, `[K]`; needed only for swapped rows.
        teacher: another model's class probabilities, `[R, K]` float32, NaN where it was not asked.
        offset: another model's log probabilities, which are added to the logits, `[R, K]` float32.
        copies: how often each row is in a batch (`TextBatch.copies`).
        augment: (ids of a sequence, row, epoch) -> other ids, see `arena.data.loading.augment`.
        epoch: set by the loader.
    """

    store: InputViews
    target: np.ndarray
    weight: np.ndarray
    pad: int
    answer_tokens: np.ndarray | None = None
    swap_permutation: np.ndarray | None = None
    teacher: np.ndarray | None = None
    offset: np.ndarray | None = None
    copies: int = 1
    augment: Callable[[np.ndarray, int, int], np.ndarray] | None = None
    epoch: int = 0

    def __call__(self, positions: np.ndarray) -> TextBatch:
        """The batch of the rows at these positions, in this order."""
        order, rows = np.divmod(np.tile(positions, self.copies), len(self.weight))
        swapped = order > 0
        made = [self.store.row(row, bool(other)) for row, other in zip(rows, swapped, strict=True)]
        arrays = [views[number] for number in range(self.store.number) for views in made]
        if self.augment is not None:
            names = np.tile(rows, self.store.number).tolist()
            arrays = [self.augment(ids, row, self.epoch) for ids, row in zip(arrays, names, strict=True)]
        lengths = np.array([len(array) for array in arrays])
        attention_mask = np.arange(int(lengths.max())) < lengths[:, None]
        input_ids = np.full(attention_mask.shape, self.pad, dtype=np.int64)
        input_ids[attention_mask] = np.concatenate(arrays)
        target = self._in_order(self.target, rows, swapped)
        known = np.ones(len(target), dtype=bool) if target.dtype.kind == "f" else target != UNLABELLED
        known = known.any(axis=1) if known.ndim == 2 else known
        answer_tokens = None
        if self.answer_tokens is not None:
            counts = self.answer_tokens[rows]
            answer_tokens = torch.from_numpy(np.where(swapped[:, None], counts[:, ::-1], counts))
        return TextBatch(
            input_ids=torch.from_numpy(input_ids),
            attention_mask=torch.from_numpy(attention_mask.astype(np.int64)),
            target=torch.from_numpy(target),
            weight=torch.from_numpy(np.where(known, self.weight[rows], 0).astype(np.float32)),
            row=torch.from_numpy(rows.astype(np.int64)),
            supervised=int(known.sum()),
            answer_tokens=answer_tokens,
            teacher=self._probabilities(self.teacher, rows, swapped),
            offset=self._probabilities(self.offset, rows, swapped),
            copies=self.copies,
        )

    def _probabilities(self, values: np.ndarray | None, rows: np.ndarray, swapped: np.ndarray) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(self._in_order(values, rows, swapped))

    def _in_order(self, values: np.ndarray, rows: np.ndarray, swapped: np.ndarray) -> np.ndarray:
        """Classes or probabilities of these rows in the order of their answers in the batch."""
        found = values[rows]
        if not swapped.any():
            return found
        assert self.swap_permutation is not None, "swapped rows need a permutation of the classes"
        if found.ndim == 2:
            return np.where(swapped[:, None], found[:, self.swap_permutation], found)
        other = np.where(found == UNLABELLED, UNLABELLED, self.swap_permutation[np.maximum(found, 0)])
        return np.where(swapped, other, found)
