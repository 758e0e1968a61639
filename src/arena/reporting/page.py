"""One HTML page that needs nothing but itself: pictures are embedded, and every text of the data is escaped."""

import base64
import re
from html import escape
from pathlib import Path
from typing import Any

from arena.reporting.sections import Link, Section, Sheet, shown_cell

GENERATOR = "arena exploration"
"""Stands in the page, so that a later report knows which folder it may replace."""
CSS = """
:root { color-scheme: light dark; --ink: #1d1f21; --soft: #5c6166; --paper: #ffffff; --line: #dcdfe3; --tint: #f5f7f9;
  --link: #0060a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e3; --soft: #a3a8ae; --paper: #16181b; --line: #363a40; --tint: #1f2226; --link: #7cc0f5; }
  .picture { filter: brightness(.9); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
.page { max-width: 1120px; margin: 0 auto; padding: 2rem 1.25rem 4rem;
  display: grid; grid-template-columns: 13rem minmax(0, 1fr);
  gap: 0 2.5rem; }
header { grid-column: 1 / -1; border-bottom: 1px solid var(--line); margin-bottom: 1.5rem; padding-bottom: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 0 0 .3rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
nav { position: sticky; top: 1rem; align-self: start; font-size: .9rem; max-height: 96vh; overflow-y: auto; }
nav ul { list-style: none; margin: 0; padding: 0; } nav li { margin: .2rem 0; }
nav .bare a { color: var(--soft); }
section { margin-bottom: 2.6rem; scroll-margin-top: 1rem; max-width: 780px; }
p { margin: .35rem 0; } .finding { font-size: 1.03rem; } .note, .account { color: var(--soft); font-size: .88rem; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: .8rem 0 0; padding: 0; }
.facts div { min-width: 6rem; } .facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.picture { margin: .8rem 0; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; padding: 6px; }
.picture img { display: block; width: 100%; height: auto; }
pre { margin: .3rem 0 .8rem; padding: .6rem .8rem; background: var(--tint); border: 1px solid var(--line);
  border-radius: 6px; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  user-select: all; }
.caption { font-size: .9rem; margin-top: .7rem; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); font-size: .9rem; }
.table { overflow-x: auto; max-height: 32rem; border: 1px solid var(--line); border-radius: 6px; margin-top: .4rem; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: 100%;
  overflow-wrap: normal; }
th { position: sticky; top: 0; background: var(--tint); text-align: left; font-weight: 600; vertical-align: bottom; }
th { min-width: 4.6rem; } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
td.number, th.number { text-align: right; } tr:last-child td { border-bottom: 0; }
@media (max-width: 820px) { .page { display: block; padding: 1.2rem .9rem 3rem; }
  nav { position: static; margin-bottom: 1.8rem; border-bottom: 1px solid var(--line); padding-bottom: 1rem; }
  nav ul { columns: 2; } h1 { font-size: 1.35rem; } .picture { overflow-x: auto; } .picture img { min-width: 34rem; } }
"""


def page(
    title: str,
    facts: list[tuple[str, str]],
    notes: list[str],
    sections: list[Section],
    figures: Path,
    generator: str = GENERATOR,
) -> str:
    """The page.

    Args:
        title: plain text, as everything else.
        facts: a few numbers for the top, with their names.
        notes: what holds for all sections.
        sections: in order.
        figures: folder of the pictures, already drawn.
        generator: which report this is.
    """
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    links = "".join(_link(section) for section in sections)
    body = "\n".join(_section(section, figures) for section in sections)
    above = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{escape(generator)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{CSS}</style>\n</head>\n<body>\n'
        f'<div class="page">\n<header><h1>{escape(title)}</h1>{above}<dl class="facts">{tiles}</dl></header>\n'
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n</div>\n</body>\n</html>\n'
    )


def _link(section: Section) -> str:
    bare = "" if section.pictures or section.sheets or section.commands else ' class="bare"'
    return f'<li{bare}><a href="#{section.key}">{escape(section.title)}</a></li>'


def _section(section: Section, figures: Path) -> str:
    parts = [f'<section id="{section.key}">', f"<h2>{escape(section.title)}</h2>"]
    parts.append(f'<p class="finding">{escape(section.finding)}</p>')
    for caption, command in section.commands:
        parts.append(f'<p class="caption">{escape(caption)}</p><pre>{escape(command)}</pre>')
    for picture in section.pictures:
        data = base64.b64encode((figures / f"{picture.name}.png").read_bytes()).decode()
        image = f'<img alt="{escape(picture.description)}" src="data:image/png;base64,{data}">'
        parts.append(f'<div class="picture">{image}</div>')
    parts += [f'<p class="note">{escape(note)}</p>' for note in section.notes]
    opened = " open" if not section.pictures else ""
    parts += [_details(sheet, opened) for sheet in section.sheets]
    return "\n".join([*parts, "</section>"])


def _details(sheet: Sheet, opened: str) -> str:
    header, *lines = sheet.lines
    columns = [[line[i] for line in lines if i < len(line) and line[i] not in ("", None)] for i in range(len(header))]
    numeric = [all(map(_is_number, column)) for column in columns]
    head = "".join(f"<th{_number(numeric[i])}>{escape(str(name))}</th>" for i, name in enumerate(header))
    rows = "".join(f"<tr>{_cells(line, numeric)}</tr>" for line in lines[: sheet.most])
    where = sheet.file or f"tables/{sheet.name}.csv"
    more = f": the first {sheet.most} of {len(lines):,} lines, all in {where}" if len(lines) > sheet.most else ""
    return (
        f"<details{opened}><summary>{escape(sheet.caption)}{escape(more)}</summary>"
        f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _cells(line: list[Any], numeric: list[bool]) -> str:
    aligned = [i < len(numeric) and numeric[i] for i in range(len(line))]
    cells = zip(line, aligned, strict=True)
    return "".join(f"<td{_number(right)}>{_cell(cell)}</td>" for cell, right in cells)


def _cell(cell: Any) -> str:
    text = escape(shown_cell(cell))
    return f'<a href="{escape(cell.href)}">{text}</a>' if isinstance(cell, Link) else text


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) or re.fullmatch(r"[0-9.,]+ ?%?", str(cell)) is not None


def _number(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
