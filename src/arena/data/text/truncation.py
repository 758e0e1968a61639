"""From turns in token ids to one sequence a row: share out the token budget, truncate, put together.

Where a row is longer than `max_length`, its texts share the budget by water filling: each keeps at most `c` tokens,
with the largest `c` that fits. The rule does not ask which text is which, so swapping the two answers swaps what
is kept of them, and an answer that has text is never invisible after the other one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count
from arena.data.source.examples import PAIR
from arena.data.text.template import Layout
from arena.data.text.tokens import TurnTokens

SMALLEST_ROUND = 32
"""Tokens of budget below which an earlier turn is left out rather than cut to a stump."""
STRAIGHT = {name: position for position, name in enumerate(PAIR.texts)} | {"response": 1}
SWAPPED = {"prompt": 0, "response_a": 2, "response_b": 1, "response": 2}
"""The text of a turn of a comparison for each field of the template; the field "response" of a template for one answer
is A or B."""


@dataclass(frozen=True)
class TruncationSettings:
    """How long a row may be and what goes where it is longer: the node `data.truncation`.

    Attributes:
        max_length: tokens of a row at most, special ids included.
        cut: the part that a text loses which is too long.
        turns: where several turns do not fit, "last" gives the budget to the last turn, what is left to the one before
            it, and leaves out turns without budget; "all" shares it among all texts of all turns, and leaves turns out
            only where there is not one token for each text.
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
        kept_from: the first turn of each row that is kept, `[R]` int64.
        needed: tokens that each row would take without truncation, `[R]` int64.
        lengths: tokens of each row as it is, `[R]` int64.
        cut: the end of a text that is lost where it is too long.
        masked_field: index of the text of each turn that the layout does not show; None for none.
    """

    turns: TurnTokens
    layout: Layout
    keep: np.ndarray
    kept_from: np.ndarray
    needed: np.ndarray
    lengths: np.ndarray
    cut: Literal["tail", "head", "middle"]
    masked_field: int | None = None

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def is_cut(self) -> np.ndarray:
        """Tell whether a row lost tokens, `[R]` bool."""
        return self.needed > self.lengths

    @property
    def invisible(self) -> np.ndarray:
        """Tell whether an answer of the row that the layout shows has tokens and none of them is kept, `[R]` bool."""
        had = self.turns.field_counts()[:, 1:] > 0
        if self.masked_field is not None:
            had[:, self.masked_field - 1] = False
        kept = self.turns.by_field(self.keep)[:, 1:] > 0
        return np.asarray((had & ~kept).any(axis=1))

    def row(self, row: int, swapped: bool = False) -> np.ndarray:
        """The ids of one row, `[L]` int32; `swapped` with the two answers swapped."""
        fields = {name: position for position, name in enumerate(self.turns.names)}
        if self.turns.names == PAIR.texts:
            fields = SWAPPED if swapped else STRAIGHT
        size = len(self.turns.names)
        start = int(self.turns.first[row]) + size * int(self.kept_from[row])
        return np.concatenate(list(self._pieces(range(start, int(self.turns.first[row + 1]), size), fields)))

    def _pieces(self, turns: range, fields: dict[str, int]) -> Iterator[np.ndarray]:
        """The parts of a row, given the first text of each turn."""
        for piece in self.layout.whole:
            if not isinstance(piece, str):
                yield piece
                continue
            for number, text in enumerate(turns):
                if number:
                    yield self.layout.between
                for part in (self.layout.round or ()) if piece == "rounds" else (piece,):
                    yield self._text(text + fields[part]) if isinstance(part, str) else part

    def _text(self, text: int) -> np.ndarray:
        start, stop = self.turns.offsets[text], self.turns.offsets[text + 1]
        kept = self.keep[text]
        if kept >= stop - start:
            return self.turns.ids[start:stop]
        front = {"tail": kept, "head": 0, "middle": (kept + 1) // 2}[self.cut]
        return np.concatenate([self.turns.ids[start : start + front], self.turns.ids[stop - (kept - front) : stop]])


def truncate(
    turns: TurnTokens, layout: Layout, settings: TruncationSettings, masked_field: int | None = None
) -> Sequences:
    """Decide what every row keeps; see `TruncationSettings` and, for `masked_field`, `Sequences`.

    Raises:
        UsageError: `max_length` leaves less than one token for each text of a one-turn row.
    """
    fields, fixed, max_length = len(turns.names), layout.base + layout.per_turn, settings.max_length
    if max_length - fixed < fields:
        raise UsageError(
            f"data.max_length={max_length} is too small: data.template takes {fixed} tokens by itself; "
            f"give {fixed + fields} or more"
        )
    counts, number = turns.counts, turns.turns
    if masked_field is not None:
        counts[masked_field::fields] = 0
    keep, kept_from = counts.copy(), np.zeros(len(turns), np.int64)
    needed = _lengths(counts, turns, layout, number)
    over = np.flatnonzero(needed > max_length)
    share = _last_first if settings.turns == "last" else _all_turns
    for several in np.unique(number[over]).tolist():
        rows = over[number[over] == several]
        texts = turns.first[rows][:, None] + np.arange(fields * several)
        kept, kept_from[rows] = share(counts[texts].reshape(-1, several, fields), layout, max_length)
        keep[texts] = kept.reshape(len(rows), -1)
    lengths = _lengths(keep, turns, layout, number - kept_from)
    return Sequences(turns, layout, keep, kept_from, needed, lengths, settings.cut, masked_field)


def _lengths(keep: np.ndarray, turns: TurnTokens, layout: Layout, number: np.ndarray) -> np.ndarray:
    """Tokens of rows of which `number` turns are kept, `[R]` int64."""
    texts = np.add.reduceat(keep, turns.first[:-1]) if len(turns) else np.empty(0, np.int64)
    return texts + layout.base + layout.per_turn * number


def _last_first(counts: np.ndarray, layout: Layout, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens kept of each text of rows of T turns, `[R, T, F]` like `counts`, and the first turn kept, `[R]`."""
    rows, number, _ = counts.shape
    keep, first = np.zeros_like(counts), np.zeros(rows, np.int64)
    left, going = np.full(rows, max_length - layout.base), np.ones(rows, dtype=bool)
    for turn in range(number - 1, -1, -1):
        here = counts[:, turn]
        whole = here.sum(axis=1)
        budget = left - layout.per_turn
        if turn < number - 1:
            full = going & (budget < np.minimum(whole, SMALLEST_ROUND))
            first[full] = turn + 1
            going &= ~full
        caps = fair_token_budget(here, np.maximum(budget, 0))
        keep[:, turn] = np.where(going[:, None], np.minimum(here, caps[:, None]), 0)
        used = keep[:, turn].sum(axis=1)
        left = budget - used
        cut = going & (used < whole)
        first[cut] = turn
        going &= ~cut
    return keep, first


def _all_turns(counts: np.ndarray, layout: Layout, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with one budget for all texts of all turns."""
    rows, number, fields = counts.shape
    kept = number
    while kept > 1 and max_length - layout.base - layout.per_turn * kept < fields * kept:
        kept -= 1
    first = number - kept
    budget = max_length - layout.base - layout.per_turn * kept
    keep = np.zeros_like(counts)
    caps = fair_token_budget(counts[:, first:].reshape(rows, -1), budget)
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


def truncation_table(
    turns: TurnTokens, layout: Layout, limits: Sequence[int], settings: TruncationSettings
) -> list[dict[str, Any]]:
    """The cost of each limit of length.

    Returns:
        For each limit: `max_length`; `share_cut`, the share of rows that lose tokens; `share_answer_invisible`, of rows
        with an answer of which nothing is left; `share_b_invisible_right_cut`, the same for answer B if the row were
        simply truncated at its right end, as most tokenisers do; `kept_tokens_share`, tokens kept over tokens needed.
    """
    found = []
    fields = turns.field_counts()
    before_b = fields[:, 0] + fields[:, 1] + layout.base  # the template's words after B are few
    for limit in limits:
        made = truncate(turns, layout, replace(settings, max_length=limit))
        shares = {
            "share_cut": made.is_cut,
            "share_answer_invisible": made.invisible,
            "share_b_invisible_right_cut": (before_b >= limit) & (fields[:, 2] > 0),
        }
        found.append(
            {"max_length": limit}
            | {name: float(values.mean()) if len(values) else 0.0 for name, values in shares.items()}
            | {"kept_tokens_share": float(made.lengths.sum() / max(1, made.needed.sum()))}
        )
    return found
