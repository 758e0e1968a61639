"""What a person sees of a sweep: a line for each start and end of a trial, and the best ones at the end."""

import time
from collections.abc import Sequence
from typing import Any

from arena.core.console import duration, say
from arena.sweep.result import TrialResult

ROWS = 10
"""Trials that are listed at the end."""


class Progress:
    """Prints what happens to the trials of a sweep.

    Args:
        total: trials that the sweep is to have in the end; None where only a time limits it.
        directions: `minimize` or `maximize` of each objective; none where nothing is optimised.
        done: trials that were finished before.
        best: the best value before, of a single objective.
    """

    def __init__(
        self, total: int | None, directions: Sequence[str] = (), done: int = 0, best: float | None = None
    ) -> None:
        self.total, self.directions = total, directions
        self.done, self.best = done, best
        self.best_number: int | None = None
        self._running: dict[int, float] = {}
        self._seconds: list[float] = []
        self._workers = 1

    def started(self, number: int, values: dict[str, Any]) -> None:
        """A trial's process was started."""
        self._running[number] = time.monotonic()
        self._workers = max(self._workers, len(self._running))
        say(f"trial {number} started: {format_values(values)}")

    def finished(self, number: int, result: TrialResult) -> None:
        """A trial is over."""
        del self._running[number]
        self.done += result.kind != "preempted"  # such a trial is tried again
        self._seconds.append(result.seconds)
        values = (result.values or []) if result.kind == "complete" else []
        mark = ""
        if len(self.directions) == 1 and values and self._improves(values[0]):
            self.best, self.best_number, mark = values[0], number, ", best so far"
        numbers = " ".join(f"{value:.4f}" for value in values)
        details = f": {numbers}{mark}" if values else f": {result.reason}" if result.reason else ""
        kind = result.kind.replace("_", " ")
        say(f"trial {number} {kind} in {duration(result.seconds)}{details}; {self.summary()}")

    def summary(self) -> str:
        """`5 of 20 trials, best 0.4321 (trial 3), about 12 min left`."""
        parts = [f"{self.done} trials" if self.total is None else f"{self.done} of {self.total} trials"]
        if self.best is not None:
            parts.append(f"best {self.best:.4f}" + ("" if self.best_number is None else f" (trial {self.best_number})"))
        left = self.time_left()
        return ", ".join(parts) + ("" if left is None else f", about {duration(left)} left")

    def time_left(self) -> float | None:
        """Seconds by the mean time of a trial and the number that run at once; None before the first end."""
        if self.total is None or not self._seconds or self.done >= self.total:
            return None
        mean = sum(self._seconds) / len(self._seconds)
        now = time.monotonic()
        under_way = sum(min(now - began, mean) for began in self._running.values())
        return max(0.0, (self.total - self.done) * mean - under_way) / self._workers

    def _improves(self, value: float) -> bool:
        return self.best is None or (value < self.best if self.directions[0] == "minimize" else value > self.best)


def print_best(trials: Sequence[Any], objectives: Sequence[str]) -> None:
    """List the first `ROWS` of Optuna's complete trials."""
    if trials:
        say("  ".join(["trial", *(name.rjust(8) for name in objectives), "  time", "parameters"]))
    for trial in trials[:ROWS]:
        values = [f"{value:.4f}".rjust(max(8, len(name))) for value, name in zip(trial.values, objectives, strict=True)]
        took = duration(trial.user_attrs.get("seconds", 0.0)).rjust(6)
        say("  ".join([str(trial.number).rjust(5), *values, took, format_values(trial.params)]))


def format_values(values: dict[str, Any]) -> str:
    """`optim.lr=0.000123 loss.gamma=2`."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )
