"""Run folders: their command line, how they ended, their values and curves."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.core import heartbeat
from arena.core.data_keys import as_typed
from arena.core.errors import ArenaError, InputOutputError
from arena.core.files import read_json
from arena.core.run import visible
from arena.core.stored import read_yaml
from arena.core.values import flat
from arena.reporting.study.trials import MONITOR, Trial, typed

STATUSES = {
    **{"completed": "complete", "stopped_early": "complete", "pruned": "pruned", "diverged": "diverged"},
    **{"preempted": "preempted", "failed": "failed", heartbeat.RUNNING: "running"},
}


@dataclass(frozen=True)
class Run:
    """A run folder: its `result.json` (empty where there is none), the damage of that file, and its command line."""

    folder: Path
    result: dict[str, Any]
    damage: str
    overrides: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read a folder once; damaged files in it are no reason to stop."""
        damage, result, given = "", {}, []
        try:
            result = read_json(folder / "result.json") if (folder / "result.json").is_file() else {}
        except InputOutputError:
            damage = "its result.json cannot be read"
        if not isinstance(result, dict):
            result, damage = {}, "its result.json holds no result"
        with contextlib.suppress(ArenaError):
            given = read_yaml(folder / ".hydra" / "overrides.yaml")
        # A run keeps the places of its keys; people typed their short names, and folds are known by them.
        pairs = [str(each).partition("=") for each in given] if isinstance(given, list) else []
        overrides = tuple(f"{as_typed(key)}{sign}{value}" for key, sign, value in pairs)
        return cls(folder, heartbeat.with_failure(result), damage, overrides)

    @property
    def monitor(self) -> dict[str, Any]:
        """Name, mode and best value of the monitor; empty where it ended before that was known."""
        return self.result.get("monitor") or {}

    @property
    def evaluated_on(self) -> tuple[Any, ...]:
        """Fingerprints of the data and of the validation rows (of folds that of their division), name and mode of the
        monitor: runs that differ in them cannot be ranked. All None where it ended before they were known."""
        data = self.result.get("data") or {}
        found = (data.get("fingerprint"), data.get("validation_fingerprint"))
        return (*found, self.monitor.get("name"), self.monitor.get("mode"))

    @property
    def description(self) -> str:
        """Data, rows and monitor, for people."""
        data = self.result.get("data") or {}
        if not data and not self.monitor:
            return "ended before their data were read"
        names = ", ".join(data.get("formats") or ["generated rows"])
        rows = (data.get("splits") or {}).get("val")
        return f"{names} ({str(data.get('fingerprint'))[:6]}), {rows} validation rows, {self.monitor.get('name')}"

    def interval(self, path: str) -> tuple[float, float]:
        """The 95% interval of an objective's value; NaN twice where there is none.

        Args:
            path: `monitor`, the name of the monitored value (val/log_loss), or a dotted path
                (validation.log_loss.value).
        """
        path = str(self.monitor.get("name")) if path == MONITOR else path
        path = f"validation.{path.removeprefix('val/')}" if path.startswith("val/") else path.removesuffix(".value")
        known = dict(flat(self.result))
        low, high = (known.get(f"{path}.{end}") for end in ("low", "high"))
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not math.isfinite(high - low):
            return math.nan, math.nan
        return float(low), float(high)

    def trial(self, number: int, params: dict[str, Any]) -> Trial:
        """The run as a trial with the monitored value as its only objective."""
        kind = STATUSES.get(str(self.result.get("status")), "failed")
        reason = self.damage or str(self.result.get("reason") or "")
        value = self.monitor.get("value")
        values = (float(value),) if isinstance(value, int | float) else ()
        if kind == "complete":
            kind, reason = (kind, "") if values else ("failed", "it ended without a monitored value")
        elif kind == "failed" and "out of memory" in reason.lower():
            kind = "out_of_memory"
        elif kind == "failed" and not self.result and not reason:
            reason = "it ended before it wrote a result"
        times = self.result.get("time") or {}
        seconds = [times[name] for name in ("setup", "fit", "test") if times.get(name)]
        return Trial(
            number, kind, values if kind in ("complete", "pruned") else (), params, (self.interval(MONITOR),), reason,
            seconds=sum(seconds) if seconds else None, folder=self.folder, result=self.result,
            overrides=self.overrides,
        )  # fmt: skip


def is_run(folder: Path) -> bool:
    """Check that a training was at least begun in this folder."""
    whole = (folder / "config.yaml").is_file() and (folder / "result.json").is_file()
    return whole or (folder / ".hydra" / "overrides.yaml").is_file()


def run_folders(folder: Path) -> list[Path]:
    """The run folders of a sweep; 10 comes after 9. Hidden folders, and folders of anything else, are none."""
    found = [each for each in visible(folder) if is_run(each)]
    return sorted(found, key=lambda each: (not each.name.isdigit(), int(each.name) if each.name.isdigit() else 0, each))


def groups_of(runs: dict[int, Run]) -> list[dict[int, Run]]:
    """Group runs, by their number as trials, by what they are evaluated on.

    Those that ended before that was known go with the only others that there are, or are the last group.
    """
    found: dict[tuple[Any, ...], dict[int, Run]] = {}
    for number, run in runs.items():
        key = run.evaluated_on
        found.setdefault(() if key[0] is None and key[2] is None else key, {})[number] = run
    early = found.pop((), {})
    if early and len(found) == 1:
        return [dict(sorted((each | early).items())) for each in found.values()]
    return [*found.values(), *([early] if early else [])]


def read_trials(runs: dict[int, Run]) -> list[Trial]:
    """The trials of a sweep that Hydra's own sweeper made: its parameters are the overrides that differ."""
    given = {number: _parameters(run.overrides) for number, run in runs.items()}
    keys = dict.fromkeys(key for each in given.values() for key in each)
    varied = [key for key in keys if len({typed(each.get(key)) for each in given.values()}) > 1]
    return [
        run.trial(number, {key: given[number][key] for key in varied if key in given[number]})
        for number, run in runs.items()
    ]


def _parameters(overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as keys and values: numbers and truth values where the text is one."""
    pairs = [override.lstrip("+").partition("=") for override in overrides]
    return {key: _value(text) for key, _, text in pairs if not key.startswith("~")}


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def curve(folder: Path, monitor: str) -> list[tuple[int, float]]:
    """The monitored value, such as val/log_loss, by optimiser step, from the run's `metrics.csv`."""
    needle, found = f",{monitor.replace('/', ',', 1)},", {}
    try:
        with open(folder / "metrics.csv", encoding="utf-8") as file:
            for line in file:
                if needle in line and math.isfinite(value := float(line.rpartition(",")[2])):
                    found[int(line.partition(",")[0])] = value
    except (OSError, ValueError):
        pass  # a run without a journal, or a line that a kill has torn
    return sorted(found.items())
