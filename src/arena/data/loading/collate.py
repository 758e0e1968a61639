"""Rows of token ids to one padded batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from arena.core.types import UNLABELLED, TextBatch


class Store(Protocol):
    """Token ids of R rows with V sequences each (`arena.data.text.views`)."""

    @property
    def number(self) -> int:
        """Sequences of each row, V."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the longest sequence of each row, `[R]` int64."""
        ...

    def sequences(self, row: int, swapped: bool = False) -> list[np.ndarray]:
        """The ids of the V sequences of a row, each `[L]`, perhaps with the two answers exchanged."""
        ...


class Sized(Protocol):
    """Something with a length for each of R rows."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, `[R]` int64."""
        ...


class Batches(Protocol):
    """What a loader asks of whatever makes its batches: a dataclass with a field `epoch`, which the loader sets."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def store(self) -> Sized:
        """Token ids of all R rows."""
        ...

    @property
    def weight(self) -> np.ndarray:
        """Weight of each row, `[R]`."""
        ...

    def __call__(self, positions: np.ndarray) -> Any:
        """The batch of the rows at these positions."""
        ...


@dataclass(frozen=True)
class Collate:
    """Rows to a batch, padded on the right. Position p of R rows or more is row p - R with its answers exchanged.

    Attributes:
        store: token ids of all R rows of the table.
        target: class index of each row, `[R]` int64, `UNLABELLED` where unknown; or class probabilities `[R, K]`; or
            class indices of several heads, `[R, T]` int64.
        weight: weight of each row, `[R]` float32.
        pad: the id of padding.
        multiple: lengths are rounded up to a multiple of this, for kernels that like round numbers.
        answer_tokens: tokens of answers A and B, `[R, 2]` int64, for models that ask for them.
        mirror: class k is class `mirror[k]` after the exchange, `[K]`; needed only for exchanged rows.
        teacher: another model's class probabilities, `[R, K]` float32, NaN where it was not asked.
        offset: another model's log probabilities, which are added to the logits, `[R, K]` float32.
        copies: how often each row is in a batch (`TextBatch.copies`).
        augment: (ids of a sequence, row, epoch) -> other ids, see `arena.data.loading.augment`.
        epoch: set by the loader.
    """

    store: Store
    target: np.ndarray
    weight: np.ndarray
    pad: int
    multiple: int = 1
    answer_tokens: np.ndarray | None = None
    mirror: np.ndarray | None = None
    teacher: np.ndarray | None = None
    offset: np.ndarray | None = None
    copies: int = 1
    augment: Callable[[np.ndarray, int, int], np.ndarray] | None = None
    epoch: int = 0

    def __call__(self, positions: np.ndarray) -> TextBatch:
        """The batch of the rows at these positions, in this order."""
        swapped, rows = np.divmod(np.tile(positions, self.copies), len(self.weight))
        made = [self.store.sequences(row, bool(other)) for row, other in zip(rows, swapped, strict=True)]
        arrays = [views[number] for number in range(self.store.number) for views in made]
        if self.augment is not None:
            names = np.tile(rows, self.store.number).tolist()
            arrays = [self.augment(ids, row, self.epoch) for ids, row in zip(arrays, names, strict=True)]
        lengths = np.array([len(array) for array in arrays])
        longest = -(-int(lengths.max()) // self.multiple) * self.multiple
        attention_mask = np.arange(longest) < lengths[:, None]
        input_ids = np.full(attention_mask.shape, self.pad, dtype=np.int64)
        input_ids[attention_mask] = np.concatenate(arrays)
        target = self._seen(self.target, rows, swapped > 0)
        told = [None if a is None else self._seen(a, rows, swapped > 0) for a in (self.teacher, self.offset)]
        teacher, offset = (None if each is None else torch.from_numpy(each) for each in told)
        known = _has_label(target)
        return TextBatch(
            input_ids=torch.from_numpy(input_ids),
            attention_mask=torch.from_numpy(attention_mask.astype(np.int64)),
            target=torch.from_numpy(target),
            weight=torch.from_numpy(np.where(known, self.weight[rows], 0).astype(np.float32)),
            row=torch.from_numpy(rows.astype(np.int64)),
            supervised=int(known.sum()),
            answer_tokens=self._answer_tokens(rows, swapped > 0),
            teacher=teacher,
            offset=offset,
            copies=self.copies,
        )

    def _answer_tokens(self, rows: np.ndarray, swapped: np.ndarray) -> torch.Tensor | None:
        if self.answer_tokens is None:
            return None
        counts = self.answer_tokens[rows]
        return torch.from_numpy(np.where(swapped[:, None], counts[:, ::-1], counts))

    def _seen(self, told: np.ndarray, rows: np.ndarray, swapped: np.ndarray) -> np.ndarray:
        """What is told of these rows, in the order of the answers in which they are served."""
        target = told[rows]
        if not swapped.any():
            return target
        assert self.mirror is not None, "exchanged rows need a mirror of the classes"
        if target.ndim == 2:
            return np.where(swapped[:, None], target[:, self.mirror], target)
        mirrored = np.where(target == UNLABELLED, UNLABELLED, self.mirror[np.maximum(target, 0)])
        return np.where(swapped, mirrored, target)


def _has_label(target: np.ndarray) -> np.ndarray:
    """Whether a row has a target at all, `[N]` bool."""
    if target.dtype.kind == "f":
        return np.ones(len(target), dtype=bool)
    known = target != UNLABELLED
    return known if target.ndim == 1 else known.any(axis=1)
