"""Groups: rows that belong together and must never be divided between training and test.

Five reasons, each of which joins two rows for good: the same first prompt, the same session, the same two answers, a
first prompt that is nearly the same, and nearly the same row. "The same" is without case, blanks, zero-width characters
and Unicode form (`arena.data.split.folding`). The names of groups are made of `arena.data.split.assignment.normalise`,
which is older and never changes: by them splits are drawn.

Texts are streamed twice: once to make digests and signatures, once more those of candidates.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from arena.data.source.rows import Rows
from arena.data.split.assignment import digest_of, normalise
from arena.data.split.duplicates import UnionFind, similar_pairs
from arena.data.split.folding import fold, without_blanks
from arena.data.split.minhash import Sketches

VERSION = 4
"""Raised whenever the same rows would get other groups."""
REASONS = ("prompt", "session", "same_answer_pair", "near_prompt", "near_row")
PAIR_CHARACTERS = 200
"""Shorter answers can be the same by accident, see `PAIR_PROMPTS`."""
PAIR_PROMPTS = 8
"""Two different short answers that more prompts have ("Yes." and "No.") say nothing of the prompts. In 14,352 judged
rows no such pair that 2 to 8 prompts have was an accident: all of these prompts were variants of each other."""
ROW_CHARACTERS = 400
SAMPLE = 4
"""Of the runs of a whole row every fourth hash makes its signature: 60 of them at the least for most rows."""

AlreadyLinked = Callable[[int, int], bool]
Near = Literal["near_prompt", "near_row"]
Texts = tuple[list[str], list[str], list[str]]
"""The folded turns of prompt, answer A and answer B of a row."""


@dataclass(frozen=True)
class Groups:
    """The group of each row.

    Attributes:
        group: name of each row's group, `[R]` strings: the smallest key of its rows' first prompts
            (`arena.data.split.assignment.digest_of`), so that neither the order of the rows nor rows of other groups
            change it.
        joined: how many rows each of `REASONS` brought into another row's group, in this order: a row that two reasons
            join counts for the first. Rows = groups + the sum.
        largest: rows of the largest group. Groups of many rows come from chains of similar texts.
    """

    group: np.ndarray
    joined: dict[str, int]
    largest: int


class TextClasses:
    """Classes of rows with equal texts, numbered in the order of their first rows.

    Attributes:
        number: class of each row, `[R]` int64; -1 for none.
        first: the first row of each class.
        sketches: of each class; None without signatures.
    """

    def __init__(self, rows: int, sketches: Sketches | None) -> None:
        self.number, self.first, self.sketches = np.full(rows, -1, np.int64), array("q"), sketches
        self._known: dict[int, int] = {}

    def add(self, row: int, digest: bytes, texts: Sequence[str]) -> None:
        """Classify a row by a digest of its texts."""
        number = self._known.setdefault(_number(digest), len(self._known))
        self.number[row] = number
        if number == len(self.first):
            self.first.append(row)
            if self.sketches is not None:
                self.sketches.add(texts)


class TextIndex:
    """Classes of equal texts of R rows, made in one pass over them.

    Args:
        rows: the data.
        positions: increasing positions of the rows, `[R]`.
        sketch: make signatures too, for `similar`.

    Attributes:
        prompt: classes of equal first prompts.
        either: classes of rows with equal prompts and answers in either order; none for short rows.
        key: name of each row by its first prompt, by its answers where it has none; `[R]` 32 hexadecimal digits.
        answers: class of rows with the same two answers in either order, `[R]`; -1 for short answers that are equal,
            that more than `PAIR_PROMPTS` prompts have, or without `sketch`.
        row: class of rows with equal prompts and answers, `[R]`.
        swapped: the class that the row has when its answers are swapped, `[R]`; -1 where no row has it.
    """

    def __init__(self, rows: Rows, positions: np.ndarray, sketch: bool) -> None:
        self._rows, self._positions = rows, np.asarray(positions, dtype=np.int64)
        size = len(self._positions)
        self.prompt = TextClasses(size, Sketches() if sketch else None)
        self.either = TextClasses(size, Sketches(SAMPLE) if sketch else None)
        # Of half a million rows every object counts, so hashes are numbers.
        keys, answers, same, other, short = bytearray(), array("Q"), array("Q"), array("Q"), np.zeros(size, bool)
        for row, (texts, opening) in enumerate(self._texts(np.arange(size))):
            prompt, first, second = texts
            # A missing turn says nothing, wherever it is.
            said, a, b = (digest_of(*filter(None, map(without_blanks, text))) for text in texts)
            pair = min(a, b) + max(a, b)
            same.append(_number(said + a + b))
            other.append(_number(said + b + a))
            characters = sum(map(len, first + second))
            short[row] = characters < PAIR_CHARACTERS
            answers.append(_number(pair) if not short[row] or (any(first) and any(second) and a != b) else 0)
            if characters + sum(map(len, prompt)) >= ROW_CHARACTERS:
                self.either.add(row, said + pair, [*prompt, *first, *second])
            if prompt and prompt[0]:
                self.prompt.add(row, digest_of(without_blanks(prompt[0])), prompt[:1])
                keys += digest_of(normalise(opening))
            else:  # equal answers are all that rows without a prompt can have in common
                keys += digest_of("", "no prompt", pair.hex())
        self.key = np.frombuffer(keys.hex().encode(), dtype="S32")
        self.answers = self._same_answers(np.array(answers, np.uint64), short, sketch)
        known, self.row = np.unique(np.array(same, np.uint64), return_inverse=True)
        swapped = np.array(other, np.uint64)
        places = np.minimum(np.searchsorted(known, swapped), max(len(known) - 1, 0))
        self.swapped = np.where(known[places] == swapped, places, -1) if size else places

    def _texts(self, items: np.ndarray) -> Iterator[tuple[Texts, str | None]]:
        """The texts of some rows, increasing indices of 0 to R-1, and the first turn of each as it is written."""
        for batch in self._rows.texts(self._positions[items]):
            for turns in self._rows.example.sides(batch):
                prompt, first, second = ([fold(turn) for turn in text or []] for text in turns)
                yield (prompt, first, second), (turns[0] or [None])[0]

    def _same_answers(self, hashes: np.ndarray, short: np.ndarray, sketch: bool) -> np.ndarray:
        """See `answers`. `hashes` `[R]` has 0 where there is none."""
        hashes = hashes if sketch else np.where(short, 0, hashes)
        known, classes = np.unique(hashes, return_inverse=True)
        of_class = np.unique(np.stack([classes, self.prompt.number]), axis=1)[0]
        common = np.bincount(of_class, minlength=len(known))[classes] > PAIR_PROMPTS
        return np.where((hashes == 0) | (short & common), -1, classes)

    def similar(self, kind: Near, threshold: float, known: AlreadyLinked) -> Iterator[tuple[int, int, float]]:
        """Pairs of classes of `prompt` (or `either`) and the similarity of their first prompts (or whole rows), where
        it reaches the threshold.

        Args:
            kind: "near_prompt" or "near_row".
            threshold: the least Jaccard similarity.
            known: pairs of which this is true are left out; see `arena.data.split.duplicates.similar_pairs`.
        """
        classes = self.prompt if kind == "near_prompt" else self.either
        assert classes.sketches is not None
        first = np.array(classes.first, dtype=np.int64)

        def read(items: np.ndarray) -> Iterator[Sequence[str]]:
            for (prompt, a, b), _ in self._texts(first[items]):
                yield prompt[:1] if kind == "near_prompt" else [*prompt, *a, *b]

        yield from similar_pairs(classes.sketches, read, threshold, known)


def join_rows(rows: Rows, positions: np.ndarray, threshold: float | None) -> Groups:
    """The groups of some rows.

    Two rows are joined by

    - `prompt`: equal first prompts. A row without one is not joined by this;
    - `session`: the same session;
    - `same_answer_pair`: the same two answers in either order (a row with A and B swapped, or a copy with an edited
      prompt). With fewer than 200 characters the two must differ, at most 8 prompts have them, and `threshold` is not
      None. Without a first prompt any answers will do;
    - `near_prompt`: first prompts whose sets of runs of 5 characters have a Jaccard similarity of `threshold`;
    - `near_row`: the same for the runs of all turns of prompt and answers, in rows of 400 characters and more.

    Args:
        rows: the data.
        positions: increasing positions of the rows, `[R]`.
        threshold: the least similarity, above 0 and up to 1; None for equal texts only.
    """
    index = TextIndex(rows, positions, threshold is not None)
    sets = UnionFind(len(index.key))
    sessions = np.array([name or "" for name in rows.metadata["session"].take(positions).to_pylist()], dtype=object)
    joined: dict[str, int] = dict.fromkeys(REASONS, 0)
    joined["prompt"] = _join_equal(sets, index.prompt.number, index.prompt.number >= 0)
    joined["session"] = _join_equal(sets, sessions, sessions != "")
    joined["same_answer_pair"] = _join_equal(sets, index.answers, index.answers >= 0)
    joined["same_answer_pair"] += _join_equal(sets, index.key, index.prompt.number < 0)
    kinds: tuple[Near, ...] = ("near_prompt", "near_row")
    for kind in kinds if threshold is not None else ():
        first = (index.prompt if kind == "near_prompt" else index.either).first
        joined[kind] = _join_similar(sets, index, kind, first, threshold or 0)
    roots = sets.roots()
    # Rows sorted by key: the first row of each root has the smallest.
    order = np.argsort(index.key, kind="stable")
    _, smallest, component, sizes = np.unique(roots[order], return_index=True, return_inverse=True, return_counts=True)
    group = np.empty(len(roots), dtype="S32")
    group[order] = index.key[order][smallest][component]
    return Groups(group.astype("<U32"), joined, int(sizes.max(initial=0)))


def _number(digest: bytes) -> int:
    """64 bits of a digest: two of a million rows share them by accident with odds of 1 to 10^7. Never 0."""
    return int.from_bytes(blake2b(digest, digest_size=8).digest()) | 1


def _join_equal(sets: UnionFind, values: np.ndarray, known: np.ndarray) -> int:
    """Join rows of equal values where they are known; how many were in different groups."""
    first: dict[object, int] = {}
    pairs = zip(np.flatnonzero(known).tolist(), values[known].tolist(), strict=True)
    return sum(sets.join(first.setdefault(value, row), row) for row, value in pairs)


def _join_similar(sets: UnionFind, index: TextIndex, kind: Near, first: Sequence[int], threshold: float) -> int:
    """Join the rows `first` of similar classes; how many were in different groups."""

    def known(left: int, right: int) -> bool:
        return sets.root(first[left]) == sets.root(first[right])

    return sum(sets.join(first[left], first[right]) for left, right, _ in index.similar(kind, threshold, known))
