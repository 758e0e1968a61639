"""What run folders say of themselves: their command line, how they ended, their values and curves."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.core import heartbeat
from arena.core.errors import ArenaError
from arena.core.run import visible
from arena.core.stored import read_yaml
from arena.reporting.study.trials import MONITOR, Trial, shown

STATUSES = {
    **{"completed": "complete", "stopped_early": "complete", "pruned": "pruned", "diverged": "diverged"},
    **{"preempted": "preempted", "failed": "failed", heartbeat.RUNNING: "running"},
}


def is_run(folder: Path) -> bool:
    """Whether a training was at least begun in this folder."""
    if (folder / ".hydra" / "overrides.yaml").is_file():
        return True
    return (folder / "config.yaml").is_file() and (folder / "result.json").is_file()


def run_folders(folder: Path) -> list[Path]:
    """The run folders of a sweep; 10 comes after 9. Hidden folders, and folders of anything else, are none."""
    found = [each for each in visible(folder) if is_run(each)]
    return sorted(found, key=lambda each: (not each.name.isdigit(), int(each.name) if each.name.isdigit() else 0, each))


@dataclass(frozen=True)
class Judged:
    """What a run's validation values are values of: runs that differ in it cannot be ranked.

    Attributes:
        data: fingerprint of the data.
        rows: fingerprint of the validation rows, of folds that of their division; None of older runs.
        monitor: name of the monitored value.
        mode: min or max.
        words: the same for people.
    """

    data: str | None
    rows: str | None
    monitor: str | None
    mode: str | None
    words: str = field(default="", compare=False)


def judged_on(run: Path) -> Judged:
    """Read from `result.json` what a run is judged on; all None where it ended before that was known."""
    result = result_of(run)[0]
    data, monitor = result.get("data") or {}, result.get("monitor") or {}
    names = ", ".join(data.get("formats") or ["generated rows"])
    rows = (data.get("splits") or {}).get("val")
    words = f"{names} ({str(data.get('fingerprint'))[:6]}), {rows} validation rows, {monitor.get('name')}"
    return Judged(
        data.get("fingerprint"), data.get("validation_fingerprint"), monitor.get("name"), monitor.get("mode"), words
    )


def groups_of(folder: Path) -> dict[Judged, list[Path]]:
    """The runs of a folder by what they are judged on; runs that ended before that was known go with the only others
    that there are, or are a group of their own."""
    found: dict[Judged, list[Path]] = {}
    for run in run_folders(folder):
        found.setdefault(judged_on(run), []).append(run)
    unknown = Judged(None, None, None, None, "ended before their data were read")
    early = [run for key in list(found) if key.data is None and key.monitor is None for run in found.pop(key)]
    if early:
        only = next(iter(found)) if len(found) == 1 else unknown
        chosen = {*found.get(only, []), *early}
        found[only] = [run for run in run_folders(folder) if run in chosen]
    return found


def read_trials(folder: Path, runs: list[Path]) -> list[Trial]:
    """The trials of a sweep that Hydra's own sweeper made: its parameters are the overrides that differ.

    Args:
        folder: with all runs, which number the trials.
        runs: those that are wanted.
    """
    everything = run_folders(folder)
    named = all(run.name.isdigit() for run in everything)
    given = [parameters_of(overrides_of(run)) for run in runs]
    keys = dict.fromkeys(key for each in given for key in each)
    varied = [key for key in keys if len({shown(each.get(key)) for each in given}) > 1]
    return [
        trial_of(
            run, int(run.name) if named else everything.index(run), {key: each[key] for key in varied if key in each}
        )
        for run, each in zip(runs, given, strict=True)
    ]


def trial_of(run: Path, number: int, params: dict[str, Any]) -> Trial:
    """One run as a trial with the monitored value as its only objective."""
    result, damage = result_of(run)
    kind = STATUSES.get(str(result.get("status")), "failed")
    reason = damage or str(result.get("reason") or "")
    value = (result.get("monitor") or {}).get("value")
    values = (float(value),) if isinstance(value, int | float) else ()
    if kind == "complete" and not values:
        kind, reason = "failed", "it ended without a monitored value"
    elif kind == "failed" and "out of memory" in reason.lower():
        kind = "out_of_memory"
    elif kind == "failed" and not result and not reason:
        reason = "it ended before it wrote a result"
    seconds = [each for name, each in (result.get("time") or {}).items() if name in ("setup", "fit", "test") and each]
    return Trial(
        number, kind, values if kind in ("complete", "pruned") else (), params, (interval_of(result, MONITOR),),
        reason if kind != "complete" else "", None, sum(seconds) if seconds else None, run, tuple(overrides_of(run)),
    )  # fmt: skip


def result_of(run: Path) -> tuple[dict[str, Any], str]:
    """`result.json`, and what is wrong with it; an empty dictionary where there is none."""
    try:
        found = json.loads((run / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError):
        return {}, "its result.json cannot be read"
    return (heartbeat.judged(found), "") if isinstance(found, dict) else ({}, "its result.json holds no result")


def interval_of(result: dict[str, Any], path: str) -> tuple[float, float] | None:
    """The 95% interval beside the value that an objective names.

    Args:
        result: `result.json`.
        path: `monitor`, the name of the monitored value (val/log_loss), or a dotted path (validation.log_loss.value).
    """
    monitor = (result.get("monitor") or {}).get("name") or ""
    if path == MONITOR:
        path = monitor
    node: Any = result
    parts = ["validation", path.removeprefix("val/")] if path.startswith("val/") else path.split(".")
    for part in parts[:-1] if parts[-1] == "value" else parts:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return None
    low, high = node.get("low"), node.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else None


def overrides_of(run: Path) -> list[str]:
    """The overrides of a run's command line, empty where they are unknown."""
    try:
        found = read_yaml(run / ".hydra" / "overrides.yaml")
    except ArenaError:
        return []
    return [str(each) for each in found] if isinstance(found, list) else []


def parameters_of(overrides: list[str]) -> dict[str, Any]:
    """Overrides as keys and values."""
    pairs = [override.lstrip("+").partition("=") for override in overrides]
    return {key: value_of(text) for key, _, text in pairs if not key.startswith("~")}


def value_of(text: str) -> Any:
    """A number or truth value where the text is one; else the text."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def curve(run: Path, monitor: str) -> list[tuple[int, float]]:
    """The monitored value by optimiser step, from the lines of `metrics.csv` that hold it.

    Args:
        run: the run folder.
        monitor: split and name, such as val/log_loss.
    """
    split, _, name = monitor.partition("/")
    needle = f",{split},{name},"
    found: dict[int, float] = {}
    try:
        with open(run / "metrics.csv", encoding="utf-8") as file:
            for line in file:
                if needle in line:
                    step, _, rest = line.partition(",")
                    value = float(rest.rpartition(",")[2])
                    if math.isfinite(value):
                        found[int(step)] = value
    except (OSError, ValueError):
        pass  # a run without a journal, or a line that a kill has torn
    return sorted(found.items())
