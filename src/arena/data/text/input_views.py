"""Input views of a comparison: one sequence, or two that a model weighs against each other.

joint, verbalizer   one sequence: prompt, A, B
symmetric           two: prompt, A, B and prompt, B, A
score               two: prompt, A and prompt, B
Swapping the answers of a row swaps the two sequences of the last two, token for token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from arena.data.text.template import Layout
from arena.data.text.tokens import TurnTokens
from arena.data.text.truncation import Sequences, TruncationSettings, truncate


@dataclass(frozen=True)
class InputViews:
    """The sequences of R rows, V for each.

    Attributes:
        sequences: of each view, V of them.
        swapped: views that show the answers swapped, `[V]`.
    """

    sequences: Sequence[Sequences]
    swapped: Sequence[bool]

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def number(self) -> int:
        """Sequences of a row, V."""
        return len(self.sequences)

    @property
    def turns(self) -> TurnTokens:
        """The ids of every turn."""
        return self.sequences[0].turns

    @property
    def layout(self) -> Layout:
        """The template."""
        return self.sequences[0].layout

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the longest sequence of each row, `[R]` int64."""
        return reduce(np.maximum, (each.lengths for each in self.sequences))

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of all sequences of each row, `[R]` int64."""
        return np.sum([each.lengths for each in self.sequences], axis=0)

    @property
    def is_cut(self) -> np.ndarray:
        """Tell whether a row lost tokens, `[R]` bool."""
        return reduce(np.logical_or, (each.is_cut for each in self.sequences))

    @property
    def invisible(self) -> np.ndarray:
        """Tell whether an answer of the row has tokens and none of them is kept, `[R]` bool."""
        return reduce(np.logical_or, (each.invisible for each in self.sequences))

    @cached_property
    def alike(self) -> np.ndarray:
        """Tell whether the answers of a row differ and what is kept of them does not, `[R]` bool."""
        found = np.zeros(len(self), dtype=bool)
        for row in np.flatnonzero(self.is_cut).tolist():
            pairs = zip(self.row(row), self.row(row, swapped=True), strict=True)
            found[row] = all(np.array_equal(one, other) for one, other in pairs) and self._differ(row)
        return found

    def _differ(self, row: int) -> bool:
        texts = range(int(self.turns.first[row]), int(self.turns.first[row + 1]), len(self.turns.names))
        ids, starts = self.turns.ids, self.turns.offsets
        answers = ((ids[starts[t + 1] : starts[t + 2]], ids[starts[t + 2] : starts[t + 3]]) for t in texts)
        return any(not np.array_equal(one, other) for one, other in answers)

    def answer_tokens(self) -> np.ndarray:
        """Tokens of answers A and B before truncation, `[R, 2]` int64."""
        return self.turns.field_counts()[:, 1:]

    def row(self, row: int, swapped: bool = False) -> list[np.ndarray]:
        """The ids of the V sequences of a row, each `[L]` int32; `swapped` with the two answers swapped."""
        if self.number == 1:
            return [self.sequences[0].row(row, swapped)]
        made = [each.row(row, order) for each, order in zip(self.sequences, self.swapped, strict=True)]
        return made[::-1] if swapped else made


def views(turns: TurnTokens, layout: Layout, settings: TruncationSettings, formulation: str) -> InputViews:
    """The sequences of a formulation (joint, symmetric, score or verbalizer); raises as `truncate`."""
    if formulation == "score":
        without_b, without_a = (truncate(turns, layout, settings, masked_field) for masked_field in (2, 1))
        return InputViews([without_b, without_a], [False, True])
    whole = truncate(turns, layout, settings)
    return InputViews([whole, whole], [False, True]) if formulation == "symmetric" else InputViews([whole], [False])
