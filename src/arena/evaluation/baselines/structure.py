"""Length, format, completeness and overlap of prompt and answers as numbers.

Features are `Sided`: signed ones change their sign when the answers are swapped, even ones stay.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows
from arena.evaluation.baselines.words import word_counts

pc: Any = compute  # its functions are made when it is imported, which type checkers cannot see
log = logging.getLogger("arena")

COUNTS = {
    "words": r"\S+",
    "sentences": r"[.!?\x{3002}\x{FF01}\x{FF1F}]+(?:\s|$)|[\x{3002}\x{FF01}\x{FF1F}]",
    "line_breaks": r"\n",
    "paragraphs": r"\n[ \t]*\n",
    "code_fences": r"```",
    "inline_code": r"`[^`\n]+`",
    "headings": r"(?m)^ {0,3}#{1,6}[ \t]",
    "bullets": r"(?m)^[ \t]*[-*+\x{2022}][ \t]+",
    "numbered": r"(?m)^[ \t]*[0-9]{1,3}[.)][ \t]+",
    "bold": r"\*\*[^*\n]+\*\*",
    "table_rows": r"(?m)^[ \t]*\|.*\|[ \t]*$",
    "links": r"https?://[^\s)]+",
    "question_marks": r"[?\x{FF1F}]",
    "exclamation_marks": r"[!\x{FF01}]",
    "commas": r"[,\x{FF0C}\x{3001}]",
    "colons": r"[:\x{FF1A}]",
    "digits": r"[0-9]",
    "capitals": r"\p{Lu}",
    "quotes": r"[\"\x{201C}\x{201D}\x{300C}\x{300D}]",
    "parentheses": r"[(\x{FF08}]",
    "other_scripts": r"[^\x00-\x7F]",
    "first_person": r"(?i)\b(?:i|my|me)\b",
    "hedges": r"(?i)\b(?:maybe|perhaps|however|might|possibly|it depends)\b",
}
"""Counted in every text with RE2, without a Python loop over rows."""
FLAGS = {
    "empty": r"^\s*$",
    "refusal": (
        r"(?i)^\W*(?:i['\x{2019}]?m sorry|i am sorry|sorry\b|i apologi[sz]e|my apologies|i cannot\b|"
        r"i can['\x{2019}]?t\b|i(?:['\x{2019}]m| am) (?:not able|unable|afraid)|as an ai\b|"
        r"as a (?:large )?language model|unfortunately,? i\b)|^\s*(?:申し訳|すみません|抱歉|对不起)"
    ),
    "eager": r"(?i)^\W*(?:sure|certainly|of course|absolutely|great question)\b",
    "speaks_of_itself": r"(?i)\bas an ai\b|language model",
    "finished": r"[.!?\x{3002}\x{FF01}\x{FF1F})`\"*:\]]\s*$",
    "code": r"```",
}
SHARES = ("capitals", "digits", "other_scripts", "line_breaks", "commas")
"""Counts that are also divided by the characters."""
PROGRESS_ROWS = 10_000
"""Rows between two lines of progress."""


class Sided(NamedTuple):
    """Features of N rows: `signed` `[N, S]` and `even` `[N, E]`."""

    signed: Any
    even: Any


def of_lengths(rows: Rows, positions: np.ndarray) -> Sided:
    """Features of the lengths of the answers alone, from the stored facts: no text is read."""
    names = ("response_a_characters", "response_b_characters")
    a, b = (rows.metadata[name].to_numpy().astype(np.float64)[positions] for name in names)
    ratio = np.log1p(a) - np.log1p(b)
    signed = np.stack([ratio, np.tanh(ratio), np.clip((a - b) / 1000, -10, 10)], axis=1)
    both = np.log1p(a) + np.log1p(b)
    return Sided(signed, np.column_stack([np.abs(signed), both, both**2 / 10, a == b]))


def of_texts(rows: Rows, positions: np.ndarray) -> Sided:
    """Features of lengths, format and overlap of prompt and answers; the texts are read once."""
    parts = [_of_texts([[], [], []]), *map(_of_texts, chunks(rows, positions, "structure of %d of %d rows"))]
    signed, even = (np.concatenate(part) for part in zip(*parts, strict=True))
    turns = np.log(np.maximum(rows.metadata["turns"].to_numpy()[positions], 1)).astype(np.float64)
    lengths = of_lengths(rows, positions)
    context = np.column_stack([turns, even[:, :4]])
    crossed = [lengths.signed[:, :1] * context, lengths.signed[:, 1:2] * context]
    signed = np.concatenate([lengths.signed, signed, *crossed], axis=1)
    return Sided(signed, np.column_stack([turns, even, lengths.even]))


def chunks(rows: Rows, positions: np.ndarray, progress: str) -> Iterator[list[list[str]]]:
    """Yield prompts, answers A and answers B of a thousand rows at a time, all turns as one text each, and log
    progress."""
    done = 0
    for batch in rows.texts(positions):
        columns = (batch[name].to_pylist() for name in PAIR.texts)
        yield [["\n".join(turn or "" for turn in turns or []) for turns in column] for column in columns]
        done += batch.num_rows
        if done // PROGRESS_ROWS != (done - batch.num_rows) // PROGRESS_ROWS:
            log.info(progress, done, len(positions))


def _of_texts(texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Signed and even features of prompts, answers A and answers B; the first four even ones describe the prompt."""
    prompt, a, b = (_text_features(column) for column in texts)
    of_a, of_b, both = overlap(texts)
    names = ["characters", *COUNTS, *(f"{name}_share" for name in SHARES), *FLAGS]
    first = [names.index(name) for name in ("characters", "code", "other_scripts_share", "question_marks")]
    script = names.index("other_scripts_share")  # an answer in another script than the prompt's
    strange = np.abs(a[:, script] - prompt[:, script]) - np.abs(b[:, script] - prompt[:, script])
    a, b = np.concatenate([a, of_a[:, :2]], axis=1), np.concatenate([b, of_b[:, :2]], axis=1)
    signed = np.column_stack([a - b, strange, of_a[:, 2] - of_b[:, 2]])
    equal = np.array([x == y for x, y in zip(texts[1], texts[2], strict=True)], np.float64)
    rest = np.delete(prompt, first, axis=1)
    return signed, np.column_stack([prompt[:, first], rest, np.abs(signed), (a + b) / 2, both, equal])


def _text_features(texts: list[str]) -> np.ndarray:
    """Logarithms of counts, shares of characters, and flags of each text, `[T, D]`."""
    column = pa.array(texts, pa.string())
    size = pc.utf8_length(column).to_numpy().astype(np.float64)
    counts = {name: _number(pc.count_substring_regex(column, pattern)) for name, pattern in COUNTS.items()}
    shares = [counts[name] / np.maximum(size, 1) for name in SHARES]
    flags = [_number(pc.match_substring_regex(column, pattern)) for pattern in FLAGS.values()]
    return np.stack([np.log1p(size), *map(np.log1p, counts.values()), *shares, *flags], axis=1)


def overlap(texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute how far prompt and answers share their words.

    Returns for answer A and for answer B `[T, 3]`: the share of its distinct words that the prompt has, its distinct
    words per word, and the share of the prompt's words that it has. Of both `[T, 3]`: words that they share over those
    of either, over those of the shorter, and the cosine of their counts.
    """
    counts: list[Any] = [word_counts(column) for column in texts]
    prompt, a, b = (matrix.sign() for matrix in counts)
    kinds = [_sums(matrix) for matrix in (prompt, a, b)]
    sides = []
    for matrix, present, number in zip(counts[1:], (a, b), kinds[1:], strict=True):
        shared = _sums(present.multiply(prompt))
        words, asked = np.maximum(_sums(matrix), 1), np.maximum(kinds[0], 1)
        sides.append(np.stack([shared / np.maximum(number, 1), number / words, shared / asked], axis=1))
    shared = _sums(a.multiply(b))
    norms = [np.sqrt(_sums(matrix.multiply(matrix))) for matrix in counts[1:]]
    both = [
        shared / np.maximum(kinds[1] + kinds[2] - shared, 1),
        shared / np.maximum(np.minimum(kinds[1], kinds[2]), 1),
        _sums(counts[1].multiply(counts[2])) / np.maximum(norms[0] * norms[1], 1),
    ]
    return *sides, np.stack(both, axis=1)


def _sums(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64)


def _number(values: Any) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(np.float64)
