"""What a person sees of a sweep while it runs: a live table on a terminal, plain lines elsewhere."""

import contextlib
import csv
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from arena.core.console import duration, say, terminal
from arena.sweep.outcome import Outcome

SHOWN = 12
"""Finished trials in the table, the last ones; running ones are always there."""
EVERY = 60.0
"""Seconds between two plain lines on trials that run."""


@dataclass
class Line:
    """What is known of one trial; without `outcome` it runs. `offset`: bytes of its journal that were read."""

    params: dict[str, Any]
    outcome: Outcome | None = None
    step: int | None = None
    best: float | None = None
    began: float = field(default_factory=time.monotonic)
    offset: int = 0

    @property
    def state(self) -> str:
        """`running`, or the kind of its end for people."""
        return "running" if self.outcome is None else self.outcome.kind.replace("_", " ")

    @property
    def values(self) -> list[float]:
        """Of a complete trial."""
        return (self.outcome.values or []) if self.outcome is not None and self.outcome.kind == "complete" else []


class Watch:
    """Context manager around a sweep; the sweep tells it what happens.

    Args:
        total: trials that the sweep is to have in the end; None where only a time limits it.
        directions: `minimize` or `maximize` of each objective; none where nothing is optimised.
        names: of the objectives.
        done: trials that were finished before.
        best: the best value before, of a single objective.
        monitor: name of the value that is shown of running trials, such as val/log_loss.
        mode: `min` or `max`, of the monitor.
    """

    def __init__(
        self,
        total: int | None,
        directions: list[str],
        names: list[str],
        done: int = 0,
        best: float | None = None,
        monitor: str = "",
        mode: str = "min",
    ) -> None:
        self.total = total
        self.directions = directions
        self.names = names
        self.done = done
        self.best = best
        self.best_number: int | None = None
        self.lines: dict[int, Line] = {}
        self._monitor, self._better = monitor, min if mode == "min" else max
        self._spent: list[float] = []
        self._most_at_once = 1
        self._spoken = time.monotonic()
        self._live: Any = None

    def __enter__(self) -> Self:
        if terminal():
            from rich.live import Live

            self._live = Live(get_renderable=self.table, refresh_per_second=2, transient=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, number: int, params: dict[str, Any]) -> None:
        """A trial's process was started."""
        self.lines[number] = Line(params)
        self._most_at_once = max(self._most_at_once, len(self._running()))
        self._plain(f"trial {number} started: {shown(params)}")

    def progress(self, number: int, folder: str | Path) -> None:
        """Look how far a running trial is: only what its journal has gained since the last look is read."""
        self._advance(self.lines[number], Path(folder) / "metrics.csv")
        if self._live is None and time.monotonic() - self._spoken > EVERY:
            self._spoken = time.monotonic()
            states = [
                f"{n} at step {each.step or 0}{_number(each.best, ' with ')}" for n, each in self._running().items()
            ]
            self._plain(f"running: trial {', '.join(states)}; {self.summary()}")

    def finished(self, number: int, outcome: Outcome) -> None:
        """A trial is over."""
        line = self.lines[number]
        line.outcome = outcome
        self.done += outcome.kind != "preempted"  # such a trial is tried again
        self._spent.append(outcome.seconds)
        mark = ""
        if len(self.directions) == 1 and line.values and self._improves(line.values[0]):
            self.best, self.best_number, mark = line.values[0], number, ", best so far"
        values = " ".join(f"{value:.4f}" for value in line.values)
        said = f": {values}{mark}" if values else f": {outcome.reason}" if outcome.reason else ""
        self._plain(f"trial {number} {line.state} in {duration(outcome.seconds)}{said}; {self.summary()}")

    def note(self, text: str) -> None:
        """A line for the person, above the table."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            say(text)

    def summary(self) -> str:
        """`5 of 20 trials, best 0.4321 (trial 3), about 12 min left`."""
        parts = [f"{self.done} trials" if self.total is None else f"{self.done} of {self.total} trials"]
        if self.best is not None:
            parts.append(f"best {self.best:.4f}" + ("" if self.best_number is None else f" (trial {self.best_number})"))
        left = self.time_left()
        return ", ".join(parts) + ("" if left is None else f", about {duration(left)} left")

    def time_left(self) -> float | None:
        """Seconds, judged by the mean time of a trial and the number that run at once; None before the first end."""
        if self.total is None or not self._spent or self.done >= self.total:
            return None
        mean = sum(self._spent) / len(self._spent)
        now = time.monotonic()
        under_way = sum(min(now - line.began, mean) for line in self._running().values())
        return max(0.0, (self.total - self.done) * mean - under_way) / self._most_at_once

    def table(self) -> Any:
        """The table as rich draws it."""
        from rich.table import Table
        from rich.text import Text

        drawn = Table(caption=self.summary(), caption_justify="left", expand=False)
        for title in ("trial", "parameters", "state", "step", *(self.names or ["best"]), "time"):
            drawn.add_column(title, justify="left" if title in ("parameters", "state") else "right")
        running = self._running()
        finished = [number for number in self.lines if number not in running]
        for number in [*finished[-SHOWN:], *running]:
            line = self.lines[number]
            values = [_number(value) for value in line.values or [line.best, *[None] * (len(self.names) - 1)]]
            seconds = time.monotonic() - line.began if line.outcome is None else line.outcome.seconds
            reason = f": {line.outcome.reason}" if line.outcome is not None and line.outcome.reason else ""
            step = "" if line.step is None else str(line.step)
            cells = [str(number), shown(line.params), (line.state + reason)[:60], step, *values, duration(seconds)]
            dim = line.outcome is not None and not line.values
            style = "bold green" if number == self.best_number else "dim" if dim else ""
            drawn.add_row(*map(Text, cells), style=style)
        return drawn

    def _running(self) -> dict[int, Line]:
        return {number: line for number, line in self.lines.items() if line.outcome is None}

    def _improves(self, value: float) -> bool:
        return self.best is None or (value < self.best if self.directions[0] == "minimize" else value > self.best)

    def _plain(self, text: str) -> None:
        if self._live is None:
            say(text)

    def _advance(self, line: Line, journal: Path) -> None:
        """Read the whole lines that the journal has gained; it may not be there yet."""
        try:
            with open(journal, "rb") as file:
                file.seek(line.offset)
                gained = file.read()
        except OSError:
            return
        whole = gained[: gained.rfind(b"\n") + 1]
        line.offset += len(whole)
        for row in csv.reader(whole.decode("utf-8", "replace").splitlines()):
            if len(row) == 5 and row[0].isdigit():
                line.step = int(row[0])
                with contextlib.suppress(ValueError):
                    value = float(row[4])
                    if f"{row[2]}/{row[3]}" == self._monitor and math.isfinite(value):
                        line.best = value if line.best is None else self._better(line.best, value)


def shown(params: dict[str, Any]) -> str:
    """`optim.lr=0.000123 loss.gamma=2`."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


def _number(value: float | None, before: str = "") -> str:
    return "" if value is None else f"{before}{value:.4f}"
