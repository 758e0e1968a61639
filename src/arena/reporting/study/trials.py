"""A sweep as plain data: what was optimised, what was varied, and what became of each trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

REPEATS = ("seed", "data.fold")
"""Parameters that repeat a recipe instead of changing it."""
KINDS = (
    "complete", "pruned", "diverged", "out_of_memory", "timeout", "preempted", "failed", "running", "waiting",
)  # fmt: skip
UNFINISHED = ("running", "waiting")
MONITOR = "monitor"
"""The objective that stands for the best validation value of the run's monitor."""


@dataclass(frozen=True)
class Objective:
    """What is optimised: its name for people, the path of its value in `result.json`, and the direction."""

    name: str
    path: str
    maximise: bool

    @property
    def word(self) -> str:
        """What the best value is among the others."""
        return "highest" if self.maximise else "lowest"

    def loss(self, value: float) -> float:
        """The value with its sign such that less is better."""
        return -value if self.maximise else value


@dataclass(frozen=True)
class Parameter:
    """What was varied.

    Attributes:
        name: the override's key.
        numeric: whether all values are numbers; else they are `choices`, in order of first use.
        log: whether its axis is logarithmic.
        choices: all different values as text, of a parameter that is not numeric.
    """

    name: str
    numeric: bool
    log: bool
    choices: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """Where a value stands on the axis; NaN for a trial without this parameter."""
        if self.numeric:
            return math.nan if value is None else float(value)
        return float(self.choices.index(shown(value))) if shown(value) in self.choices else math.nan


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: its number in the study.
        kind: one of `KINDS`.
        values: one for each objective, empty where there is none.
        params: what was varied.
        intervals: the 95% interval of each value in `result.json`, None where there is none.
        reason: why it did not complete, empty where it did or where nobody knows.
        exit_code: of its process, None for unknown.
        seconds: how long it ran, None for unknown.
        folder: its run folder, None where that is gone.
        overrides: the command line of its run, where it was read already.
        started, ended: None for unknown.
        intermediate: validation values by step, as the pruner saw them.
        retry_of: number of the trial that this one repeats.
    """

    number: int
    kind: str
    values: tuple[float, ...]
    params: dict[str, Any]
    intervals: tuple[tuple[float, float] | None, ...] = ()
    reason: str = ""
    exit_code: int | None = None
    seconds: float | None = None
    folder: Path | None = None
    overrides: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    intermediate: dict[int, float] = field(default_factory=dict)
    retry_of: int | None = None

    def interval(self, objective: int) -> tuple[float, float]:
        """The interval of one value; NaN twice where there is none."""
        found = self.intervals[objective] if objective < len(self.intervals) else None
        return found or (math.nan, math.nan)


@dataclass(frozen=True)
class Sweep:
    """A study.

    Attributes:
        name: of the study.
        folder: where its runs lie.
        objectives: one or more.
        trials: by number.
        parameters: what was varied, by name.
        study: the Optuna study; one in memory where the runs were made without Optuna.
        source: where the trials were read, for people; no password.
        storage: address of the database, None for runs without one; no password.
        monitor: name of the monitored value, such as val/log_loss; None for unknown.
        fixed: overrides that all trials have.
        about: `sweep.json`, empty where there is none.
    """

    name: str
    folder: Path
    objectives: Sequence[Objective]
    trials: tuple[Trial, ...]
    parameters: dict[str, Parameter]
    study: Any
    source: str
    storage: str | None = None
    monitor: str | None = None
    fixed: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> list[Trial]:
        """Complete trials with finite values, by number."""
        return [t for t in self.trials if t.kind == "complete" and t.values and all(map(math.isfinite, t.values))]

    def best_first(self, objective: int = 0) -> list[Trial]:
        """Complete trials, the best in one objective first; of equal ones the earlier."""
        loss = self.objectives[objective].loss
        return sorted(self.complete, key=lambda trial: (loss(trial.values[objective]), trial.number))

    def counts(self) -> dict[str, int]:
        """Number of trials of each kind that there is, in the order of `KINDS`."""
        kinds = [trial.kind for trial in self.trials]
        return {kind: kinds.count(kind) for kind in dict.fromkeys((*KINDS, *kinds)) if kind in kinds}

    @property
    def searched(self) -> list[Parameter]:
        """Parameters with more than one value among the trials."""
        return [
            one
            for name, one in self.parameters.items()
            if len({shown(t.params[name]) for t in self.trials if name in t.params}) > 1
        ]


def shown(value: Any) -> str:
    """A parameter's value as Hydra's command line writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def brief(value: Any) -> str:
    """A parameter's value for people: five digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.5g}" if is_number and not (isinstance(value, int) and abs(value) < 10**9) else shown(value)


def digits(value: float) -> str:
    """A value of an objective: four decimals, or four digits where these would say nothing."""
    if math.isnan(value):
        return "\u2013"
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """A time for people."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
