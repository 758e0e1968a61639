"""The classes of label columns, as a file has them."""

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from arena.core.errors import DataError, UsageError
from arena.core.schema import ALIASES, closest
from arena.data.source.checks import format_cell, is_missing, truth_value
from arena.data.source.codes import RowError
from arena.data.source.files import read_columns, read_records

MAX_CLASSES = 200
"""Classes of one head. A column with more different values is no classification."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_GAPS = ("nan", "na", "n/a", "<na>", "null", "none")
"""How programs write a missing number in a text file."""


def label_of(column: str, cell: Any) -> str | None:
    """The class that a cell names, None where it is empty: the same for csv, tsv, jsonl and parquet.

    Text without the blanks around it. A number is the shortest text of its value, so 1, 1.0, "1" and "1.0" are the
    class "1"; a column of whole numbers with gaps is one of floats in many programs. Truth values are "true" and
    "false", however they are capitalised. See `is_gap` for "NaN". Anything else is a `RowError`.
    """
    cell = cell.strip() if isinstance(cell, str) else cell
    if is_missing(cell):
        return None
    if (truth := truth_value(cell)) is not None:
        return str(truth).lower()
    if isinstance(cell, str):
        if not _NUMBER.fullmatch(cell) or cell.lstrip("-").isdigit():
            return cell.removeprefix("-") if cell == "-0" else cell
        cell = float(cell)
    if isinstance(cell, int | float) and abs(cell) < math.inf:
        # Seven digits: those of a 32-bit float.
        return str(int(cell)) if cell == int(cell) else f"{cell:.7g}"
    raise RowError("E_LABEL", column, f"{format_cell(cell)} is no class; expected text, a number or a truth value")


def is_gap(label: str, others: Collection[str]) -> bool:
    """Tell whether a label is no class but a missing number: "NaN", "NA", "null" or "None" beside numbers only."""
    numbers = [_NUMBER.fullmatch(other) is not None for other in others if other.lower() not in _GAPS]
    return label.lower() in _GAPS and bool(numbers) and all(numbers)


def classes_of(
    paths: str | Sequence[str] | None,
    heads: Sequence[str] | None,
    given: dict[str, Sequence[Any]] | None = None,
) -> dict[str, list[str]]:
    """The classes of each head in the order of the logits: those `given`, else those of the files, sorted.

    Numbers are sorted as numbers. A class is one whatever head it is in; a head whose column is empty has none.

    Args:
        paths: csv, tsv, jsonl or parquet files.
        heads: columns with labels; those of `given` by default.
        given: classes of some heads, or of all (then no file is read).

    Raises:
        UsageError: no heads, a head twice, classes of a head that is none of them, or no file.
        InputOutputError: no such file.
        DataError: a file lacks the column of a head; or it has fewer than two classes, or more than `MAX_CLASSES`.
    """
    known = {name: [str(label_of(name, label)) for label in labels] for name, labels in (given or {}).items()}
    if isinstance(heads, str):
        raise UsageError(f"data.heads={heads}: a list is needed, as in data.heads=[{heads}]")
    names = list(heads or known)
    if not names:
        raise UsageError("data.heads: a value is needed; give the columns with labels, data.heads=[a,b]")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"data.heads: {twice[0]} is named twice")
    for name in known:
        if name not in names:
            raise UsageError(f"data.classes.{name}: no such head in data.heads{closest(name, names)}")
    missing = [name for name in names if name not in known]
    if missing:
        if not paths:
            raise UsageError("data.path: a value is needed; give data.path=FILE")
        found = _read([paths] if isinstance(paths, str) else list(paths), missing)
        known |= {name: _checked(name, found[name], paths) for name in missing}
    return {name: known[name] for name in names}


def _checked(head: str, labels: set[str], paths: str | Sequence[str]) -> list[str]:
    _, wanted, holds = ALIASES["Label"]
    if wrong := sorted(label for label in labels if not holds(label)):
        raise DataError(f"{paths}: column {head} has the class {format_cell(wrong[0])}; {wanted} is needed")
    if not 2 <= len(labels) <= MAX_CLASSES:
        what = ", ".join(sorted(labels)[:3]) or "no label at all"
        raise DataError(
            f"{paths}: column {head} has {len(labels)} different values ({what}{', ...' if len(labels) > 3 else ''}); "
            f"a head of data.heads needs 2 to {MAX_CLASSES} classes"
        )
    numbers = {label: float(label) for label in labels if _NUMBER.fullmatch(label)}
    return sorted(labels, key=lambda label: (label not in numbers, numbers.get(label, 0), label))


def _read(paths: list[str], heads: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {head: set() for head in heads}
    for path in (Path(place).expanduser() for place in paths):
        columns = read_columns(path)
        for head in heads:
            if head not in columns:
                raise DataError(f"{path}: no column {head} (data.heads){closest(head, columns)}")
        for record in read_records(path, heads):
            for head in heads if record.error is None else ():
                try:
                    label = label_of(head, (record.row or {}).get(head))
                except RowError:
                    continue  # the reader will say which row it is
                if label is not None and len(found[head]) <= MAX_CLASSES:
                    found[head].add(label)
    return {head: {label for label in labels if not is_gap(label, labels)} for head, labels in found.items()}
