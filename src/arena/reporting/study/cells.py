"""Cells and notes that several sections of a sweep's page have, and the commands for its trials."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arena.core.console import duration
from arena.reporting.sections import Digits, Link, plural
from arena.reporting.study.trials import Sweep, Trial, brief, digits, shown, worst_shown

NOTHING = "No trial has completed, so there is nothing to show here."
MOST_TRIALS = 2_000
"""Lines of a table on the page."""
AWAY = ("hydra.", "hydra/", "run_dir=", "resume=")
"""Overrides that belong to the sweep and not to the recipe."""


def params(sweep: Sweep, trial: Trial) -> list[Any]:
    """The cells of a trial's parameters."""
    values = [trial.params.get(name, "") for name in sweep.parameters]
    return [Digits(value) if isinstance(value, float) else brief(value) for value in values]


def time(trial: Trial) -> str:
    """How long it ran, empty for unknown."""
    return "" if trial.seconds is None else duration(trial.seconds)


def number(trial: Trial, output: Path) -> str:
    """The trial's number, which leads to its run folder; the address is relative to the page."""
    if trial.folder is None:
        return str(trial.number)
    return Link(str(trial.number), quote(os.path.relpath(trial.folder, output.absolute())) + "/")


def clipped(sweep: Sweep) -> list[str]:
    """A note where pictures leave out very bad values."""
    notes = []
    for place, one in enumerate(sweep.objectives):
        worst = worst_shown([trial.values[place] for trial in sweep.complete], one.maximise)
        if worst is not None:
            beyond = sum(one.loss(trial.values[place]) > one.loss(worst) for trial in sweep.complete)
            notes.append(f"{plural(beyond, 'value')} of {one.name} beyond {digits(worst)} drawn at the edge.")
    return notes


def overrides(sweep: Sweep, trial: Trial, without: Sequence[str] = ()) -> list[str]:
    """The overrides of a trial: those of its run, else the fixed ones and its parameters.

    Args:
        sweep: which knows the fixed ones.
        trial: the one.
        without: keys to leave out.
    """
    given = trial.overrides or (*sweep.fixed, *(f"{name}={shown(value)}" for name, value in trial.params.items()))
    kept = [each for each in given if not each.lstrip("+~").startswith(AWAY)]
    return [each for each in kept if each.lstrip("+").partition("=")[0] not in without]


def train(given: Sequence[str]) -> str:
    """The command that trains with these overrides, for a shell."""
    return shlex.join(["python", "-m", "arena.train", *given])


def compare(first: Sequence[Trial], second: Sequence[Trial]) -> str | None:
    """The command that compares two recipes row by row, given the runs of each; None where the runs have different
    rows (folds), or their folders are gone."""
    folders = [[str(trial.folder) for trial in trials if trial.folder] for trials in (second, first)]
    folds = {shown(trial.params.get("data.fold")) for trial in (*first, *second)}
    if len(folds) > 1 or not all(folders):
        return None
    base, other = (",".join(some) for some in folders)
    return shlex.join(["python", "-m", "arena.compare", f"base={base}", f"other={other}", "split=val"])
