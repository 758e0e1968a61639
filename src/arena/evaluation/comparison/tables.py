"""A comparison as tables: for people, and tab-separated with all digits."""

import math
import re
from typing import Any

from arena.core import tables

COLUMNS = ("value", "low", "high")
CURVE = re.compile("[@^]")
"""In the name of a measure that is a point of a curve, such as pass@5."""


def finite(value: Any) -> bool:
    """Whether there is a number at all."""
    return isinstance(value, int | float) and math.isfinite(value)


def interval(entry: dict[str, float], percent: bool = False) -> str:
    """`+0.0123 (+0.0011 to +0.0235)`, or in percent; nothing where there is no number."""
    if not finite(entry["value"]):
        return ""
    shown = [f"{entry[name]:+.1%}" if percent else f"{entry[name]:+.4f}" for name in COLUMNS if finite(entry[name])]
    return shown[0] if len(shown) < len(COLUMNS) else f"{shown[0]} ({shown[1]} to {shown[2]})"


def lines_of(found: dict[str, Any]) -> list[list[str]]:
    """The comparison under its header, one line for each measure; curves are in the tab-separated file only."""
    replies = found["kind"] == "replies"
    head = ["measure", "base", "other", "other - base (95% interval)"]
    lines = [[*head, *(["gain of diversity", "band"] if replies else ["rows needed"]), "p", "Holm", "role", "word"]]
    for name, entry in found["measures"].items():
        if entry["role"] == "shown" and CURVE.search(name):
            continue
        values = [f"{entry[arm]:.4f}" if finite(entry[arm]) else "undefined" for arm in ("base", "other")]
        if replies:
            gain = interval(entry["gain"], True) if "gain" in entry else ""
            middle = [gain, entry.get("band") or ""]
        else:
            middle = [f"{entry['rows_needed']:,.0f}" if finite(entry["rows_needed"]) else ""]
        p = [f"{entry['p'][key]:.4f}" if finite(entry["p"][key]) else "" for key in ("of_both", "holm")]
        arrow = "" if entry["role"] == "shown" else " (less is better)" if not entry["rises"] else ""
        word = "" if entry["role"] == "shown" else entry["word"]
        lines.append([name + arrow, *values, interval(entry["difference"]), *middle, *p, entry["role"], word])
    return lines


def tsv_of(found: dict[str, Any]) -> str:
    """The comparison as tab-separated values; an empty cell where there is no number."""
    parts = {"difference": COLUMNS, "relative": COLUMNS, "gain": COLUMNS}
    plain = ["rises", "rows", "left_out", "base", "other"]
    rest = ["seed_deviation", "rows_needed", "least_shown", "margin", "not_worse", "band", "above_seeds", "counts"]
    header = ["measure", "role", "word", *plain, *(f"{part}_{each}" for part in parts for each in COLUMNS)]
    header += ["p_sign_flips", "p_with_seeds", "p_holm", *rest, "reason"]
    lines: list[list[str]] = [header]
    for name, entry in found["measures"].items():
        cells = [name, entry["role"], entry["word"], *(entry[each] for each in plain)]
        cells += [entry.get(part, {}).get(each) for part in parts for each in COLUMNS]
        cells += [entry["p"][each] for each in ("sign_flips", "with_seeds", "holm")]
        cells += [*(entry.get(each) for each in rest), entry.get("reason")]
        lines.append([cell(each) for each in cells])
    return tables.text_of(lines, "\t")


def cell(value: Any) -> str:
    """One cell of a tab-separated file: all digits, nothing for what is missing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split())
