"""What the columns of a file mean: the schema of its rows, and the one row that each record becomes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.core.errors import DataError
from arena.core.schema import closest
from arena.data.source.checks import check_id, check_name, check_weight, is_missing
from arena.data.source.examples import Example
from arena.data.source.files import Record

SHARED = ("language", "source", "weight")
"""Columns that every kind of file may have."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """Columns of one kind of file.

    Attributes:
        name: for people.
        example: schema of the rows.
        read: (cells by column, notes) -> texts and labels of one row; see `row`.
        needed: columns that a file must have.
        optional: other columns that are read where a file has them.
        id: column of the id.
        numbered: the number of a record is its id where it has none.
        groups: columns that name rows which belong together; the first one that a file has counts.
        hint: advice where a column is missing.
    """

    name: str
    example: Example
    read: Callable[[dict[str, Any], list[str]], dict[str, Any]]
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    id: str = "id"
    numbered: bool = True
    groups: tuple[str, ...] = ()
    hint: str = ""

    @property
    def used(self) -> set[str]:
        """Columns that are read where a file has them."""
        return {*self.needed, *self.optional, *self.groups, self.id, *SHARED}

    def row(self, raw: dict[str, Any], number: int, notes: list[str]) -> dict[str, Any]:
        """One row with the columns of both schemas of `example`.

        Args:
            raw: cells by column.
            number: of the record in its file.
            notes: gets the W_ codes of the row.

        Raises:
            RowError: for the first column that cannot be used.
        """
        return self.metadata(raw, number) | self.read(raw, notes)

    def metadata(self, raw: dict[str, Any], number: int) -> dict[str, Any]:
        """The row of a record without labels and texts; see `row`."""
        row = self.example.blank()
        cell = raw.get(self.id)
        row["id"] = str(number) if cell is None and self.numbered else check_id(self.id, cell)
        for name in row.keys() & {"language", "source", "model_a", "model_b"}:
            row[name] = check_name(name, raw.get(name))
        group = next((name for name in self.groups if name in raw), None)
        if group is not None and not is_missing(raw[group]):
            row["session"] = check_id(group, raw[group])
        row["weight"] = check_weight(raw.get("weight"))
        return row

    def stand_in(self, record: Record, columns: Collection[str]) -> dict[str, Any]:
        """A row with the id of a broken record and missing texts, so that every id of a file gets a prediction.

        Raises:
            RowError: its id cannot be read.
        """
        row = self.example.blank() | {"weight": 1.0} | {name: [None] for name in self.example.texts}
        cell = (record.row or {}).get(self.id)
        return row | {"id": check_id(self.id, cell) if self.id in columns else str(record.number)}

    def require_columns(self, path: Path, columns: list[str]) -> None:
        """Raise a `DataError` where a column that is needed is missing or occurs twice."""
        missing = [name for name in self.needed if name not in columns]
        if missing:
            near = closest(missing[0], columns)
            near = near if "did you mean" in near else ""
            found = f"found {', '.join(columns)}; {self.hint}"
            raise DataError(f"{path}: missing column {', '.join(missing)}{near}; {found}")
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise DataError(f"{path}: column {', '.join(twice)} occurs twice")
