"""A sweep as plain data: what was optimised, what was varied, and what became of each trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

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
class Trial:
    """One trial.

    Attributes:
        number: its number in the study.
        kind: one of `KINDS`.
        values: one for each objective, empty where there is none.
        params: what was varied.
        intervals: the 95% interval of each value in `result.json`, NaN twice where there is none.
        reason: why it did not complete, empty where it did or where nobody knows.
        exit_code: of its process, None for unknown.
        seconds: how long it ran, None for unknown.
        folder: its run folder, None where that is gone.
        result: its `result.json`, empty where there is none.
        overrides: the command line of its run, empty where that is unknown.
        started, ended: None for unknown.
        intermediate: validation values by step, as the pruner saw them.
        retry_of: number of the trial that this one repeats.
    """

    number: int
    kind: str
    values: tuple[float, ...]
    params: dict[str, Any]
    intervals: tuple[tuple[float, float], ...]
    reason: str = ""
    exit_code: int | None = None
    seconds: float | None = None
    folder: Path | None = None
    result: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    intermediate: dict[int, float] = field(default_factory=dict)
    retry_of: int | None = None


@dataclass(frozen=True)
class Sweep:
    """A study.

    Attributes:
        name: of the study.
        folder: where its runs lie.
        objectives: one or more.
        trials: by number.
        parameters: what was varied: names, in order of first use, and Optuna's distributions; that of a parameter with
            other values than numbers is over their texts.
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
    parameters: dict[str, Any]
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
    def searched(self) -> list[str]:
        """Parameters with more than one value among the trials."""
        return [
            name
            for name in self.parameters
            if len({shown(t.params[name]) for t in self.trials if name in t.params}) > 1
        ]

    def drawn(self, objective: int) -> dict[int, float]:
        """The values of the complete trials by number, with very bad ones at `worst_shown`."""
        one, values = self.objectives[objective], {t.number: t.values[objective] for t in self.complete}
        worst = worst_shown(list(values.values()), one.maximise)
        far = {number for number, value in values.items() if worst is not None and one.loss(value) > one.loss(worst)}
        return {number: worst if worst is not None and number in far else value for number, value in values.items()}

    @cached_property
    def studies(self) -> list[Any]:
        """For each objective an Optuna study in memory with the values of `drawn`, for Optuna's analyses and pictures.

        Its trials have the same numbers; what is not complete has failed there.
        """
        import optuna
        from optuna.trial import TrialState, create_trial

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        found = []
        for objective, one in enumerate(self.objectives):
            study, values = (
                optuna.create_study(direction="maximize" if one.maximise else "minimize"),
                self.drawn(objective),
            )
            params = {trial.number: self.placed(trial) for trial in self.complete}
            for number in range(max(values, default=-1) + 1):
                if number in values:
                    space = {name: self.parameters[name] for name in params[number]}
                    made = create_trial(params=params[number], distributions=space, value=values[number])
                else:
                    made = create_trial(state=TrialState.FAIL)
                study.add_trial(made)
            found.append(study)
        return found

    def placed(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a trial as `parameters` has them: numbers, else texts."""
        texts = {name for name, space in self.parameters.items() if isinstance(getattr(space, "choices", [0])[0], str)}
        return {name: shown(value) if name in texts else value for name, value in trial.params.items()}


def worst_shown(values: Sequence[float], maximise: bool) -> float | None:
    """Where an axis may end so that a few very bad values do not press all others into a line; None: show all."""
    losses = np.sort(-np.asarray(values, float) if maximise else np.asarray(values, float))
    if len(losses) < 5:
        return None
    best, upper = losses[0], np.quantile(losses, 0.75)
    reach = upper + 1.5 * (upper - best)
    if not reach > best or losses[-1] - best <= 1.5 * (reach - best):
        return None
    return float(-reach if maximise else reach)


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
