"""Which rows belong together and must never be divided between training and test.

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

import numpy as np

from arena.data.source.rows import Rows
from arena.data.split.assignment import digest_of, normalise
from arena.data.split.duplicates import UnionFind, similar_pairs
from arena.data.split.folding import fold, without_blanks
from arena.data.split.minhash import Sketches

VERSION = 3
"""Raised whenever the same rows would get other groups."""
REASONS = ("prompt", "session", "twin", "near_prompt", "near_row")
TWIN_CHARACTERS = 200
"""Shorter answers can be the same by accident, see `TWIN_PROMPTS`."""
TWIN_PROMPTS = 8
"""Two different short answers that more prompts have ("Yes." and "No.") say nothing of the prompts. In 14,352 judged
rows no such pair that 2 to 8 prompts have was an accident: all of these prompts were variants of each other."""
ROW_CHARACTERS = 400
SAMPLE = 4
"""Of the runs of a whole row every fourth hash makes its signature: 60 of them at the least for most rows."""

AlreadyLinked = Callable[[int, int], bool]
PairSearch = Callable[[float, AlreadyLinked], Iterator[tuple[int, int, float]]]


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


class TextIndex:
    """What one pass over the texts tells of some rows. The classes of `prompt` and `either` are numbered in the order
    of their first rows.

    Args:
        rows: the data.
        positions: which rows, increasing, `[R]`.
        sketch: whether to make signatures too.

    Attributes:
        prompt: class of equal first prompts, `[R]` int64; -1 where there is none.
        key: name of each row by its first prompt, by its answers where it has none; `[R]` 32 hexadecimal digits.
        answers: class of rows with the same two answers in either order, `[R]`; -1 for short answers that are equal,
            that more than `TWIN_PROMPTS` prompts have, or without `sketch`.
        row: class of rows with equal prompts and answers, `[R]`.
        exchanged: the class that the row has when its answers are exchanged, `[R]`; -1 where no row has it.
        either: class of rows with equal prompts and answers in either order, `[R]`; -1 for short rows.
        prompt_first: a row of each class of prompts, and of `either` in `either_first`.
        prompt_sketches: of each class of `prompt`; None without `sketch`, as is `either_sketches`.
    """

    def __init__(self, rows: Rows, positions: np.ndarray, sketch: bool) -> None:
        self._rows, self._positions = rows, np.asarray(positions, dtype=np.int64)
        self.prompt_sketches = Sketches() if sketch else None
        self.either_sketches = Sketches(SAMPLE) if sketch else None
        self.prompt_first: list[int] = []
        self.either_first: list[int] = []
        size = len(self._positions)
        self.prompt, self.either = (np.full(size, -1, np.int64) for _ in range(2))
        keys, hashes = bytearray(), {name: array("Q") for name in ("answers", "row", "exchanged")}
        self._short = bytearray(size)
        classes: dict[str, dict[int, int]] = {"prompt": {}, "either": {}}
        for row, turns in enumerate(self._turns(np.arange(size))):
            keys += self._add(row, turns, classes, hashes)
        self.key = np.frombuffer(keys.hex().encode(), dtype="S32")
        found = {name: np.array(values, np.uint64) for name, values in hashes.items()}
        self.answers = self._twins(found["answers"])
        known, self.row = np.unique(found["row"], return_inverse=True)
        places = np.minimum(np.searchsorted(known, found["exchanged"]), max(len(known) - 1, 0))
        self.exchanged = np.where(known[places] == found["exchanged"], places, -1) if size else places

    def _turns(self, items: np.ndarray) -> Iterator[tuple[list[str | None], ...]]:
        """The turns of prompt, answer A and answer B of some of the rows, increasing indices of 0 to R-1."""
        for batch in self._rows.texts(self._positions[items]):
            for turns in self._rows.example.sides(batch):
                yield tuple(text or [] for text in turns)

    def read(self, items: np.ndarray) -> Iterator[tuple[list[str], list[str], list[str]]]:
        """The same, folded."""
        for turns in self._turns(items):
            prompt, first, second = (list(map(fold, text)) for text in turns)
            yield prompt, first, second

    def _twins(self, hashes: np.ndarray) -> np.ndarray:
        """The classes of equal answers, see `answers`. `hashes` `[R]` has 0 where there is none."""
        short = np.frombuffer(self._short, np.uint8) > 0
        if self.prompt_sketches is None:
            hashes = np.where(short, 0, hashes)
        known, classes = np.unique(hashes, return_inverse=True)
        of_class = np.unique(np.stack([classes, self.prompt]), axis=1)[0]
        common = np.bincount(of_class, minlength=len(known))[classes] > TWIN_PROMPTS
        return np.where((hashes == 0) | (short & common), -1, classes)

    def _add(
        self,
        row: int,
        turns: tuple[list[str | None], ...],
        classes: dict[str, dict[int, int]],
        hashes: dict[str, array],
    ) -> bytes:
        """Classify one row; returns its key. Of half a million rows every object counts, so hashes are numbers."""
        prompt, first, second = (list(map(fold, text)) for text in turns)
        # A missing turn says nothing, wherever it is.
        asked, a, b = (digest_of(*filter(None, map(without_blanks, text))) for text in (prompt, first, second))
        pair = min(a, b) + max(a, b)
        hashes["row"].append(_number(asked + a + b))
        hashes["exchanged"].append(_number(asked + b + a))
        answered = sum(map(len, first + second))
        self._short[row] = answered < TWIN_CHARACTERS
        two = any(first) and any(second) and a != b
        hashes["answers"].append(_number(pair) if answered >= TWIN_CHARACTERS or two else 0)
        if answered + sum(map(len, prompt)) >= ROW_CHARACTERS:
            of = classes["either"]
            self.either[row] = of.setdefault(_number(asked + pair), len(of))
            if self.either[row] == len(self.either_first):
                self.either_first.append(row)
                if self.either_sketches is not None:
                    self.either_sketches.add([*prompt, *first, *second])
        if not prompt or not prompt[0]:
            # A key of no prompt; equal answers are all that such rows can have in common.
            return digest_of("", "no prompt", pair.hex())
        of = classes["prompt"]
        self.prompt[row] = of.setdefault(_number(digest_of(without_blanks(prompt[0]))), len(of))
        if self.prompt[row] == len(self.prompt_first):
            self.prompt_first.append(row)
            if self.prompt_sketches is not None:
                self.prompt_sketches.add(prompt[:1])
        return digest_of(normalise(turns[0][0]))

    def near_prompts(self, threshold: float, known: AlreadyLinked) -> Iterator[tuple[int, int, float]]:
        """Pairs of classes of `prompt` and the similarity of their prompts, where it reaches the threshold.

        Args:
            threshold: the least Jaccard similarity.
            known: pairs of which this is true are left out; see `arena.data.split.duplicates.similar_pairs`.
        """
        assert self.prompt_sketches is not None
        first = np.array(self.prompt_first, dtype=np.int64)

        def read(items: np.ndarray) -> Iterator[Sequence[str]]:
            return (prompt[:1] for prompt, _, _ in self.read(first[items]))

        yield from similar_pairs(self.prompt_sketches, read, threshold, known)

    def near_rows(self, threshold: float, known: AlreadyLinked) -> Iterator[tuple[int, int, float]]:
        """Pairs of classes of `either` and the similarity of their whole rows; see `near_prompts`."""
        assert self.either_sketches is not None
        first = np.array(self.either_first, dtype=np.int64)

        def read(items: np.ndarray) -> Iterator[Sequence[str]]:
            return ([*prompt, *a, *b] for prompt, a, b in self.read(first[items]))

        yield from similar_pairs(self.either_sketches, read, threshold, known)


def join_rows(rows: Rows, positions: np.ndarray, threshold: float | None) -> Groups:
    """The groups of some rows.

    Two rows are joined by

    - `prompt`: equal first prompts. A row without one is not joined by this;
    - `session`: the same session;
    - `twin`: the same two answers in either order (a row with A and B exchanged, or a copy with an edited prompt). With
      fewer than 200 characters the two must differ, at most 8 prompts have them, and `threshold` is not None. Without a
      first prompt any answers will do;
    - `near_prompt`: first prompts whose sets of runs of 5 characters have a Jaccard similarity of `threshold`;
    - `near_row`: the same for the runs of all turns of prompt and answers, in rows of 400 characters and more.

    Args:
        rows: the data.
        positions: which rows, increasing, `[R]`.
        threshold: the least similarity, above 0 and up to 1; None for equal texts only.
    """
    scan = TextIndex(rows, positions, threshold is not None)
    forest = UnionFind(len(scan.key))
    joined: dict[str, int] = dict.fromkeys(REASONS, 0)
    sessions = np.array([name or "" for name in rows.metadata["session"].take(positions).to_pylist()], dtype=object)
    joined["prompt"] = _join_equal(forest, scan.prompt, scan.prompt >= 0)
    joined["session"] = _join_equal(forest, sessions, sessions != "")
    joined["twin"] = _join_equal(forest, scan.answers, scan.answers >= 0)
    joined["twin"] += _join_equal(forest, scan.key, scan.prompt < 0)
    if threshold is not None:
        firsts = {"near_prompt": scan.prompt_first, "near_row": scan.either_first}
        for reason, look in (("near_prompt", scan.near_prompts), ("near_row", scan.near_rows)):
            joined[reason] = _join_similar(forest, firsts[reason], look, threshold)
    roots = forest.roots()
    # Rows sorted by key: the first row of each root has the smallest.
    order = np.argsort(scan.key, kind="stable")
    _, smallest, component, sizes = np.unique(roots[order], return_index=True, return_inverse=True, return_counts=True)
    group = np.empty(len(roots), dtype="S32")
    group[order] = scan.key[order][smallest][component]
    return Groups(group.astype("<U32"), joined, int(sizes.max(initial=0)))


def _number(digest: bytes) -> int:
    """64 bits of a digest: two of a million rows share them by accident with odds of 1 to 10^7. Never 0."""
    return int.from_bytes(blake2b(digest, digest_size=8).digest()) | 1


def _join_equal(forest: UnionFind, values: np.ndarray, known: np.ndarray) -> int:
    """Join rows of equal values where they are known; how many were in different groups."""
    first: dict[object, int] = {}
    return sum(
        forest.join(first.setdefault(value, row), row)
        for row, value in zip(np.flatnonzero(known).tolist(), values[known].tolist(), strict=True)
    )


def _join_similar(forest: UnionFind, first: list[int], look: PairSearch, threshold: float) -> int:
    """Join the rows `first` of classes that `look` finds similar; how many were in different groups."""

    def known(left: int, right: int) -> bool:
        return forest.root(first[left]) == forest.root(first[right])

    return sum(forest.join(first[left], first[right]) for left, right, _ in look(threshold, known))
