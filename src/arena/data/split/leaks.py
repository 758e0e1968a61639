"""Which rows repeat others, within and across the splits of one data set, or two data sets.

A model that has seen a row, or nearly the same row, in training is not judged by it. What `arena.data.split.groups`
joins, this counts, without regard to groups: after arena's own split nothing crosses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core.errors import UsageError
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.groups import PairSearch, TextIndex

KINDS = {
    "row": "prompt and answers are equal",
    "swapped": "prompt equal, answers A and B exchanged",
    "prompt": "the first prompt is equal",
    "answers": "the two answers are equal in either order",
    "near_prompt": "the first prompt is nearly equal, but not quite",
    "near_row": "the whole row is nearly equal, but not quite",
}
"""Kinds of repeats, "equal" as in `arena.data.split.groups`. A row can repeat others in several ways."""
EXAMPLES = 5
Pair = tuple[int, int, float]


@dataclass(frozen=True)
class Example:
    """Two rows that repeat each other.

    Attributes:
        ids: their ids.
        parts: the part of each.
        similarity: Jaccard similarity, 1 for equal texts.
    """

    ids: tuple[str, str]
    parts: tuple[str, str]
    similarity: float


@dataclass(frozen=True)
class LeakReport:
    """Repeats between parts: splits of one data set, or two data sets.

    Attributes:
        parts: names of the P parts.
        rows: rows of each part, `[P]`.
        threshold: similarity from which texts are near; None where only equal texts were looked for.
        overlap: for each of `KINDS` the rows of part i that have a repeat (another row) in part j, `[P, P]` int64.
        examples: for each kind some pairs of rows, those of different parts first.
    """

    parts: tuple[str, ...]
    rows: np.ndarray
    threshold: float | None
    overlap: dict[str, np.ndarray]
    examples: dict[str, list[Example]]

    @property
    def crossing(self) -> dict[str, int]:
        """For each kind the rows that have a repeat in another part, counted once for each other part."""
        return {kind: int(found.sum() - np.trace(found)) for kind, found in self.overlap.items()}

    def lines(self) -> list[str]:
        """A table: for each kind and part the rows with a repeat in each part; below it the examples across parts."""
        head = ["repeats", "rows of", "rows", *(f"in {name}" for name in self.parts)]
        table = [head]
        for kind, found in self.overlap.items():
            for name, rows, counts in zip(self.parts, self.rows, found, strict=True):
                table.append([kind if name == self.parts[0] else "", name, f"{rows:,}", *(f"{n:,}" for n in counts)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for line in table:
            cells = [cell.ljust(width) if place < 2 else cell.rjust(width)
                     for place, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
            lines.append("  ".join(cells).rstrip())
        for kind, examples in self.examples.items():
            for example in examples:
                if example.parts[0] != example.parts[1]:
                    places = [f"{part} {name}" for part, name in zip(example.parts, example.ids, strict=True)]
                    lines.append(f"{kind}: {' = '.join(places)} ({example.similarity:.3f})")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "parts": list(self.parts),
            "rows": self.rows.tolist(),
            "threshold": self.threshold,
            "repeats": {
                kind: {
                    "meaning": KINDS[kind],
                    "overlap": found.tolist(),
                    "crossing": self.crossing[kind],
                    "examples": [
                        {"ids": list(e.ids), "parts": list(e.parts), "similarity": e.similarity}
                        for e in self.examples[kind]
                    ],
                }
                for kind, found in self.overlap.items()
            },
        }


def leak_report(
    rows: Rows, positions: np.ndarray, splits: Sequence[str] | np.ndarray, threshold: float | None = 0.8
) -> LeakReport:
    """Repeats within and across splits.

    Args:
        rows: the data.
        positions: which rows, increasing, `[R]`.
        splits: the split of each of these, `[R]`; rows with "" are left out. "train", "val" and "test" come in this
            order, other names after them.
        threshold: Jaccard similarity from which texts are near; None for equal texts only.

    Raises:
        UsageError: the threshold is not above 0 and at most 1, or there is not one split a row.
    """
    splits, positions = np.asarray(splits, dtype=str), np.asarray(positions, dtype=np.int64)
    if len(splits) != len(positions):
        raise UsageError(f"{len(splits)} splits for {len(positions)} rows: a leak report needs one for each row")
    used = splits != ""
    positions, splits = positions[used], splits[used]
    names = [name for name in SPLITS if (splits == name).any()]
    names += sorted(set(splits.tolist()) - set(SPLITS))
    part = np.array([names.index(name) for name in splits.tolist()], dtype=np.int64)
    return _report(rows, positions, part, tuple(names), threshold)


def leaks_between(
    rows: Rows, other: Rows, threshold: float | None = 0.8, names: tuple[str, str] = ("first", "second")
) -> LeakReport:
    """Repeats within and across two data sets, all their rows, that go by `names` in the report; see `leak_report`."""
    part = np.repeat([0, 1], [rows.num_rows, other.num_rows])
    return _report(Rows.concatenate([rows, other]), np.arange(len(part)), part, names, threshold)


def _report(
    rows: Rows, positions: np.ndarray, part: np.ndarray, names: tuple[str, ...], threshold: float | None
) -> LeakReport:
    scan = TextIndex(rows, positions, threshold is not None)
    ids = [str(name) for name in rows.metadata["id"].take(positions).to_pylist()]
    places = [(row, other, 1.0) for row, other in _exchanged(scan)]
    kinds: dict[str, tuple[np.ndarray, Iterable[Pair] | None]] = {
        "row": (scan.row, None),
        "swapped": (scan.row, places),
        "prompt": (scan.prompt, None),
        "answers": (scan.answers, None),
    }
    if threshold is not None:
        kinds["near_prompt"] = (scan.prompt, _similar(scan.near_prompts, threshold, scan.prompt, part))
        kinds["near_row"] = (scan.either, _similar(scan.near_rows, threshold, scan.either, part))
    overlap, examples = {}, {}
    for kind, (classes, pairs) in kinds.items():
        found = None if pairs is None else sorted(pairs)
        members = _members(classes)
        overlap[kind] = _overlap(classes, part, len(names), found)
        if found is None:
            found = [(c, c, 1.0) for c, rows_of in enumerate(members) if len(rows_of) > 1]
        examples[kind] = [
            Example((ids[i], ids[j]), (names[part[i]], names[part[j]]), similarity)
            for i, j, similarity in _examples(members, part, found)
        ]
    return LeakReport(names, np.bincount(part, minlength=len(names)), threshold, overlap, examples)


def _exchanged(scan: TextIndex) -> list[tuple[int, int]]:
    """Pairs of classes of equal rows that are each other with A and B exchanged."""
    pairs = np.stack([scan.row, scan.exchanged], axis=1)
    return [(left, right) for left, right in np.unique(pairs, axis=0).tolist() if 0 <= left < right]


def _similar(look: PairSearch, threshold: float, classes: np.ndarray, part: np.ndarray) -> list[Pair]:
    """The similar classes that `look` finds. A pair is left out where both classes are known to be near to all parts of
    the other: it counts nothing new, and a cluster of 20,000 rows has millions of such pairs."""
    # A bit for each part.
    within = [0] * (classes.max(initial=-1) + 1)
    for number, bit in zip(classes.tolist(), (1 << part).tolist(), strict=True):
        if number >= 0:
            within[number] |= bit
    near = [0] * len(within)

    def known(left: int, right: int) -> bool:
        return not (within[right] & ~near[left] or within[left] & ~near[right])

    pairs = []
    for left, right, similarity in look(threshold, known):
        near[left] |= within[right]
        near[right] |= within[left]
        pairs.append((left, right, similarity))
    return pairs


def _overlap(classes: np.ndarray, part: np.ndarray, parts: int, pairs: list[Pair] | None) -> np.ndarray:
    """Rows of each part with a repeat in each part, `[P, P]` int64.

    Args:
        classes: class of each row, `[R]`; -1 for none.
        part: part of each row, `[R]`.
        parts: number of parts, P.
        pairs: classes whose rows repeat each other; None where the rows of one class do.
    """
    known = classes >= 0
    counts = np.zeros((classes.max(initial=-1) + 1, parts), dtype=np.int64)
    np.add.at(counts, (classes[known], part[known]), 1)
    if pairs is None:
        others = counts[:, None, :] - np.eye(parts, dtype=np.int64) > 0
        return (counts[:, :, None] * others).sum(axis=0)
    near = np.zeros(counts.shape, dtype=bool)
    for left, right, _ in pairs:
        near[left] |= counts[right] > 0
        near[right] |= counts[left] > 0
    return counts.T @ near


def _members(classes: np.ndarray) -> list[list[int]]:
    """The rows of each class."""
    members: list[list[int]] = [[] for _ in range(classes.max(initial=-1) + 1)]
    for row, number in enumerate(classes.tolist()):
        if number >= 0:
            members[number].append(row)
    return members


def _examples(members: list[list[int]], part: np.ndarray, pairs: list[Pair]) -> list[Pair]:
    """Some pairs of rows, one for each pair of classes; those of different parts first."""
    across: list[Pair] = []
    within: list[Pair] = []
    for left, right, similarity in pairs:
        first = members[left][0]
        others = [row for row in members[right] if row != first]
        elsewhere = next((row for row in others if part[row] != part[first]), None)
        if elsewhere is None and left != right:
            # The first row is no better than its copies.
            moved = next((row for row in members[left] if part[row] != part[others[0]]), None)
            first, elsewhere = (first, None) if moved is None else (moved, others[0])
        if elsewhere is not None:
            across.append((first, elsewhere, similarity))
        else:
            within.append((first, others[0], similarity))
        if len(across) == EXAMPLES:
            break
    return (across + within)[:EXAMPLES]
