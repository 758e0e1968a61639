"""Rows that stand in for records which cannot be used, so that every id of a file to predict is in the output."""

import csv
import json
import re
from pathlib import Path
from typing import Any

from arena.core.errors import DataError
from arena.data.source import cells
from arena.data.source.files import Record, delimiter_of, kind_of

_ID = r'"%s"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)'


def stand_in(path: Path, columns: list[str], record: Record, form: Any) -> dict[str, Any]:
    """Return a row of the record's id and missing texts, with the keys of both schemas of its kind.

    Args:
        path: the file.
        columns: of the file, in order.
        record: one that cannot be used.
        form: the file's format.

    Raises:
        DataError: the record's id cannot be read.
    """
    row = form.example.blank() | {"weight": 1.0} | {name: [None] for name in form.example.texts}
    cell = str(record.number) if form.id not in columns else _id_cell(path, columns, record, form.id)
    try:
        row["id"] = cells.check_id(form.id, cell, repair=True)
    except cells.RowError as error:
        raise DataError(f"{path}: row {record.number} cannot be used, not even its id: {error.reason}") from None
    return row


def _id_cell(path: Path, columns: list[str], record: Record, column: str) -> Any:
    """The cell of the id; where the syntax of the record is broken what its bytes still tell."""
    if record.row is not None:
        return record.row.get(column)
    text = record.raw().decode("utf-8", "replace")
    if kind_of(path) == ".jsonl":
        found = re.search(_ID % re.escape(column), text)
        return json.loads(found[1]) if found else None
    row = next(csv.reader([text], delimiter=delimiter_of(path)), [])
    place = columns.index(column)
    return row[place] if place < len(row) else None
