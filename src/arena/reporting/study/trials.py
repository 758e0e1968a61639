"""A sweep as plain data: objectives, parameters and trials."""

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
    """An optimised value."""

    name: str
    maximise: bool

    @property
    def superlative(self) -> str:
        """The best value among the others: highest or lowest."""
        return "highest" if self.maximise else "lowest"

    def loss(self, value: float) -> float:
        """The value with its sign such that less is better."""
        return -value if self.maximise else value


@dataclass(frozen=True)
class Trial:
    """One trial; None or empty for what is unknown.

    Attributes:
        values: one for each objective, empty where there is none.
        params: the varied parameters.
        intervals: the 95% interval of each value in `result.json`, NaN twice where there is none.
        reason: why it did not complete.
        overrides: the command line of its run.
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
    retry_of: int | None = None

    @property
    def recipe(self) -> dict[str, str]:
        """The parameters that change the recipe, as texts."""
        return {name: typed(value) for name, value in sorted(self.params.items()) if name not in REPEATS}


@dataclass(frozen=True)
class Sweep:
    """A study.

    Attributes:
        trials: by number.
        parameters: Optuna's distributions of the varied parameters by name, in order of first use; that of a parameter
            with other values than numbers is over their texts.
        source, storage: where the trials were read, for people, and the address of the database; no passwords.
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

    @cached_property
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

    @cached_property
    def searched(self) -> list[str]:
        """Parameters with more than one value among the trials."""
        values = {name: {typed(t.params[name]) for t in self.trials if name in t.params} for name in self.parameters}
        return [name for name, found in values.items() if len(found) > 1]

    def limit(self, objective: int) -> float | None:
        """End of an axis for the values; see `axis_limit`."""
        return axis_limit([t.values[objective] for t in self.complete], self.objectives[objective].maximise)

    def drawn(self, objective: int) -> dict[int, float]:
        """The values of the complete trials by number, with very bad ones at the end of the axis."""
        one, limit = self.objectives[objective], self.limit(objective)
        values = {trial.number: trial.values[objective] for trial in self.complete}
        return values if limit is None else {n: min(value, limit, key=one.loss) for n, value in values.items()}

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
            study = optuna.create_study(direction="maximize" if one.maximise else "minimize")
            made = [create_trial(state=TrialState.FAIL)] * (max((t.number for t in self.complete), default=-1) + 1)
            for trial in self.complete:
                params, value = self._as_parameters(trial), self.drawn(objective)[trial.number]
                space = {name: self.parameters[name] for name in params}
                made[trial.number] = create_trial(params=params, distributions=space, value=value)
            study.add_trials(made)
            found.append(study)
        return found

    def _as_parameters(self, trial: Trial) -> dict[str, Any]:
        """The parameters of a trial as `parameters` has them: numbers, else texts."""
        texts = {name for name, space in self.parameters.items() if isinstance(getattr(space, "choices", [0])[0], str)}
        return {name: typed(value) if name in texts else value for name, value in trial.params.items()}


def axis_limit(values: Sequence[float], maximise: bool) -> float | None:
    """Find an end of the axis with which a few very bad values do not press all others into a line; None: show all.

    That is 1.5 distances of the upper quartile from the best value beyond the quartile, as for a box plot's whisker.
    """
    losses = np.sort(-np.asarray(values, float) if maximise else np.asarray(values, float))
    if len(losses) < 5:
        return None
    best, upper = losses[0], np.quantile(losses, 0.75)
    reach = upper + 1.5 * (upper - best)
    if not reach > best or losses[-1] - best <= 1.5 * (reach - best):
        return None
    return float(-reach if maximise else reach)


def typed(value: Any) -> str:
    """A parameter's value as Hydra's command line writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def short(value: Any) -> str:
    """A parameter's value for people: five digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.5g}" if is_number and not (isinstance(value, int) and abs(value) < 10**9) else typed(value)
