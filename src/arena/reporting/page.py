"""HTML pages that need nothing but themselves, from the templates: pictures are embedded, every value is escaped."""

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
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
        """A table of columns by name; one of rates becomes five: count, total, and value with its 95% interval."""
        expanded: dict[str, Sequence[Any]] = {}
        for title, cells in columns.items():
            if cells and isinstance(cells[0], Rate):
                parts = zip(*([*cell[:2], *map(Share, cell[2:])] for cell in cells), strict=True)
                names = (title, f"{title}: of", f"{title}: rate", f"{title}: low", f"{title}: high")
                expanded |= dict(zip(names, parts, strict=True))
            else:
                expanded[title] = cells
        return cls(name, caption, [[*expanded], *map(list, zip(*expanded.values(), strict=True))])

    def write(self, folder: Path) -> None:
        """Write `folder/name.csv`: numbers unrounded up to six digits, NaN as an empty cell."""
        made = tables.text_of([csv_cell(cell) for cell in line] for line in self.lines)
        (folder / f"{self.name}.csv").write_text(made, encoding="utf-8", newline="")

    @property
    def numeric(self) -> list[bool]:
        """Columns that hold numbers only."""
        columns = [[cell for cell in column if cell not in ("", None)] for column in zip(*self.lines[1:], strict=True)]
        return [all(map(_is_number, column)) for column in columns] or [False] * len(self.lines[0])


def _is_number(cell: Any) -> bool:
    return (
        isinstance(cell, int | float) or re.fullmatch(r"[0-9.,\u2013-]+ ?%?( \u00b1 [0-9.]+)?", str(cell)) is not None
    )


def csv_cell(cell: Any) -> str:
    """A cell as it stands in a CSV file."""
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def page_cell(cell: Any) -> str:
    """A cell as people read it."""
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
