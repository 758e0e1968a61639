"""The tables of a sweep, header first."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arena.core import tables
from arena.core.console import duration
from arena.reporting.page import Link, Sheet, digits
from arena.reporting.study import commands, measures
from arena.reporting.study.trials import Sweep, Trial, short

MAX_LINES = 2_000
"""Lines of a table on the page."""
HEADLINE = ("log_loss", "accuracy", "macro_f1", "auroc", "mcc", "brier", "calibration_error")
"""Test metrics of the page's table; of tasks without any of them the first seven."""
Lines = list[list[Any]]


def recipes(sweep: Sweep, objective: int) -> Sheet:
    """Recipes with mean, deviation and t interval over their seeds and folds."""
    found, one = measures.recipes(sweep, objective), sweep.objectives[objective]
    names = list(found[0].params)
    lines: Lines = [[*names, "n", "mean", "standard deviation", "low", "high", "trials"]]
    for recipe in found:
        trials = " ".join(str(trial.number) for trial in recipe.trials)
        params = [short(recipe.params.get(name, "")) for name in names]
        lines.append([*params, recipe.spread.n, *recipe.spread[1:], trials])
    return Sheet(f"recipes_{objective}", f"{one.name} by recipe", lines, MAX_LINES)


def test(sweep: Sweep) -> Sheet | None:
    """Mean and deviation of the headline test metrics of recipes and baselines; None where nothing was tested."""
    found = measures.test_spreads(sweep)
    if not found:
        return None
    names = list(dict.fromkeys(name for spreads in found.values() for name in spreads))
    shown = [name for name in HEADLINE if name in names] or names[:7]
    lines: Lines = [["recipe", "n", *(name.replace("_", " ") for name in shown)]]
    for label, spreads in found.items():
        cells = [_deviation(spreads[name]) if name in spreads else "" for name in shown]
        lines.append([label, max((spread.n for spread in spreads.values()), default=0), *cells])
    return Sheet("test", "Test metrics", lines, MAX_LINES, "test.tsv")


def _deviation(spread: measures.Spread) -> str:
    return f"{spread.mean:.4f}" + ("" if spread.n < 2 else f" \u00b1 {spread.standard_deviation:.4f}")


def test_tsv(sweep: Sweep) -> str:
    """Every test metric of each recipe and baseline with all digits, one line each."""
    lines: Lines = [["recipe", "metric", "n", "mean", "standard_deviation", "low", "high"]]
    for label, spreads in measures.test_spreads(sweep).items():
        lines += [[label, name, *map(_known, spread)] for name, spread in spreads.items()]
    return tables.text_of(lines, "\t")


def front(sweep: Sweep) -> Sheet:
    """The trials of the Pareto front with their commands."""
    lines: Lines = [["trial", *(one.name for one in sweep.objectives), *sweep.parameters, "command"]]
    for trial in measures.front(sweep):
        lines.append([trial.number, *trial.values, *_params(sweep, trial), commands.train(sweep, trial)])
    return Sheet("front", "Trials of the front", lines)


def trials(sweep: Sweep, output: Path) -> Sheet:
    """All trials, complete ones the best first, with the reasons of those that did not complete."""
    ordered = sweep.best_first()
    numbers = {trial.number for trial in ordered}
    ordered += [trial for trial in sweep.trials if trial.number not in numbers]
    header = ["trial", "kind", *(one.name for one in sweep.objectives), "low", "high", *sweep.parameters]
    lines: Lines = [[*header, "time", "exit code", "retry of", "reason"]]
    for trial in ordered:
        values = [*trial.values, *[""] * (len(sweep.objectives) - len(trial.values))]
        ends = ["" if math.isnan(end) else end for end in trial.intervals[0]]
        time = "" if trial.seconds is None else duration(trial.seconds)
        rest = [time, trial.exit_code, trial.retry_of, " ".join(trial.reason.split())[:200]]
        number = str(trial.number)
        if trial.folder is not None:  # relative to the page
            number = Link(number, quote(os.path.relpath(trial.folder, output.absolute())) + "/")
        lines.append([number, trial.kind.replace("_", " "), *values, *ends, *_params(sweep, trial), *rest])
    used = [i for i in range(len(lines[0])) if any(line[i] not in ("", None) for line in lines[1:])]
    return Sheet("trials", "All trials", [[line[i] for i in used] for line in lines], MAX_LINES, "summary.csv")


def _params(sweep: Sweep, trial: Trial) -> list[Any]:
    return [short(trial.params.get(name, "")) for name in sweep.parameters]


def summary_csv(sweep: Sweep, output: Path) -> str:
    """Every trial by number, with all digits; an empty cell where there is no value."""
    tested = [measures.test_metrics(trial) for trial in sweep.trials]
    metrics = list(dict.fromkeys(name for found in tested for name in found))
    ends = [f"{one.name} {end}" for one in sweep.objectives for end in ("low", "high")]
    header = ["trial", "kind", *(one.name for one in sweep.objectives), *ends, *sweep.parameters]
    header += ["seconds", "exit_code", "retry_of", "reason", "started", "ended", "folder"]
    lines: Lines = [[*header, *(f"test/{name}" for name in metrics)]]
    for trial, found in zip(sweep.trials, tested, strict=True):
        values = [*trial.values, *[None] * (len(sweep.objectives) - len(trial.values))]
        intervals = [end for interval in trial.intervals for end in interval]
        folder = os.path.relpath(trial.folder, output.absolute()) if trial.folder else None
        times = [each.isoformat(timespec="seconds") if each else None for each in (trial.started, trial.ended)]
        params = [trial.params.get(name) for name in sweep.parameters]
        rest = [trial.seconds, trial.exit_code, trial.retry_of, " ".join(trial.reason.split()), *times, folder]
        cells = [*values, *intervals, *params, *rest, *(found.get(name) for name in metrics)]
        lines.append([trial.number, trial.kind, *map(_known, cells)])
    return tables.text_of(lines)


def _known(cell: Any) -> Any:
    return None if cell != cell else cell


def best_lines(sweep: Sweep, number: int = 5) -> Sequence[list[str]]:
    """The best trials for the screen: those of the front where there are several objectives."""
    chosen = measures.front(sweep) if len(sweep.objectives) > 1 else sweep.best_first()
    lines = [["trial", *(one.name for one in sweep.objectives), *sweep.parameters]]
    for trial in chosen[:number]:
        params = [short(trial.params.get(name, "")) for name in sweep.parameters]
        lines.append([str(trial.number), *map(digits, trial.values), *params])
    return lines
