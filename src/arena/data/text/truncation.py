"""From turns in token ids to one sequence a row: share out the room, cut, put together.

Where a row is longer than `max_length`, its texts share the room by water filling: each keeps at most `c` tokens,
with the largest `c` that fits. The rule does not ask which text is which, so exchanging the two answers exchanges what
is kept of them, and an answer that has text is never invisible behind the other one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count
from arena.data.source.examples import PAIR
from arena.data.text.template import Layout
from arena.data.text.tokens import TurnTokens

Cut = Literal["tail", "head", "middle"]
Turns = Literal["last", "all"]
SMALLEST_ROUND = 32
"""Tokens of room below which an earlier turn is left out rather than cut to a stump."""
STRAIGHT = {name: position for position, name in enumerate(PAIR.texts)} | {"response": 1}
SWAPPED = {"prompt": 0, "response_a": 2, "response_b": 1, "response": 2}
"""Which text of a turn of a comparison a field of the template is; the field "response" of a template for one answer is
A or B."""


@dataclass(frozen=True)
class TruncationSettings:
    """How long a row may be and what goes where it is longer: the node `data.truncation`; see `fit`.

    Attributes:
        max_length: tokens of a row at most.
        cut: what a text that is too long loses.
        turns: who has the room first where several turns do not fit.
    """

    max_length: Count = 512
    cut: Literal["tail", "head", "middle"] = "tail"
    turns: Literal["last", "all"] = "last"


@dataclass(frozen=True)
class Sequences:
    """The token sequences of R rows, put together when asked for.

    Attributes:
        turns: the ids of every turn.
        layout: the template.
        keep: tokens kept of each text, `[X]` int64.
        kept_from: the first turn of each row that is shown, `[R]` int64.
        needed: tokens that each row would take if nothing were cut, `[R]` int64.
        lengths: tokens of each row as it is, `[R]` int64.
        cut: which end of a text that is too long is lost.
        hidden: the text of each turn that is not shown: 2 where only answer A is, 1 where only B is; None for none.
    """

    turns: TurnTokens
    layout: Layout
    keep: np.ndarray
    kept_from: np.ndarray
    needed: np.ndarray
    lengths: np.ndarray
    cut: Cut
    hidden: int | None = None

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def is_cut(self) -> np.ndarray:
        """Whether a row lost tokens, `[R]` bool."""
        return self.needed > self.lengths

    @property
    def invisible(self) -> np.ndarray:
        """Whether an answer of the row that is to be shown has tokens and none of them is kept, `[R]` bool."""
        had = self.turns.field_counts()[:, 1:] > 0
        if self.hidden is not None:
            had[:, self.hidden - 1] = False
        kept = self.turns.by_field(self.keep)[:, 1:] > 0
        return np.asarray((had & ~kept).any(axis=1))

    def row(self, row: int, swapped: bool = False) -> np.ndarray:
        """The ids of one row, `[L]` int32; `swapped` with the two answers exchanged."""
        order, fields = self._order(swapped), len(self.turns.names)
        start = int(self.turns.first[row]) + fields * int(self.kept_from[row])
        shown = range(start, int(self.turns.first[row + 1]), fields)
        parts: list[np.ndarray] = []
        for piece in self.layout.whole:
            if not isinstance(piece, str):
                parts.append(piece)
            elif piece == "rounds":
                parts.extend(self._rounds(shown, order))
            else:
                parts.extend(self._joined(shown, order[piece]))
        return np.concatenate(parts)

    def _order(self, swapped: bool) -> dict[str, int]:
        if self.turns.names == PAIR.texts:
            return SWAPPED if swapped else STRAIGHT
        return {name: position for position, name in enumerate(self.turns.names)}

    def _rounds(self, shown: range, order: dict[str, int]) -> Iterator[np.ndarray]:
        assert self.layout.round is not None
        for number, text in enumerate(shown):
            if number:
                yield self.layout.between
            for piece in self.layout.round:
                yield self._text(text + order[piece]) if isinstance(piece, str) else piece

    def _joined(self, shown: range, field: int) -> Iterator[np.ndarray]:
        for number, text in enumerate(shown):
            if number:
                yield self.layout.between
            yield self._text(text + field)

    def _text(self, text: int) -> np.ndarray:
        start, stop = self.turns.offsets[text], self.turns.offsets[text + 1]
        room = self.keep[text]
        if room >= stop - start:
            return self.turns.ids[start:stop]
        if self.cut == "tail":
            return self.turns.ids[start : start + room]
        if self.cut == "head":
            return self.turns.ids[stop - room : stop]
        front = (room + 1) // 2
        ends = self.turns.ids[start : start + front], self.turns.ids[stop - (room - front) : stop]
        return np.concatenate(ends)


def fit(
    turns: TurnTokens,
    layout: Layout,
    max_length: int = 512,
    cut: Cut = "tail",
    order: Turns = "last",
    hidden: int | None = None,
) -> Sequences:
    """Decide what every row keeps.

    Args:
        turns: the ids of every turn.
        layout: the template.
        max_length: tokens of a whole row, special ids included.
        cut: what a text that is too long loses: its "tail", its "head", or its "middle".
        order: who comes first where several turns do not fit. "last": the room goes to the last turn, what is left to
            the one before it, and turns without room are left out. "all": all texts of all turns share the room;
            turns are left out only where there is not one token for each text.
        hidden: the text of each turn that the layout does not show, see `Sequences`.

    Raises:
        UsageError: `max_length` leaves less than one token for each text of a one-turn row.
    """
    fields = len(turns.names)
    room = max_length - layout.base - layout.per_turn
    if room < fields:
        fixed = layout.base + layout.per_turn
        raise UsageError(
            f"data.max_length={max_length} is too small: data.template takes {fixed} tokens by itself; "
            f"give {fixed + fields} or more"
        )
    counts, number = turns.counts, turns.turns
    if hidden is not None:
        counts[hidden::fields] = 0
    needed = np.add.reduceat(counts, turns.first[:-1]) if len(turns) else np.empty(0, np.int64)
    needed = needed + layout.base + layout.per_turn * number
    keep, kept_from = counts.copy(), np.zeros(len(turns), np.int64)
    over = np.flatnonzero(needed > max_length)
    single = over[number[over] == 1]
    if len(single):
        texts = turns.first[single][:, None] + np.arange(fields)
        keep[texts] = np.minimum(counts[texts], fair_token_budget(counts[texts], room)[:, None])
    share = _last_first if order == "last" else _all_turns
    for several in np.unique(number[over]).tolist():
        rows = over[number[over] == several]
        if several == 1:
            continue
        texts = turns.first[rows][:, None] + np.arange(fields * several)
        kept, kept_from[rows] = share(counts[texts].reshape(-1, several, fields), layout, max_length)
        keep[texts] = kept.reshape(len(rows), -1)
    lengths = np.add.reduceat(keep, turns.first[:-1]) if len(turns) else np.empty(0, np.int64)
    lengths = lengths + layout.base + layout.per_turn * (number - kept_from)
    return Sequences(turns, layout, keep, kept_from, needed, lengths, cut, hidden)


def _last_first(counts: np.ndarray, layout: Layout, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """What rows of T turns keep of each text, `[R, T, F]` like `counts`, and the first turn each shows, `[R]`."""
    rows, number, _ = counts.shape
    keep, first = np.zeros_like(counts), np.zeros(rows, np.int64)
    left, going = np.full(rows, max_length - layout.base), np.ones(rows, dtype=bool)
    for turn in range(number - 1, -1, -1):
        here = counts[:, turn]
        whole = here.sum(axis=1)
        room = left - layout.per_turn
        if turn < number - 1:
            full = going & (room < np.minimum(whole, SMALLEST_ROUND))
            first[full] = turn + 1
            going &= ~full
        keep[:, turn] = np.where(
            going[:, None], np.minimum(here, fair_token_budget(here, np.maximum(room, 0))[:, None]), 0
        )
        used = keep[:, turn].sum(axis=1)
        left = room - used
        cut = going & (used < whole)
        first[cut] = turn
        going &= ~cut
    return keep, first


def _all_turns(counts: np.ndarray, layout: Layout, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_last_first`; all texts of all turns share the room."""
    rows, number, fields = counts.shape
    shown = number
    while shown > 1 and max_length - layout.base - layout.per_turn * shown < fields * shown:
        shown -= 1
    first = number - shown
    room = max_length - layout.base - layout.per_turn * shown
    keep = np.zeros_like(counts)
    caps = fair_token_budget(counts[:, first:].reshape(rows, -1), room)
    keep[:, first:] = np.minimum(counts[:, first:], caps[:, None, None])
    return keep, np.full(rows, first)


def fair_token_budget(lengths: np.ndarray, budget: int | np.ndarray) -> np.ndarray:
    """The largest `c` of each row with `sum_f min(lengths[r, f], c) <= budget`; the longest field where all fit.

    Args:
        lengths: tokens of each field, `[R, F]`.
        budget: tokens for all fields of a row, one number or `[R]`.
    """
    ordered = np.sort(lengths, axis=1)
    caps = ordered[:, -1].copy()
    fields = lengths.shape[1]
    kept = np.zeros(len(lengths), dtype=np.int64)  # tokens of the fields that are short enough to stay whole
    undecided = lengths.sum(axis=1) > budget
    for whole in range(fields):
        share = (budget - kept) // (fields - whole)
        here = undecided & (share < ordered[:, whole])
        caps[here] = share[here]
        undecided &= ~here
        kept += ordered[:, whole]
    return caps


def truncation(turns: TurnTokens, layout: Layout, limits: Sequence[int], cut: Cut, order: Turns) -> list[dict]:
    """What each limit of length would cost.

    Returns:
        For each limit: `max_length`; `share_cut`, the share of rows that lose tokens; `share_answer_invisible`, of rows
        with an answer of which nothing is left; `share_b_invisible_right_cut`, the same for answer B if the row were
        simply cut at its right end, as most tokenisers do; `kept_tokens_share`, tokens kept over tokens needed.
    """
    found = []
    fields = turns.field_counts()
    before_b = fields[:, 0] + fields[:, 1] + layout.base  # the template's words behind B are few
    for limit in limits:
        made = fit(turns, layout, limit, cut, order)
        found.append(
            {
                "max_length": limit,
                "share_cut": _mean(made.is_cut),
                "share_answer_invisible": _mean(made.invisible),
                "share_b_invisible_right_cut": _mean((before_b >= limit) & (fields[:, 2] > 0)),
                "kept_tokens_share": float(made.lengths.sum() / max(1, made.needed.sum())),
            }
        )
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
