"""One HTML page that needs nothing but itself: pictures are embedded, and every text of the data is escaped."""

import base64
import re
from io import BytesIO
from pathlib import Path
from typing import Any

from arena.reporting.sections import Picture, Section, Sheet, shown_cell

GENERATOR = "arena exploration"
"""Stands in the page, so that a later report knows which folder it may replace."""


def render(file: str, /, **values: Any) -> str:
    """Fill one of the templates; in an HTML page every value is escaped.

    Args:
        file: its name in the folder `templates`.
        values: by the names that the template has for them; one that is missing is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    room = Environment(
        loader=PackageLoader("arena.reporting"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return room.get_template(file).render(values)


def page(
    title: str,
    facts: list[tuple[str, str]],
    notes: list[str],
    sections: list[Section],
    figures: Path | None = None,
    generator: str = GENERATOR,
) -> str:
    """Draw the pictures, and return the page.

    Args:
        title: plain text, as everything else.
        facts: a few numbers for the top, with their names.
        notes: what holds for all sections.
        sections: in order.
        figures: folder for the pictures as files of their own; None where only the page needs them.
        generator: which report this is.
    """

    def drawn(picture: Picture) -> str:
        file = BytesIO()
        picture.draw(file)
        if figures is not None:
            (figures / f"{picture.name}.png").write_bytes(file.getvalue())
        return base64.b64encode(file.getvalue()).decode()

    return render(
        "page.html", title=title, facts=facts, notes=notes, sections=sections, generator=generator, drawn=drawn,
        numeric=numeric, shown_cell=shown_cell,
    )  # fmt: skip


def is_ours(file: Path, generator: str = GENERATOR) -> bool:
    """Whether a file is a page that this report has made before."""
    start = file.read_bytes()[:1000].decode(errors="replace") if file.is_file() else ""
    return f'content="{generator}"' in start


def numeric(sheet: Sheet) -> list[bool]:
    """Which columns hold numbers only."""
    header, *lines = sheet.lines
    columns = [[line[i] for line in lines if i < len(line) and line[i] not in ("", None)] for i in range(len(header))]
    return [all(map(_is_number, column)) for column in columns]


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) or re.fullmatch(r"[0-9.,]+ ?%?", str(cell)) is not None
