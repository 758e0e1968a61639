"""What a model sees of a comparison: one sequence, or two that it weighs against each other.

joint, verbalizer   one sequence: prompt, A, B
symmetric           two: prompt, A, B and prompt, B, A
score               two: prompt, A and prompt, B
Exchanging the answers of a row exchanges the two sequences of the last two, token for token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from arena.data.text.template import Layout
from arena.data.text.tokens import TurnTokens
from arena.data.text.truncation import Sequences, TruncationSettings, fit


@dataclass(frozen=True)
class InputViews:
    """The sequences of R rows, V for each.

    Attributes:
        parts: the sequences of each view, V of them.
        orders: whether that view shows the answers exchanged, `[V]`.
    """

    parts: Sequence[Sequences]
    orders: Sequence[bool]

    @property
    def number(self) -> int:
        """Sequences of a row, V."""
        return len(self.parts)

    @property
    def turns(self) -> TurnTokens:
        """The ids of every turn."""
        return self.parts[0].turns

    @property
    def layout(self) -> Layout:
        """The template."""
        return self.parts[0].layout

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the longest sequence of each row, `[R]` int64."""
        return reduce(np.maximum, (part.lengths for part in self.parts))

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of all sequences of each row, `[R]` int64."""
        return np.sum([part.lengths for part in self.parts], axis=0)

    @property
    def is_cut(self) -> np.ndarray:
        """Whether a row lost tokens, `[R]` bool."""
        return reduce(np.logical_or, (part.is_cut for part in self.parts))

    @property
    def invisible(self) -> np.ndarray:
        """Whether an answer of the row has tokens and none of them is kept, `[R]` bool."""
        return reduce(np.logical_or, (part.invisible for part in self.parts))

    @cached_property
    def alike(self) -> np.ndarray:
        """Whether the answers of a row differ and what is kept of them does not, `[R]` bool."""
        found = np.zeros(len(self), dtype=bool)
        for row in np.flatnonzero(self.is_cut).tolist():
            pairs = zip(self.sequences(row), self.sequences(row, swapped=True), strict=True)
            found[row] = all(np.array_equal(one, other) for one, other in pairs) and self._differ(row)
        return found

    def _differ(self, row: int) -> bool:
        """Whether the answers of a row differ before anything is cut."""
        texts = range(int(self.turns.first[row]), int(self.turns.first[row + 1]), len(self.turns.names))
        ids, starts = self.turns.ids, self.turns.offsets
        answers = ((ids[starts[t + 1] : starts[t + 2]], ids[starts[t + 2] : starts[t + 3]]) for t in texts)
        return any(not np.array_equal(one, other) for one, other in answers)

    def answer_tokens(self) -> np.ndarray:
        """Tokens of answers A and B before anything was cut, `[R, 2]` int64."""
        return self.turns.field_counts()[:, 1:]

    def __len__(self) -> int:
        return len(self.turns)

    def sequences(self, row: int, swapped: bool = False) -> list[np.ndarray]:
        """The ids of the V sequences of a row, each `[L]` int32; `swapped` with the two answers exchanged."""
        if self.number == 1:
            return [self.parts[0].row(row, swapped)]
        made = [part.row(row, order) for part, order in zip(self.parts, self.orders, strict=True)]
        return made[::-1] if swapped else made


def views(turns: TurnTokens, layout: Layout, room: TruncationSettings, formulation: str) -> InputViews:
    """The sequences of a formulation (joint, symmetric, score or verbalizer).

    Raises:
        UsageError: see `fit`.
    """
    limits = (room.max_length, room.cut, room.turns)
    if formulation == "score":
        return InputViews([fit(turns, layout, *limits, hidden=2), fit(turns, layout, *limits, hidden=1)], [False, True])
    whole = fit(turns, layout, *limits)
    return InputViews([whole, whole], [False, True]) if formulation == "symmetric" else InputViews([whole], [False])
