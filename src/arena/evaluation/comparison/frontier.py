"""A sweep side by side: quality over diversity for each value that was swept, and which values nothing else beats."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from arena.core import tables
from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.core.schema import closest
from arena.core.stored import read
from arena.evaluation.comparison import classes, replies
from arena.evaluation.comparison.arms import Arm, check_seeds, find, kind_of, unfinished
from arena.evaluation.comparison.asked import ComparisonOptions
from arena.evaluation.comparison.rows import Aligned, align, mean_statistic, measures_of, read_measures, read_replies
from arena.evaluation.comparison.tables import COLUMNS, cell, finite, interval
from arena.inference.members import labels_of
from arena.stats.arms import Statistic, Sums, compare, means
from arena.stats.intervals import Interval
from arena.stats.pareto import front

AXES = ("x", "y")


def value_of(run: RunFolder, key: str) -> Any:
    """The value of a dotted key of a run's configuration. `lambda` also finds `lambda_`, which is how Python has to
    spell it.

    Raises:
        UsageError: there is no such key.
        DataError: the run has no configuration.
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
    """The runs of each value, the values in their order; None and names come after numbers.

    Raises:
        UsageError: there is no such key.
        DataError: two runs of one value differ in more than the seed.
    """
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


def frontier(given: str, by: str, x: str, y: str, asked: ComparisonOptions) -> dict[str, Any]:
    """Read all runs, join their rows, and place every value of the sweep.

    Args:
        given: the runs.
        by: dotted key that was swept.
        x, y: names of measures.
        asked: the other keys of the command line.

    Returns:
        `points`: for each value the runs, both measures with intervals over prompts and seeds, those of each seed, the
        paired `change` from the first value, and whether it is on the Pareto front; and what `tsv_of` and the picture
        need besides.
    """
    runs = find("runs", given, asked.trusted_packages)
    stopped = {run.path: reason for run in runs if (reason := unfinished(run))}
    notes = [f"left out {path}: {reason}" for path, reason in stopped.items()]
    runs = [run for run in runs if run.path not in stopped]
    if not runs:
        raise DataError(f"runs={given}: none of the runs is finished; {notes[0]}")
    arms = arms_of(runs, by)
    ordered = [run for arm in arms.values() for run in arm.runs]
    kind = kind_of(ordered, asked.split)
    measured = {"classes": of_classes, "replies": of_replies, "rows": of_rows}[kind](ordered, (x, y), asked)
    points: list[dict[str, Any]] = [
        {"value": value, "runs": [str(run.path) for run in arm.runs], "seeds": arm.seeds} for value, arm in arms.items()
    ]
    for axis in AXES:
        statistic, _ = measured[axis]
        place, sums = 0, []
        for arm in arms.values():
            sums.append(Sums(statistic.base[place : place + len(arm.runs)], statistic.value))
            place += len(arm.runs)
        found: list[Interval] = means(sums, asked.resamples, asked.seed)
        first = sums[0].sums
        against = [replace(statistic, name=str(i), base=first, other=arm.sums) for i, arm in enumerate(sums)]
        changes = compare(against, asked.resamples, asked.seed)
        for i, (point, mean, arm) in enumerate(zip(points, found, sums, strict=True)):
            point[axis] = mean._asdict() | {"seeds": arm.value(arm.sums.sum(axis=1)).tolist()}
            # Two intervals that overlap say little: what makes a prompt hard is in both.
            point[axis]["change"] = changes[str(i)].difference._asdict() if i else None
    axes = {axis: {"name": name, "rises": measured[axis][0].rises} for axis, name in zip(AXES, (x, y), strict=True)}
    mark_front(points, axes)
    if len(points) < 2:
        notes.append(f"by={by}: all runs have {points[0]['value']}; there is nothing to choose between")
    rows = measured["x"][1]
    facts = {"kind": kind, "split": asked.split, "by": by, "axes": axes, "rows": len(rows.member)}
    facts |= {"groups": rows.groups, "resamples": asked.resamples, "seed": asked.seed}
    return {**facts, "folder": os.path.commonpath([run.path.parent for run in runs]), "points": points, "notes": notes}


def of_classes(
    runs: list[RunFolder], names: tuple[str, str], asked: ComparisonOptions
) -> dict[str, tuple[Statistic, Aligned]]:
    """Both measures of runs that classify; all runs are in the statistic's base.

    Raises:
        UsageError: an unknown measure.
        InputOutputError, DataError: as in a comparison.
    """
    heads = Heads(labels_of(runs[0]))
    check_names(names, classes.names(heads))
    rows = align([classes.read_classes(run, asked.split, heads) for run in runs], asked.common)
    found = {each.name: each for each in classes.statistics(heads, rows, len(runs), sorted(set(names)))}
    return {axis: (found[name], rows) for axis, name in zip(AXES, names, strict=True)}


def of_rows(
    runs: list[RunFolder], names: tuple[str, str], asked: ComparisonOptions
) -> dict[str, tuple[Statistic, Aligned]]:
    """The same of runs of a kind of task that says by what its runs are compared."""
    known = measures_of(runs)
    check_names(names, list(known))
    rows = align([read_measures(run, asked.split, list(known)) for run in runs], asked.common)
    made = {axis: mean_statistic(name, rows, len(runs), known[name]) for axis, name in zip(AXES, names, strict=True)}
    return {axis: (statistic, rows) for axis, statistic in made.items()}


def of_replies(
    runs: list[RunFolder], names: tuple[str, str], asked: ComparisonOptions
) -> dict[str, tuple[Statistic, Aligned]]:
    """The same of runs that write replies; log_loss is that of the held-out replies, others are of the samples."""
    found: dict[str, tuple[Statistic, Aligned]] = {}
    made = []
    if any(name != "log_loss" for name in names):
        made = [replies.read_generations(run, asked.name, asked.split) for run in runs]
        replies.check_settings(made, asked.common)
    known = ["log_loss", *(replies.known(made) if made else [])]
    check_names(names, known)
    for axis, name in zip(AXES, names, strict=True):
        if name == "log_loss":
            rows = align([read_replies(run, asked.split) for run in runs], asked.common)
            found[axis] = replies.log_loss(rows, len(runs)), rows
        else:
            rows = align([each.measures for each in made], asked.common)
            found[axis] = mean_statistic(name, rows, len(runs), replies.rises(name) is not False), rows
        if not found[axis][0].rows:
            raise DataError(f"{axis}={name}: it was not computed in any prompt that all runs have")
    return found


def check_names(names: tuple[str, str], known: list[str]) -> None:
    """Raises: UsageError: a measure that there is not."""
    for axis, name in zip(AXES, names, strict=True):
        if name not in known:
            raise UsageError(f"{axis}={name}: there is no such measure{closest(name, known)}")


def mark_front(points: list[dict[str, Any]], axes: Mapping[str, Mapping[str, Any]]) -> None:
    """Mark the Pareto front by the means. Where intervals overlap, the front is a guess as well."""
    values = [[p[axis]["value"] if axes[axis]["rises"] else -p[axis]["value"] for axis in AXES] for p in points]
    for point, on_front in zip(points, front(values), strict=True):
        point["front"] = on_front


def lines_of(found: dict[str, Any]) -> list[list[str]]:
    """The sweep as a table of texts under a header."""
    names = [
        f"{found['axes'][axis]['name']} ({'more' if found['axes'][axis]['rises'] else 'less'} is better)"
        for axis in AXES
    ]
    change = f"change from {found['points'][0]['value']}"
    lines = [[found["by"], "seeds", names[0], "95% interval", change, names[1], "95% interval", change, "Pareto front"]]
    for point in found["points"]:
        cells = []
        for axis in AXES:
            each = point[axis]
            known = finite(each["low"])
            cells += [f"{each['value']:.4f}", f"{each['low']:.4f} to {each['high']:.4f}" if known else ""]
            cells.append(interval(each["change"]) if each["change"] else "")
        lines.append([str(point["value"]), str(len(point["runs"])), *cells, "yes" if point["front"] else ""])
    return lines


def tsv_of(found: dict[str, Any]) -> str:
    """The sweep as tab-separated values, all digits: the mean of each value, then each of its seeds."""
    names = [found["axes"][axis]["name"] for axis in AXES]
    ends = ["", "_low", "_high", "_change", "_change_low", "_change_high"]
    lines = [["value", "seed", *(f"{name}{end}" for name in names for end in ends), "front", "run"]]
    for point in found["points"]:
        cells = []
        for axis in AXES:
            cells += [point[axis][end] for end in COLUMNS]
            cells += [(point[axis]["change"] or {}).get(end) for end in COLUMNS]
        lines.append([cell(each) for each in [point["value"], "mean", *cells, point["front"], None]])
        for place, (run, seed) in enumerate(zip(point["runs"], point["seeds"], strict=True)):
            x, y = ([point[axis]["seeds"][place], *[None] * (len(ends) - 1)] for axis in AXES)
            lines.append([cell(each) for each in [point["value"], seed, *x, *y, None, run]])
    return tables.text_of(lines, "\t")
