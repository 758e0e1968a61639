"""Sweeps whose trials are real processes that obey a trial's contract without training anything."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.config import compose as config
from arena.sweep import plan as plans
from arena.sweep import sweeper
from arena.sweep.pool import Pool, core_slots
from arena.sweep.result import TrialResult

QUICK = """
import json, pathlib, sys, time
folder, result, code, after = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
while after and not (folder.parent / after / "result.json").exists():
    time.sleep(0.01)
if result:
    (folder / "part").write_text(result)
    (folder / "part").rename(folder / "result.json")  # whoever waits for it sees the finished file
sys.exit(code)
"""
SEARCHED = ("optim.lr", "loss.gamma")
SLEEP = "import time; time.sleep(60)"


def valley(values: dict[str, float]) -> float:
    """The loss of the stand-in: best at a learning rate of 1e-3 and gamma 1."""
    return (math.log10(values.get("optim.lr", 1e-3)) + 3) ** 2 + (values.get("loss.gamma", 1.0) - 1) ** 2


class Stand:
    """`Pool`'s program: what trial N does. Keeps the overrides that it was given by number.

    `ends`: other results by number, as changes of `result.json`, an exit code, or both; "sleep" never ends.
    `after`: trials that end only after another one.
    """

    def __init__(
        self,
        ends: dict[int, Any] | None = None,
        after: dict[int, int] | None = None,
        value: Callable[[dict[str, float]], float] = valley,
    ) -> None:
        self.ends, self.after, self.value = ends or {}, after or {}, value
        self.given: dict[int, list[str]] = {}

    def __call__(self, overrides: list[str], folder: Path) -> list[str]:
        number = int(folder.name)
        self.given[number] = overrides
        end = self.ends.get(number, {})
        if end == "sleep":
            return [sys.executable, "-S", "-c", SLEEP]
        numbers = {}
        for override in overrides:
            key, _, text = override.partition("=")
            try:
                numbers[key] = float(text)
            except ValueError:
                continue
        change, code = end if isinstance(end, tuple) else (end, 0)
        value = self.value(numbers)
        result = {"status": "completed", "monitor": {"value": value}, "validation": {"entropy": {"value": value**0.5}}}
        text = json.dumps(result | change) if change is not None else ""
        return [sys.executable, "-S", "-c", QUICK, str(folder), text, str(code), str(self.after.get(number, ""))]


def plan_of(folder: Path, *overrides: str) -> plans.Plan:
    """The plan of a command line with `-m`, its study in `folder`."""
    config.register_resolvers()
    line = plans.space.split(["hydra/sweeper=arena", *overrides, f"hydra.sweep.dir={folder}"])
    return plans.read(config.composed([*line.fixed, *line.hydra]), line)


class Instant:
    """Workers that need no processes, where only the suggestions matter: each trial is over when it is asked about."""

    def __init__(self) -> None:
        self.over: list[tuple[int, TrialResult]] = []

    def free(self) -> int:
        return 1 - len(self.over)

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> None:
        values = {key: float(text) for key, _, text in (o.partition("=") for o in overrides) if key in SEARCHED}
        self.over.append((number, TrialResult("complete", [valley(values)], None, 0, 1.0)))

    def finished(self, wait: float = 0.0) -> list[tuple[int, TrialResult]]:
        self.over, over = [], self.over
        return over

    def stop(self) -> list[tuple[int, TrialResult]]:
        return []


def run(plan: plans.Plan, stand: Stand | Instant | None = None):
    """Run the sweep with stand-ins and return its open study."""
    if isinstance(stand, Instant):
        return sweeper.run(plan, stand)
    jobs = plan.settings["n_jobs"]
    return sweeper.run(plan, Pool(core_slots(jobs), plan.objectives, program=stand or Stand()))


def numbers(study) -> list[int]:
    return [trial.number for trial in study.trials()]


def kinds(study) -> list[str]:
    return [str(trial.user_attrs.get("kind")) for trial in study.trials()]
