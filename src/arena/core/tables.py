"""Tables as csv and tsv files that no spreadsheet takes for formulas.

Ids, classes and names of heads come from strangers' files. A spreadsheet runs a text that begins with `=`, `+`, `-` or
`@` (CSV injection), so it gets an apostrophe in front, which marks text. Numbers stay numbers.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula; also the full-width ones, and white space that spreadsheets skip."""


def inert(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs: a text that begins as a formula gets an apostrophe in front."""
    formula = isinstance(cell, str) and len(cell) > 1 and cell.startswith(STARTS) and not _number(cell)
    return f"'{cell}" if formula else cell


def as_read(cell: str) -> str:
    """Return the text that `inert` changed, for files that arena reads back."""
    return cell[1:] if cell[:1] == "'" and inert(cell[1:]) == cell else cell


def text_of(lines: Iterable[Sequence[Any]], delimiter: str = ",") -> str:
    """Return lines of cells as the text of a csv file, or of a tsv file with a tab as delimiter."""
    made = io.StringIO()
    csv.writer(made, delimiter=delimiter, lineterminator="\n").writerows(
        [inert(cell) for cell in line] for line in lines
    )
    return made.getvalue()


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
