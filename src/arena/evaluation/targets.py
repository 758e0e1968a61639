"""`evaluate.targets`: values of metrics that a model should reach, beside those that it reached."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.core import tables
from arena.core.errors import UsageError
from arena.core.run import write_atomically

FILE = "targets.csv"
HEADER = ["metric", "reached", "low", "high", "target", "gap", "share_of_target", "met"]


def check_values(targets: Any, key: str) -> dict[str, float]:
    """Read targets; a `UsageError` where they are no mapping from names to numbers."""
    numbers = isinstance(targets, Mapping) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in targets.values()
    )
    if not numbers:
        raise UsageError(f"{key}={targets}: names of metrics with numbers are needed, such as {key}={{macro_f1: 0.7}}")
    return {str(name): float(value) for name, value in targets.items()}


def lines(targets: Mapping[str, float], values: Mapping[str, Mapping[str, float]], metrics: Any) -> list[list[Any]]:
    """The table, header first: `gap` is reached minus target; `share_of_target` is reached / target, or target /
    reached where lower is better (`metrics.higher_is_better`), so that 1 or more always says that the target is met."""
    found: list[list[Any]] = [list(HEADER)]
    for name, target in targets.items():
        entry = values[name]
        reached, low, high = (float(entry.get(part, math.nan)) for part in ("value", "low", "high"))
        falls = metrics.higher_is_better(name) is False
        share, of = (target, reached) if falls else (reached, target)
        met = reached <= target if falls else reached >= target
        cells = [reached, low, high, target, reached - target, share / of if of else math.nan]
        found.append([name, *cells, "" if math.isnan(reached) else "yes" if met else "no"])
    return found


def write(path: Path, table: list[list[Any]]) -> None:
    """Write the table as CSV; what is undefined is an empty cell."""
    lines = [["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in line] for line in table]
    write_atomically(path, tables.text_of(lines))


def print_targets(table: list[list[Any]]) -> None:
    """Print the table, if it has a line: four decimals, shares in percent."""
    from arena.evaluation.printing import number, print_table

    lines = [["metric", "reached", "95% interval", "target", "gap", "share of target", "met"]]
    for name, reached, low, high, target, gap, share, met in table[1:]:
        ends = "" if math.isnan(low) else f"{low:.4f} to {high:.4f}"
        rest = ["", ""] if math.isnan(reached) else [f"{gap:+.4f}", "" if math.isnan(share) else f"{share:.1%}"]
        lines.append([name, number(reached), ends, f"{target:.4f}", *rest, met])
    if len(lines) > 1:
        print_table("targets", lines)
