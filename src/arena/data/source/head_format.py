"""What the columns of a file of texts with several labels mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from arena.core.schema import closest
from arena.data.source import cells
from arena.data.source.cells import RowError, shown
from arena.data.source.classes import is_gap, label_of
from arena.data.source.examples import LABELLED_TEXT, Example


@dataclass(frozen=True)
class HeadFormat:
    """Columns of texts and labels; the counterpart of `arena.data.source.formats.Format`.

    Attributes:
        text: columns with text: the one that is judged, then others that give it context, joined by line breaks.
        labels: classes of each head; the columns have the names of the heads.
        id: column of the id; the number of the record where a file has none.
        group: column that names rows which belong together, or None.
        labelled: whether the columns of the heads are needed (not to predict).
    """

    text: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]
    id: str = "id"
    group: str | None = None
    labelled: bool = True

    @property
    def example(self) -> Example:
        """The kind of row that a record becomes."""
        return LABELLED_TEXT

    def of(self, path: Path, columns: Sequence[str]) -> "HeadFormat":
        """The format of a file with these columns: this one."""
        return self

    def unlabelled(self) -> "HeadFormat":
        """The same format, where no label need be there."""
        return replace(self, labelled=False)

    @property
    def name(self) -> str:
        """For people."""
        return f"text ({', '.join(self.text)}) with the heads {', '.join(self.labels)}"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        group = () if self.group is None else (self.group,)
        return (*self.text, *(self.labels if self.labelled else ()), *group)

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are read where a file has them."""
        return (*self.needed, *self.labels, self.id, "language", "source", "weight")

    @property
    def hint(self) -> str:
        """What to do about a missing column."""
        return "name the columns with data.text=COLUMN and data.heads=[COLUMN,COLUMN]"

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of `examples.LABELLED_TEXT`.

        Args: as `arena.data.source.formats.check_row`.

        Raises:
            RowError: for the first column that cannot be used.
        """
        row: dict[str, Any] = self.example.blank()
        known = raw.get(self.id)
        row["id"] = str(number) if known is None else cells.check_id(self.id, known, repair)
        texts = [self._text(column, raw.get(column), repair) for column in self.text]
        if not texts[0].strip():
            raise RowError("E_EMPTY_ALL", self.text[0], "there is no text")
        context = "\n".join(text for text in texts[1:] if text)
        row |= {"text": [texts[0]], "context": [context]}
        for name in ("language", "source"):
            row[name] = cells.check_name(name, raw.get(name), repair)
        if self.group is not None and not cells.is_missing(raw.get(self.group)):
            row["session"] = cells.check_id(self.group, raw[self.group], repair)
        row["weight"] = cells.check_weight(raw.get("weight"))
        row["labels"] = [self._label(head, raw.get(head)) for head in self.labels]
        notes += cells.foreign_notes(texts)
        return row

    def _text(self, column: str, cell: Any, repair: bool) -> str:
        if cell is not None and not isinstance(cell, str):
            raise RowError("E_TYPE", column, f"{shown(cell)} is not text")
        return cells.check_text(column, cell or "", repair)

    @cached_property
    def _classes(self) -> dict[str, dict[str | None, str]]:
        """For each head the class that a label stands for; older runs may have named it otherwise ("1.0")."""
        return {
            head: {label_of(head, name): name for name in names} | {name: name for name in names}
            for head, names in self.labels.items()
        }

    def _label(self, head: str, cell: Any) -> str | None:
        label = label_of(head, cell)
        known = self._classes[head]
        if label is None or (label not in known and is_gap(label, self.labels[head])):
            return None
        if label not in known:
            near = closest(label, self.labels[head])
            raise RowError("E_LABEL", head, f"{shown(label)} is no class of {head}{near} (data.classes names them all)")
        return known[label]
