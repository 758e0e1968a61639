"""Ids and contents of the rows that were read so far: what occurs twice, and what contradicts itself."""

from array import array
from hashlib import blake2b
from typing import Any

import numpy as np

from arena.data.source.cells import RowError
from arena.data.source.examples import Example


class Seen:
    """The ids and contents of the rows so far, as hashes: a false match among a million rows has odds of 1 to 10^6."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.places: dict[int, int] = {}  # hash of an id -> place in the arrays below
        self.texts = array("Q")  # hash of prompt and answers
        self.labels = array("Q")  # hash of what was said about them; 0 for nothing
        self.weights = array("d")
        self.numbers = array("Q")  # number of the record in its file
        self.first = 0  # the file's first place
        self.name = ""
        self.renamed = 0

    def begin(self, name: str) -> None:
        """What follows is another file."""
        self.name = name
        self.first = len(self.texts)
        self.renamed = 0

    def add(self, row: dict[str, Any], number: int) -> bool:
        """Whether the row is new; false where another file has it. Where only its id is taken, it gets another.

        Raises:
            RowError: an earlier row of the same file has this id.
        """
        texts = _hash_texts([row[name] for name in self.example.texts])
        told = self.example.told(row)
        label = 0 if told is None else _hash(told)
        other = self._claim(row["id"])
        is_new = True
        if other is not None:
            if other >= self.first:
                raise self._taken(row["id"], other)
            earlier = self._claim(f"{self.name}\0{row['id']}")
            if earlier is not None:
                raise self._taken(row["id"], earlier)
            content = (texts, label, row["weight"])
            is_same = content == (self.texts[other], self.labels[other], self.weights[other])
            is_new = self._claim(f"{row['id']}\0{content}") is None and not is_same
        if is_new and other is not None:
            row["id"] = f"{self.name}:{row['id']}"
            if (owner := self._claim(row["id"])) is not None:
                raise self._taken(row["id"], owner)
            self.renamed += 1
        self.texts.append(texts)
        self.labels.append(label)
        self.weights.append(row["weight"])
        self.numbers.append(number)
        return is_new

    def _claim(self, name: str) -> int | None:
        """Give a name to the row that comes next. Returns the row that has it already."""
        place = len(self.texts)
        owner = self.places.setdefault(_hash(name), place)
        return None if owner == place else owner

    def _taken(self, name: str, owner: int) -> RowError:
        return RowError("E_DUP_ID", "id", f"{name!a} is already the id of row {self.numbers[owner]}")

    def conflicts(self) -> int:
        """Rows whose texts another row has with another label."""
        texts, labels = (np.array(values, np.uint64) for values in (self.texts, self.labels))
        said = labels > 0
        if not said.any():
            return 0
        _, text, rows = np.unique(texts[said], return_inverse=True, return_counts=True)
        _, label = np.unique(labels[said], return_inverse=True)
        several = np.bincount(np.unique(text * (label.max() + 1) + label) // (label.max() + 1)) > 1
        return int(rows[several].sum())


def _hash_texts(turns: list[list[str | None]]) -> int:
    sizes = [[None if turn is None else len(turn) for turn in some] for some in turns]
    return _hash(f"{sizes}" + "".join([turn for some in turns for turn in some if turn]))


def _hash(text: str) -> int:
    """60 bits: they fit into the smaller kind of Python integers."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 4
