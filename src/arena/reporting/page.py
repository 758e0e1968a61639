"""HTML pages that need nothing but themselves, from the templates: pictures are embedded, every value is escaped."""

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from arena.core import tables
from arena.core.console import duration
from arena.reporting.statistics import Rate


class Share(float):
    """A number between 0 and 1 that is shown as a percentage and written to CSV as it is."""


class Link(str):
    """Text with an address, which is relative to the page."""

    href: str

    def __new__(cls, text: str, href: str) -> "Link":
        made = super().__new__(cls, text)
        made.href = href
        return made


RATE = ("", ": of", ": rate", ": low", ": high")
"""Endings of the titles of a column of rates in csv files: count, total, and value with its 95% interval."""


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: of its file, without .csv.
        caption: the line above it.
        lines: cells, header first.
        limit: lines on the page at most.
        file: file with all lines, if not tables/<name>.csv.
    """

    name: str
    caption: str
    lines: list[list[Any]]
    limit: int = 60
    file: str | None = None

    @classmethod
    def of(cls, name: str, caption: str, columns: Mapping[str, Sequence[Any]]) -> "Sheet":
        """A table of columns by their titles."""
        return cls(name, caption, [[*columns], *map(list, zip(*columns.values(), strict=True))])

    def write(self, folder: Path) -> None:
        """Write `folder/name.csv`: numbers unrounded up to six digits, NaN as an empty cell, a rate as five cells."""
        header, *lines = self.lines
        rates = [isinstance(cell, Rate) for cell in (lines or [header])[0]]
        parts = [RATE if rate else ("",) for rate in rates]
        titles = [[f"{title}{part}" for part in some] for title, some in zip(header, parts, strict=True)]
        cells = [[list(cell) if isinstance(cell, Rate) else [cell] for cell in line] for line in lines]
        made = tables.text_of([csv_cell(cell) for cell in chain(*line)] for line in [titles, *cells])
        (folder / f"{self.name}.csv").write_text(made, encoding="utf-8", newline="")

    @property
    def numeric(self) -> list[bool]:
        """Columns that hold numbers only."""
        columns = [[cell for cell in column if cell not in ("", None)] for column in zip(*self.lines[1:], strict=True)]
        return [all(map(_is_number, column)) for column in columns] or [False] * len(self.lines[0])


def _is_number(cell: Any) -> bool:
    number = r"[0-9.,\u2013-]+ ?%?( \u00b1 [0-9.]+)?"
    return isinstance(cell, int | float | Rate) or re.fullmatch(number, str(cell)) is not None


def csv_cell(cell: Any) -> str:
    """A cell as it stands in a CSV file."""
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def page_cell(cell: Any) -> str:
    """A cell as people read it."""
    if isinstance(cell, Rate):
        interval = f" ({percent(cell.low)} to {percent(cell.high)})" if cell.total else ""
        return f"{cell.count:,} of {cell.total:,}: {percent(cell.value)}{interval}"
    if isinstance(cell, float):
        return percent(cell) if isinstance(cell, Share) else "\u2013" if math.isnan(cell) else f"{cell:.5g}"
    if isinstance(cell, int | np.integer):
        return f"{cell:,}"
    return "" if cell is None else str(cell)


def percent(value: float) -> str:
    """`0.4766` as "47.7%", a dash for NaN."""
    return "\u2013" if math.isnan(value) else f"{100 * value:.1f}%"


def digits(value: float) -> str:
    """A value of a metric: four decimals, or four digits where these would say nothing."""
    if math.isnan(value):
        return "\u2013"
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.4g}"


def plural(number: int, noun: str) -> str:
    """The number and the noun: 1 row, 2,000 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def render(template: str, /, folder: Path | None = None, **values: Any) -> str:
    """Fill one of the templates; in an HTML page every value is escaped.

    Args:
        template: name of the file in the folder `templates`.
        folder: for the pictures as files of their own; None where only the page needs them.
        values: by the names that the template has for them; one that is missing is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    def draw(name: str, function: Callable[..., None], *arguments: Any, **options: Any) -> str:
        """Draw a picture; returns it in base64."""
        file = BytesIO()
        function(file, *arguments, **options)
        if folder is not None:
            (folder / f"{name}.png").write_bytes(file.getvalue())
        return base64.b64encode(file.getvalue()).decode()

    environment = Environment(
        loader=PackageLoader("arena.reporting"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "plural": plural, "cell": page_cell}
    environment.filters |= {"digits": digits, "duration": duration}
    environment.globals["draw"] = draw
    return environment.get_template(template).render(values)


def is_ours(file: Path, generator: str) -> bool:
    """Check that a file is a page that this kind of report has made before."""
    start = file.read_bytes()[:1000].decode(errors="replace") if file.is_file() else ""
    return f'content="{generator}"' in start
