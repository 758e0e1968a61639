"""Files of texts with several labels, and their reader."""

from functools import cached_property
from pathlib import Path
from typing import Any

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.data.source.checks import check_optional_text, format_cell
from arena.data.source.classes import is_gap, label_of
from arena.data.source.codes import RowError
from arena.data.source.examples import LABELLED_TEXT
from arena.data.source.formats import Format
from arena.data.source.reader import FileReader


class HeadReader(FileReader):
    """Reads files of texts with one label column for each head: csv, tsv, jsonl (each may end in .gz) or parquet.

    Args:
        labels: classes of each head (`arena.core.heads`); the label columns have the names of the heads.
        text: column with the text; or several, of which the first is what is judged (equal ones are never divided
            between training and test) and the others give it context.
        id: column of the id; the number of the record where a file has none.
        group: column of what belongs together and is never divided (a user, a document); none by default.
    """

    def __init__(
        self, labels: dict[str, list[str]], text: str | list[str], id: str = "id", group: str | None = None
    ) -> None:
        super().__init__()
        self.text = (text,) if isinstance(text, str) else tuple(text)
        self.labels, self.id, self.group = labels, id, group
        if not self.text:
            raise UsageError("data.text: a value is needed; give the column with the text, data.text=COLUMN")
        for column in self.text:
            if column in labels:
                raise UsageError(f"data.text={column}: it is one of data.heads too; a model would read its own answer")

    @property
    def settings(self) -> str:
        """See `FileReader.settings`."""
        columns = f"text={self.text!r}, labels={self.labels!r}, id={self.id!r}, group={self.group!r}"
        return f"HeadFormat({columns}, labelled={self.labelled!r})"

    def format_of(self, path: Path, columns: list[str]) -> Format:
        """See `FileReader.format_of`."""
        groups = () if self.group is None else (self.group,)
        return Format(
            name=f"text ({', '.join(self.text)}) with the heads {', '.join(self.labels)}",
            example=LABELLED_TEXT,
            read=self._read,
            needed=(*self.text, *(self.labels if self.labelled else ()), *groups),
            optional=tuple(self.labels),
            id=self.id,
            groups=groups,
            hint="name the columns with data.text=COLUMN and data.heads=[COLUMN,COLUMN]",
        )

    def _read(self, raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        first, *others = (check_optional_text(column, raw.get(column)) or "" for column in self.text)
        if not first.strip():
            raise RowError("E_EMPTY_ALL", self.text[0], "there is no text")
        labels = [self._label(head, raw.get(head)) for head in self.labels]
        return {"text": [first], "context": ["\n".join(filter(None, others))], "labels": labels}

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
            raise RowError(
                "E_LABEL", head, f"{format_cell(label)} is no class of {head}{near} (data.classes names them all)"
            )
        return known[label]
