"""What a person sees of a sweep while it runs: a live table on a terminal, plain lines elsewhere."""

import csv
import json
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
    """What is known of one trial."""

    params: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    state: str = "running"
    reason: str | None = None
    step: int | None = None
    values: list[float] | None = None
    best: float | None = None
    offset: int = 0
    split: str = ""
    name: str | None = None
    mode: str = "min"
    seconds: float = 0.0


class Watch:
    """Context manager around a sweep; the sweep tells it what happens.

    Args:
        total: trials that the sweep is to have in the end; None where only a time limits it.
        directions: `minimize` or `maximize` of each objective; none where nothing is optimised.
        names: of the objectives.
        done: trials that were finished before.
        best: the best value before, of a single objective.
    """

    def __init__(
        self, total: int | None, directions: list[str], names: list[str], done: int = 0, best: float | None = None
    ) -> None:
        self.total = total
        self.directions = directions
        self.names = names
        self.done = done
        self.best = best
        self.best_number: int | None = None
        self.lines: dict[int, Line] = {}
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
        line = self.lines.get(number)
        if line is None:
            return
        if line.name is None and not _monitor(line, Path(folder)):
            return
        _advance(line, Path(folder) / "metrics.csv")
        if self._live is None and time.monotonic() - self._spoken > EVERY:
            self._spoken = time.monotonic()
            states = [
                f"{n} at step {each.step or 0}{_number(each.best, ' with ')}" for n, each in self._running().items()
            ]
            self._plain(f"running: trial {', '.join(states)}; {self.summary()}")

    def finished(self, number: int, outcome: Outcome) -> None:
        """A trial is over."""
        line = self.lines.setdefault(number, Line({}))
        line.state, line.reason, line.seconds = outcome.kind, outcome.reason, outcome.seconds
        if outcome.kind == "complete":
            line.values = outcome.values
        self.done += outcome.kind != "preempted"  # such a trial is tried again
        self._spent.append(outcome.seconds)
        mark = ""
        if len(self.directions) == 1 and line.values and self._improves(line.values[0]):
            self.best, self.best_number, mark = line.values[0], number, ", best so far"
        values = " ".join(f"{value:.4f}" for value in line.values or [])
        said = f": {values}{mark}" if values else f": {line.reason}" if line.reason else ""
        self._plain(
            f"trial {number} {line.state.replace('_', ' ')} in {duration(line.seconds)}{said}; {self.summary()}"
        )

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
        finished = [number for number in self.lines if number not in self._running()]
        for number in [*finished[-SHOWN:], *self._running()]:
            line = self.lines[number]
            width = max(1, len(self.names))
            values = [f"{v:.4f}" for v in line.values] if line.values else [_number(line.best), *[""] * (width - 1)]
            running = line.state == "running"
            seconds = time.monotonic() - line.began if running else line.seconds
            state = line.state.replace("_", " ") + (f": {line.reason}" if line.reason else "")
            cells = [str(number), shown(line.params), state[:60], "" if line.step is None else str(line.step)]
            style = "bold green" if number == self.best_number else "" if running or line.values else "dim"
            texts = [Text(cell) for cell in [*cells, *values, duration(seconds)]]
            drawn.add_row(*texts, style=style)
        return drawn

    def _running(self) -> dict[int, Line]:
        return {number: line for number, line in self.lines.items() if line.state == "running"}

    def _improves(self, value: float) -> bool:
        return self.best is None or (value < self.best if self.directions[0] == "minimize" else value > self.best)

    def _plain(self, text: str) -> None:
        if self._live is None:
            say(text)


def shown(params: dict[str, Any]) -> str:
    """`optim.lr=0.000123 loss.gamma=2`."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


def _number(value: float | None, before: str = "") -> str:
    return "" if value is None else f"{before}{value:.4f}"


def _monitor(line: Line, folder: Path) -> bool:
    """Find out from the trial's result which value it watches; False as long as it has not begun."""
    try:
        monitor = json.loads((folder / "result.json").read_text(encoding="utf-8"))["monitor"]
        name, mode = str(monitor["name"]), str(monitor["mode"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    line.split, _, line.name = name.partition("/")
    line.mode = mode
    return True


def _advance(line: Line, journal: Path) -> None:
    """Read the whole lines that the journal has gained."""
    try:
        if journal.stat().st_size <= line.offset:
            return
        with open(journal, "rb") as file:
            file.seek(line.offset)
            gained = file.read()
    except OSError:
        return
    whole = gained[: gained.rfind(b"\n") + 1]
    line.offset += len(whole)
    better = min if line.mode == "min" else max
    for row in csv.reader(whole.decode("utf-8", "replace").splitlines()):
        if len(row) != 5 or not row[0].isdigit():
            continue
        line.step = int(row[0])
        if (row[2], row[3]) == (line.split, line.name) and math.isfinite(value := _float(row[4])):
            line.best = value if line.best is None else better(line.best, value)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
