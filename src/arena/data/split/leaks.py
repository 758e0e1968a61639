"""Repeats of rows within and across the splits of one data set, or two data sets.

A model that has seen a row, or nearly the same row, in training is not judged by it. Rows that
`arena.data.split.groups` joins are counted here without regard to groups: after arena's own split nothing crosses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core.errors import UsageError
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.groups import Near, TextIndex

KINDS = {
    "row": "prompt and answers are equal",
    "swapped": "prompt equal, answers A and B swapped",
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
        ids, parts: of both.
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
        table = [["repeats", "rows of", "rows", *(f"in {name}" for name in self.parts)]]
        for kind, found in self.overlap.items():
            for name, rows, counts in zip(self.parts, self.rows, found, strict=True):
                table.append([kind if name == self.parts[0] else "", name, f"{rows:,}", *(f"{n:,}" for n in counts)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for line in table:
            aligned = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
            aligned += [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
            lines.append("  ".join(aligned).rstrip())
        for kind, examples in self.examples.items():
            for each in (example for example in examples if example.parts[0] != example.parts[1]):
                places = [f"{part} {name}" for part, name in zip(each.parts, each.ids, strict=True)]
                lines.append(f"{kind}: {' = '.join(places)} ({each.similarity:.3f})")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        repeats = {
            kind: {
                "meaning": KINDS[kind],
                "overlap": found.tolist(),
                "crossing": self.crossing[kind],
                "examples": [vars(each) | {"ids": list(each.ids), "parts": list(each.parts)} for each in examples],
            }
            for (kind, found), examples in zip(self.overlap.items(), self.examples.values(), strict=True)
        }
        head = {"parts": list(self.parts), "rows": self.rows.tolist(), "threshold": self.threshold}
        return head | {"repeats": repeats}


def leak_report(
    rows: Rows, positions: np.ndarray, splits: Sequence[str] | np.ndarray, threshold: float | None = 0.8
) -> LeakReport:
    """Repeats within and across splits.

    Args:
        rows: the data.
        positions: increasing positions of the rows, `[R]`.
        splits: the split of each of these, `[R]`; rows with "" are left out. "train", "val" and "test" come in this
            order, other names after them.
        threshold: Jaccard similarity from which texts are near; None for equal texts only.

    Raises:
        UsageError: the threshold is not above 0 and at most 1, or there is not one split a row.
    """
    splits, positions = np.asarray(splits, dtype=str), np.asarray(positions, dtype=np.int64)
    if len(splits) != len(positions):
        raise UsageError(f"{len(splits)} splits for {len(positions)} rows: a leak report needs one for each row")
    positions, splits = positions[splits != ""], splits[splits != ""]
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
    index = TextIndex(rows, positions, threshold is not None)
    ids = [str(name) for name in rows.metadata["id"].take(positions).to_pylist()]
    both = np.unique(np.stack([index.row, index.swapped], axis=1), axis=0).tolist()
    kinds: dict[str, tuple[np.ndarray, list[Pair] | None]] = {
        "row": (index.row, None),
        "swapped": (index.row, [(left, right, 1.0) for left, right in both if 0 <= left < right]),
        "prompt": (index.prompt.number, None),
        "answers": (index.answers, None),
    }
    if threshold is not None:
        kinds["near_prompt"] = index.prompt.number, _similar(index, "near_prompt", threshold, part)
        kinds["near_row"] = index.either.number, _similar(index, "near_row", threshold, part)
    overlap, examples = {}, {}
    for kind, (classes, pairs) in kinds.items():
        members: list[list[int]] = [[] for _ in range(classes.max(initial=-1) + 1)]
        for row, number in enumerate(classes.tolist()):
            if number >= 0:
                members[number].append(row)
        overlap[kind] = _overlap(members, part, len(names), pairs)
        if pairs is None:
            pairs = [(number, number, 1.0) for number, some in enumerate(members) if len(some) > 1]
        examples[kind] = [
            Example((ids[i], ids[j]), (names[part[i]], names[part[j]]), similarity)
            for i, j, similarity in _examples(members, part, pairs)
        ]
    return LeakReport(names, np.bincount(part, minlength=len(names)), threshold, overlap, examples)


def _similar(index: TextIndex, kind: Near, threshold: float, part: np.ndarray) -> list[Pair]:
    """Similar classes. A pair is left out where both classes are known to be near to all parts of the other: it counts
    nothing new, and a cluster of 20,000 rows has millions of such pairs."""
    classes = index.prompt.number if kind == "near_prompt" else index.either.number
    within = [0] * (classes.max(initial=-1) + 1)  # a bit for each part
    for number, bit in zip(classes.tolist(), (1 << part).tolist(), strict=True):
        if number >= 0:
            within[number] |= bit
    near = [0] * len(within)
    pairs = []
    for left, right, similarity in index.similar(
        kind, threshold, lambda left, right: not (within[right] & ~near[left] or within[left] & ~near[right])
    ):
        near[left] |= within[right]
        near[right] |= within[left]
        pairs.append((left, right, similarity))
    return sorted(pairs)


def _overlap(members: list[list[int]], part: np.ndarray, parts: int, pairs: list[Pair] | None) -> np.ndarray:
    """Rows of each part with a repeat in each part, `[P, P]` int64.

    Args:
        members: rows of each class.
        part: part of each row, `[R]`.
        parts: number of parts, P.
        pairs: classes whose rows repeat each other; None where the rows of one class do.
    """
    counts = np.array([np.bincount(part[rows], minlength=parts) for rows in members]).reshape(len(members), parts)
    if pairs is None:
        others = counts[:, None, :] - np.eye(parts, dtype=np.int64) > 0
        return (counts[:, :, None] * others).sum(axis=0)
    near = np.zeros(counts.shape, dtype=bool)
    for left, right, _ in pairs:
        near[left] |= counts[right] > 0
        near[right] |= counts[left] > 0
    return counts.astype(np.int64).T @ near


def _examples(members: list[list[int]], part: np.ndarray, pairs: list[Pair]) -> list[Pair]:
    """Some pairs of rows, one for each pair of classes; those of different parts first."""
    across: list[Pair] = []
    within: list[Pair] = []
    for left, right, similarity in pairs:
        # The first row of a class is no better than its copies.
        rows = [(i, j) for i in members[left][:1] for j in members[right] if i != j]
        rows += [(i, j) for j in members[right][:1] for i in members[left] if i != j]
        first = next((pair for pair in rows if part[pair[0]] != part[pair[1]]), None)
        (within if first is None else across).append((*(first or rows[0]), similarity))
        if len(across) == EXAMPLES:
            break
    return (across + within)[:EXAMPLES]
