"""Style of the answers: punctuation, markdown and oddities, counted in one pass over the texts.

The counting is Arrow's own (RE2, linear time): no row passes through Python, and only the counts stay in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from arena.core.errors import DataError

pc: Any = compute  # its functions are made when it is imported, which type checkers cannot see

CODE = r"(?s)```.*?(?:```|\z)"
MARKDOWN = {
    "headings": r"(?m)^ {0,3}#{1,6}[ \t]",
    "bullets": r"(?m)^[ \t]*[-*+\x{2022}][ \t]+",
    "numbered": r"(?m)^[ \t]*[0-9]{1,3}[.)][ \t]+",
    "bold": r"\*\*[^*\n]+\*\*",
    "table_rows": r"(?m)^[ \t]*\|.*\|[ \t]*$",
    "links": r"\[[^\]\n]*\]\([^)\s]+\)|https?://[^\s)]+",
}
"""Counted outside fenced code, where `# note` is a comment and no heading."""
PUNCTUATION = {
    "question_marks": r"[?\x{FF1F}\x{061F}]",
    "exclamation_marks": r"[!\x{FF01}]",
    "commas": r"[,\x{FF0C}\x{3001}\x{060C}]",
    "digits": r"[0-9]",
}
FEATURES = ("code_blocks", *MARKDOWN, *PUNCTUATION, "line_breaks")
"""Names of the counts."""
REFUSAL = (
    r"(?i)^\W*(?:i['\x{2019}]?m sorry|i am sorry|sorry\b|i apologi[sz]e|my apologies|i cannot\b|i can['\x{2019}]?t\b|"
    r"i(?:['\x{2019}]m| am) (?:not able|unable|afraid)|as an ai\b|as a (?:large )?language model|unfortunately,? i\b)"
)
REFUSAL_CHARACTERS = 200


@dataclass(frozen=True)
class TextFeatures:
    """Counts for every row.

    Attributes:
        counts: for each of `FEATURES`, `[R, 2]` int64: occurrences in answers A and B, all turns together.
        empty: `[R, 2]` bool: answers without any character but blanks.
        refusal: `[R, 2]` bool: answers with a turn that opens with an English refusal or apology.
        identical: `[R]` bool: rows whose two answers are equal, turn for turn.
    """

    counts: dict[str, np.ndarray]
    empty: np.ndarray
    refusal: np.ndarray
    identical: np.ndarray


def measure(texts: Iterator[pa.RecordBatch], rows: int) -> TextFeatures:
    """Count the features of all rows, a batch at a time.

    Args:
        texts: batches with the list columns `response_a` and `response_b`, in the order of the rows.
        rows: number of rows that must come.

    Raises:
        DataError: another number of rows came.
    """
    parts = [_of_batch(batch) for batch in texts]
    number = sum(len(part.identical) for part in parts)
    if number != rows:
        raise DataError(f"the texts have {number} rows, the table {rows}")
    counts = {name: np.concatenate([part.counts[name] for part in parts]) for name in FEATURES}
    rest = ([getattr(part, name) for part in parts] for name in ("empty", "refusal", "identical"))
    return TextFeatures(counts, *map(np.concatenate, rest))


def _of_batch(batch: pa.RecordBatch) -> TextFeatures:
    rows = batch.num_rows
    counts = {name: np.zeros((rows, 2), np.int64) for name in FEATURES}
    empty, refusal = np.zeros((2, rows, 2), bool)
    joined = []
    for side, column in enumerate(("response_a", "response_b")):
        lists: Any = batch.column(column)
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        turns = pc.fill_null(pc.list_flatten(lists), "").cast(pa.string())
        parents = np.repeat(np.arange(rows), lengths)
        for name, values in count_turns(turns).items():
            np.add.at(counts[name][:, side], parents, values)
        blank = _numpy(pc.equal(pc.utf8_trim_whitespace(turns), ""))
        empty[:, side] = True
        empty[parents[~blank], side] = False
        opening = pc.utf8_slice_codeunits(turns, 0, REFUSAL_CHARACTERS)
        refusal[parents[_numpy(pc.match_substring_regex(opening, REFUSAL))], side] = True
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        answers: Any = pa.ListArray.from_arrays(offsets, turns)
        joined.append((pc.binary_join(answers, "\x1f"), lengths))
    equal = _numpy(pc.equal(joined[0][0], joined[1][0])) & (joined[0][1] == joined[1][1])
    return TextFeatures(counts, empty, refusal, equal)


def count_turns(turns: pa.Array) -> dict[str, np.ndarray]:
    """Each of `FEATURES` for each turn `[T]`; turns are not null."""
    found = {"code_blocks": (_numpy(pc.count_substring(turns, "```")) + 1) // 2}  # an open block is a block
    outside = pc.replace_substring_regex(turns, CODE, "") if found["code_blocks"].any() else turns
    found |= {name: _numpy(pc.count_substring_regex(outside, pattern)) for name, pattern in MARKDOWN.items()}
    found |= {name: _numpy(pc.count_substring_regex(turns, pattern)) for name, pattern in PUNCTUATION.items()}
    return found | {"line_breaks": _numpy(pc.count_substring(turns, "\n"))}


def _numpy(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
