"""A comparison, or a sweep side by side, as files and as printed tables."""

import math
import re
from pathlib import Path
from typing import Any

from arena.core import tables
from arena.core.console import echo
from arena.core.paths import quote_path
from arena.core.run import plain, write_atomically, write_json
from arena.core.values import flat
from arena.evaluation import printing
from arena.evaluation.comparison.frontier import AXES
from arena.reporting.comparison import forest
from arena.reporting.frontier import picture

ENDS = ("value", "low", "high")
CURVE = re.compile("[@^]")
"""In the name of a measure that is a point of a curve, such as pass@5."""
KEYS = 8
"""Keys of differing recipes that are printed."""


def write_comparison(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write and print what `arena.evaluation.comparison.two_arms.compare_arms` found; returns `comparison.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    forest(folder / "comparison.png", found)
    for arm in ("base", "other"):
        runs = found[arm]["runs"]
        echo(f"{arm} {runs[0]}{f' and {len(runs) - 1} more seeds' if len(runs) > 1 else ''}")
    apart = found["recipes_differ_in"]
    for each in apart[:KEYS]:
        echo(f"  {each['key']}: {each['base']} -> {each['other']}")
    if len(apart) > KEYS:
        echo(f"  and {len(apart) - KEYS} more keys (comparison.json)")
    prompts = f", {found['prompts']} prompts with samples" if "prompts" in found else ""
    return _write(folder / "comparison", found, comparison_cells(found), comparison_lines(found), prompts)


def write_frontier(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write and print what `arena.evaluation.comparison.frontier.frontier` found; returns `frontier.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture(folder / "frontier.png", found)
    return _write(folder / "frontier", found, frontier_cells(found), frontier_lines(found))


def _write(
    place: Path, found: dict[str, Any], cells: list[list[Any]], lines: list[list[str]], besides: str = ""
) -> dict[str, Any]:
    """Write the table, and then the json file: whoever sees that sees all of it; print table, notes and verdict."""
    write_atomically(place.with_suffix(".tsv"), tables.text_of([list(map(_cell, line)) for line in cells], "\t"))
    write_json(place.with_suffix(".json"), found)
    printing.print_table(f"{found['split']}: {found['rows']} rows, {found['groups']} groups{besides}", lines)
    if mcnemar := found.get("measures", {}).get("accuracy", {}).get("mcnemar"):
        echo(
            f"{mcnemar['only_other']} rows only other has right, {mcnemar['only_base']} only base (McNemar p "
            f"{mcnemar['p']:.3f}, which takes rows as independent)"
        )
    for line in (*found["notes"], *([found["verdict"]["line"]] if "verdict" in found else [])):
        echo(line)
    echo(f"written to {quote_path(place.parent)}")
    return plain(found)


def _cell(value: Any) -> str:
    """One cell of a tab-separated file: all digits, nothing for what is missing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split())


def _number(value: float, form: str = ".4f", missing: str = "") -> str:
    return format(value, form) if math.isfinite(value) else missing


def _interval(entry: dict[str, float] | None, form: str = "+.4f") -> str:
    """Write `+0.0123 (+0.0011 to +0.0235)`; nothing where there is no number."""
    ends = [_number(entry[end], form) for end in ENDS] if entry else [""]
    return f"{ends[0]} ({ends[1]} to {ends[2]})" if all(ends) else ends[0]


def comparison_lines(found: dict[str, Any]) -> list[list[str]]:
    """The comparison under its header, one line for each measure; curves are in the tab-separated file only."""
    replies = found["kind"] == "replies"
    middle = ["gain of diversity", "band"] if replies else ["rows needed"]
    lines = [["measure", "base", "other", "other - base (95% interval)", *middle, "p", "Holm", "role", "word"]]
    for name, entry in found["measures"].items():
        decided = entry["role"] != "shown"
        if not decided and CURVE.search(name):
            continue
        middle = [_number(entry["rows_needed"], ",.0f")]
        if replies:
            middle = [_interval(entry.get("gain"), "+.1%"), entry.get("band") or ""]
        values = [_number(entry[arm], missing="undefined") for arm in ("base", "other")]
        p = [_number(entry["p"][key]) for key in ("of_both", "holm")]
        name += " (less is better)" if decided and not entry["rises"] else ""
        word = entry["word"] if decided else ""
        lines.append([name, *values, _interval(entry["difference"]), *middle, *p, entry["role"], word])
    return lines


def comparison_cells(found: dict[str, Any]) -> list[list[Any]]:
    """The comparison with all digits, header first: a column for each number of `comparison.json`."""
    lines = [
        {"measure": name} | {key.replace(".", "_"): value for key, value in flat(entry)}
        for name, entry in found["measures"].items()
    ]
    header = list(dict.fromkeys(key for line in lines for key in line))
    return [header, *([line.get(key) for key in header] for line in lines)]


def frontier_lines(found: dict[str, Any]) -> list[list[str]]:
    """The sweep as a table under a header."""
    change = f"change from {found['points'][0]['value']}"
    header = [found["by"], "seeds"]
    for axis in found["axes"].values():
        header += [f"{axis['name']} ({'more' if axis['rises'] else 'less'} is better)", "95% interval", change]
    lines = [[*header, "Pareto front"]]
    for point in found["points"]:
        cells = []
        for each in (point[axis] for axis in AXES):
            low, high = _number(each["low"]), _number(each["high"])
            cells += [f"{each['value']:.4f}", f"{low} to {high}" if low else "", _interval(each["change"])]
        lines.append([str(point["value"]), str(len(point["runs"])), *cells, "yes" if point["front"] else ""])
    return lines


def frontier_cells(found: dict[str, Any]) -> list[list[Any]]:
    """The sweep with all digits, header first: the mean of each value, then each of its seeds."""
    ends = ["", "_low", "_high", "_change", "_change_low", "_change_high"]
    names = [f"{axis['name']}{end}" for axis in found["axes"].values() for end in ends]
    lines: list[list[Any]] = [["value", "seed", *names, "front", "run"]]
    for point in found["points"]:
        cells = []
        for each in (point[axis] for axis in AXES):
            cells += [*(each[end] for end in ENDS), *((each["change"] or {}).get(end) for end in ENDS)]
        lines.append([point["value"], "mean", *cells, point["front"], None])
        for place, (run, seed) in enumerate(zip(point["runs"], point["seeds"], strict=True)):
            x, y = ([point[axis]["seeds"][place], *[None] * (len(ends) - 1)] for axis in AXES)
            lines.append([point["value"], seed, *x, *y, None, run])
    return lines
