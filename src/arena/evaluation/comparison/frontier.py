"""A sweep side by side: quality over diversity for each value that was swept, and which values nothing else beats."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from arena.core.errors import DataError, UsageError
from arena.core.run import RunFolder
from arena.core.schema import closest
from arena.core.stored import read
from arena.evaluation.comparison.arms import Arm, check_seeds, find, kind_of, unfinished
from arena.evaluation.comparison.options import ComparisonOptions
from arena.evaluation.comparison.two_arms import ROWS
from arena.stats.arms import Sums, compare, means
from arena.stats.pareto import front

AXES = ("x", "y")


def value_of(run: RunFolder, key: str) -> Any:
    """The value of a dotted key of a run's configuration. `lambda` also finds `lambda_`, its name in Python.

    A `UsageError` where there is no such key, a `DataError` where the run has no configuration.
    """
    from arena.core.values import flat

    if not run.config.is_file():
        raise DataError(f"{run.path}: it has no config.yaml, so nothing says what its {key} was")
    settings: Any = read(run.config)
    node: Any = settings
    for part in key.split("."):
        names = [name for name in (part, f"{part}_") if isinstance(node, dict) and name in node]
        if not names:
            raise UsageError(f"by={key}: there is no such key in {run.config}{closest(key, dict(flat(settings)))}")
        node = node[names[0]]
    if isinstance(node, dict):
        raise UsageError(f"by={key}: it is a group of keys in {run.config}; give one of them")
    return node


def arms_of(runs: list[RunFolder], key: str) -> dict[Any, Arm]:
    """Return the runs of each value, the values in their order; None and names come after numbers."""
    found: dict[Any, list[RunFolder]] = {}
    for run in runs:
        value = value_of(run, key)
        found.setdefault(tuple(value) if isinstance(value, list) else value, []).append(run)

    def order(value: Any) -> tuple[bool, float, str]:
        number = isinstance(value, int | float)
        return not number, float(value) if number else 0.0, str(value)

    arms = {value: Arm(f"{key}={value}", found[value]) for value in sorted(found, key=order)}
    for arm in arms.values():
        check_seeds(arm)
    return arms


def frontier(given: str, by: str, x: str, y: str, options: ComparisonOptions) -> dict[str, Any]:
    """Read all runs, join their rows, and place every value of the dotted key `by` by the measures `x` and `y`.

    Returns `points`: for each value the runs, both measures with intervals over prompts and seeds, those of each seed,
    the paired `change` from the first value, and whether it is on the Pareto front; and what tables and the picture
    need besides.
    """
    runs = find("runs", given, options.trusted_packages)
    stopped = {run.path: reason for run in runs if (reason := unfinished(run))}
    notes = [f"left out {path}: {reason}" for path, reason in stopped.items()]
    runs = [run for run in runs if run.path not in stopped]
    if not runs:
        raise DataError(f"runs={given}: none of the runs is finished; {notes[0]}")
    arms = arms_of(runs, by)
    ordered = [run for arm in arms.values() for run in arm.runs]
    kind = kind_of(ordered, options.split)
    rows: Any = ROWS[kind](ordered, options)
    points: list[dict[str, Any]] = [
        {"value": value, "runs": [str(run.path) for run in arm.runs], "seeds": arm.seeds} for value, arm in arms.items()
    ]
    axes = {}
    for axis, name in zip(AXES, (x, y), strict=True):
        known = rows.names if name != "log_loss" or kind != "replies" else [name]
        if name not in known:
            raise UsageError(f"{axis}={name}: there is no such measure{closest(name, known)}")
        [statistic] = rows.statistics([name], len(ordered))
        if not statistic.rows:
            raise DataError(f"{axis}={name}: it was not computed in any prompt that all runs have")
        axes[axis] = {"name": name, "rises": statistic.rises}
        place, sums = 0, []
        for arm in arms.values():
            sums.append(Sums(statistic.base[place : place + len(arm.runs)], statistic.value))
            place += len(arm.runs)
        against = [replace(statistic, name=str(i), base=sums[0].sums, other=arm.sums) for i, arm in enumerate(sums)]
        changes = compare(against, options.resamples, options.seed)
        found = means(sums, options.resamples, options.seed)
        for i, (point, mean, arm) in enumerate(zip(points, found, sums, strict=True)):
            point[axis] = mean._asdict() | {"seeds": arm.value(arm.sums.sum(axis=1)).tolist()}
            # Two intervals that overlap say little: what makes a prompt hard is in both.
            point[axis]["change"] = changes[str(i)].difference._asdict() if i else None
    mark_front(points, axes)
    if len(points) < 2:
        notes.append(f"by={by}: all runs have {points[0]['value']}; there is nothing to choose between")
    joined = rows.prompts if kind == "replies" and x != "log_loss" else rows.rows
    facts = {"kind": kind, "split": options.split, "by": by, "axes": axes, "rows": len(joined.member)}
    facts |= {"groups": joined.groups, "resamples": options.resamples, "seed": options.seed}
    return {**facts, "folder": os.path.commonpath([run.path.parent for run in runs]), "points": points, "notes": notes}


def mark_front(points: list[dict[str, Any]], axes: Mapping[str, Mapping[str, Any]]) -> None:
    """Mark the Pareto front by the means. Where intervals overlap, the front is a guess as well."""
    values = [[p[axis]["value"] if axes[axis]["rises"] else -p[axis]["value"] for axis in AXES] for p in points]
    for point, on_front in zip(points, front(values), strict=True):
        point["front"] = on_front
