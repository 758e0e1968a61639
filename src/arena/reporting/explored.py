"""Steps of `arena.explore` around its report: leaks, rows read and used, headline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from arena.config import build
from arena.core.console import echo
from arena.core.run import write_json
from arena.data.source.codes import CODES
from arena.data.split.leaks import leak_report, leaks_between
from arena.data.text.truncation import truncation_table
from arena.reporting import exploration


def explored(output: Path, settings: build.Settings, lengths: list[int], other: str | None) -> dict[str, Any]:
    """Read, split, look for leaks, count, draw; returns what was written to `summary.json`.

    Args:
        output: the folder of the report.
        settings: of the data.
        lengths: for which the rows that would be truncated are counted.
        other: another file to look for these rows in.
    """
    data = build.data(settings)
    data.setup()
    reports = leaks(data, other)
    for report in reports.values():
        echo("\n".join(report.lines()))
    turns, layout = data.sequences.turns, data.sequences.layout
    minimum = layout.base + layout.per_turn + 3
    limits = truncation_table(turns, layout, [n for n in lengths if n >= minimum], data.truncation)
    tables = (leak_table(reports), account_table(data.summary()))
    found = exploration.write(output, title(settings), data.table, data.texts, turns.field_counts(), limits, *tables)
    found |= {"data": data.summary(), "truncation": limits}
    found |= {"leaks": {name: report.to_dict() for name, report in reports.items()}}
    write_json(output / "summary.json", found)
    return found


def leaks(data: Any, other: str | None) -> dict[str, Any]:
    """The leak report of the splits, and of another file against all rows where one is given."""
    threshold = data.split_settings.near_duplicates or 0.8
    echo(f"looking for repeats (near ones from a Jaccard similarity of {threshold:g})")
    reports = {"splits": leak_report(data.source, data.positions, data.table["split"].to_pylist(), threshold)}
    if other:
        rows = data.reader(other, replace(data.ingest, rejects=None), data.cache)
        reports["files"] = leaks_between(data.source, rows, threshold, ("data", Path(other).name))
    return reports


def leak_table(reports: dict[str, Any]) -> list[list[Any]]:
    """The leak reports as one table, header first."""
    lines: list[list[Any]] = [["repeat", "rows with one in another part", "rows with one in the same part", "parts"]]
    for report in reports.values():
        for kind, overlap in report.overlap.items():
            lines.append([kind, int(report.crossing[kind]), int(overlap.trace()), ", ".join(report.parts)])
    return lines


def account_table(summary: dict[str, Any]) -> list[list[Any]]:
    """Rows read, rejected, merged, left out and used, header first."""
    lines: list[list[Any]] = [["what", "rows"], ["read", summary["rows_read"]]]
    lines += [[f"rejected: {CODES[code]}", rows] for code, rows in summary["reject_codes"].items()]
    lines += [["merged", summary["rows_merged"]]] if summary["rows_merged"] else []
    lines += [[f"left out ({reason})", rows] for reason, rows in summary["rows_dropped"].items()]
    lines += [["used", summary["rows_kept"]]]
    return lines + [[f"noted: {CODES[code]}", rows] for code, rows in summary["notes"].items()]


def title(settings: dict[str, Any]) -> str:
    """The name of the data: of the file, with its folder where the file's own name says nothing."""
    path = settings["data"]["path"]
    if not isinstance(path, str):
        return "comparisons" if path is None else ", ".join(Path(place).name for place in path)
    place = Path(path)
    return f"{place.absolute().parent.name}/{place.name}" if place.stem in ("data", "train", "test") else place.name


def headline(found: dict[str, Any]) -> str:
    """The numbers that one wants to know first, in a few lines."""
    data = found["data"]

    def text(rate: dict[str, Any]) -> str:
        low, high = rate["low"], rate["high"]
        return f"{rate['value']:.1%} ({low:.1%} to {high:.1%} of {rate['total']})" if rate["total"] else "no rows"

    lines = [
        f"{data['rows_read']} rows read, {data['rows_kept']} used: "
        + ", ".join(f"{rows} {split} ({data['groups'][split]} groups)" for split, rows in data["splits"].items()),
        f"the longer answer wins {text(found['longer_wins'])}; answer A wins {text(found['position'])}",
    ]
    lines += [
        f"at {limit['max_length']} tokens {limit['share_cut']:.1%} of the rows are truncated; cut at the right end, "
        f"answer B would be invisible in {limit['share_b_invisible_right_cut']:.1%}"
        for limit in found["truncation"]
    ]
    return "\n".join(lines)
