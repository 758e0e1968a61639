"""Cells and notes that several sections of a sweep's page have."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arena.reporting.sections import Digits, Link, plural
from arena.reporting.study import measures
from arena.reporting.study.trials import Sweep, Trial, brief, digits

NOTHING = "No trial has completed, so there is nothing to show here."
MOST_TRIALS = 2_000
"""Lines of a table on the page."""


def params(sweep: Sweep, trial: Trial) -> list[Any]:
    """The cells of a trial's parameters."""
    return [cell(trial.params[name]) if name in trial.params else "" for name in sweep.parameters]


def cell(value: Any) -> Any:
    """A parameter's value as a cell."""
    return Digits(value) if isinstance(value, float) else brief(value)


def number(trial: Trial, output: Path) -> str:
    """The trial's number, which leads to its run folder; the address is relative to the page."""
    if trial.folder is None:
        return str(trial.number)
    return Link(str(trial.number), quote(os.path.relpath(trial.folder, output.absolute())) + "/")


def clipped(sweep: Sweep) -> list[str]:
    """A note where pictures leave out very bad values."""
    notes = []
    for place, one in enumerate(sweep.objectives):
        values = [trial.values[place] for trial in sweep.complete]
        worst = measures.worst_shown(values, one.maximise)
        if worst is not None:
            beyond = sum(one.loss(value) > one.loss(worst) for value in values)
            notes.append(f"{plural(beyond, 'value')} of {one.name} beyond {digits(worst)} drawn at the edge.")
    return notes
