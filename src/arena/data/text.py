"""From a table of comparisons to token sequences: join the turns, tokenise, share out the room, assemble.

A row becomes `prefix + template + suffix`. Where that is longer than `max_length`, every field keeps its first `c`
tokens, with the largest `c` for which the row fits (water filling). The rule does not ask which field is which, so
swapping the two answers swaps what is kept of them, and neither is ever favoured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Formatter

import numpy as np
import pyarrow as pa

from arena.data.tokenizer import Tokenizer
from arena.errors import UsageError

FIELDS = ("prompt", "response_a", "response_b")
TEMPLATE = "{prompt}{separator}{response_a}{separator}{response_b}"
MISSING = "(no answer)"
ROWS_AT_ONCE = 4096
Piece = str | np.ndarray
"""One part of a template: the name of a field, or token ids that are the same in every row."""


@dataclass(frozen=True)
class TokenStore:
    """The token ids of R rows, end to end.

    Attributes:
        ids: all ids, `[T]` int32.
        offsets: row r is `ids[offsets[r]:offsets[r + 1]]`, `[R + 1]` int64.
        needed: tokens that each row would take if nothing were cut, `[R]` int64.
    """

    ids: np.ndarray
    offsets: np.ndarray
    needed: np.ndarray

    def __len__(self) -> int:
        return len(self.needed)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row as stored, `[R]` int64."""
        return np.diff(self.offsets)

    @property
    def cut(self) -> np.ndarray:
        """Whether a row lost tokens, `[R]` bool."""
        return self.needed > self.lengths


def encode_table(
    table: pa.Table, tokenizer: Tokenizer, template: str = TEMPLATE, max_length: int = 512, missing_text: str = MISSING
) -> TokenStore:
    """Tokenise every row of a table with the columns `FIELDS`.

    Args:
        table: see `arena.data.pairs.SCHEMA`.
        tokenizer: gives ids and the special ids around and between the fields.
        template: text with `{prompt}`, `{response_a}`, `{response_b}` once each and `{separator}` as often as wanted.
        max_length: tokens of a whole row, special ids included.
        missing_text: stands for a missing turn, and for an answer without turns.

    Raises:
        UsageError: the template is wrong, or `max_length` leaves no room beside it.
    """
    pieces = parse_template(template, tokenizer)
    budget = room(pieces, max_length)
    ids, lengths, needed = [np.empty(0, np.int32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        rows = table.slice(start, ROWS_AT_ONCE)
        fields = {name: tokenizer.encode(join_turns(rows[name].to_pylist(), missing_text, name)) for name in FIELDS}
        counts = np.array([[len(tokens) for tokens in fields[name]] for name in FIELDS], dtype=np.int64).T
        caps = fair_caps(counts, budget)
        ids.extend(_assemble(pieces, fields, caps.tolist()))
        overhead = max_length - budget
        lengths.append(np.minimum(counts, caps[:, None]).sum(axis=1) + overhead)
        needed.append(counts.sum(axis=1) + overhead)
    offsets = np.concatenate([[0], np.concatenate(lengths).cumsum()]).astype(np.int64)
    return TokenStore(np.concatenate(ids), offsets, np.concatenate(needed))


def parse_template(template: str, tokenizer: Tokenizer) -> list[Piece]:
    """The parts of a whole row in order, from prefix to suffix.

    Raises:
        UsageError: an unknown placeholder, or a field that does not occur exactly once.
    """
    usage = "data.template needs {prompt}, {response_a}, {response_b} once each; {separator} is optional"
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"{usage} ({error}; write a brace in the text as two)") from error
    pieces: list[Piece] = [np.array(tokenizer.prefix, np.int32)]
    for text, name, form, conversion in parts:
        if text:
            pieces.append(tokenizer.encode([text])[0].astype(np.int32))
        if name is None:
            continue
        if name not in (*FIELDS, "separator") or form or conversion:
            raise UsageError(f"{usage}; found {{{name}{'!' + conversion if conversion else ''}{form and ':' + form}}}")
        pieces.append(np.array(tokenizer.separator, np.int32) if name == "separator" else name)
    pieces.append(np.array(tokenizer.suffix, np.int32))
    for name in FIELDS:
        found = sum(isinstance(piece, str) and piece == name for piece in pieces)
        if found != 1:
            raise UsageError(f"{usage}; found {{{name}}} {found} times")
    return pieces


def room(pieces: Sequence[Piece], max_length: int) -> int:
    """Tokens that `max_length` leaves for the fields: at least one each, or a `UsageError`."""
    fixed = sum(len(piece) for piece in pieces if not isinstance(piece, str))
    if max_length - fixed < len(FIELDS):
        raise UsageError(
            f"data.max_length={max_length} is too small: data.template takes {fixed} tokens by itself; "
            f"give {fixed + len(FIELDS)} or more"
        )
    return max_length - fixed


def join_turns(rows: Sequence[Sequence[str | None]], missing_text: str, field: str = "") -> list[str]:
    """The turns of each row as one text, a line break between them."""
    empty = "" if field == "prompt" else missing_text  # no turns at all: nothing was asked, or nobody answered
    return ["\n".join(missing_text if turn is None else turn for turn in turns) if turns else empty for turns in rows]


def fair_caps(lengths: np.ndarray, budget: int) -> np.ndarray:
    """The largest `c` of each row with `sum_f min(lengths[r, f], c) <= budget`; the longest field where all fit.

    Args:
        lengths: tokens of each field, `[R, F]`.
        budget: tokens for all fields of a row.
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


def _assemble(pieces: Sequence[Piece], fields: dict[str, list[np.ndarray]], caps: list[int]) -> Iterator[np.ndarray]:
    for row, cap in enumerate(caps):
        for piece in pieces:
            yield fields[piece][row][:cap] if isinstance(piece, str) else piece
