"""What run folders say of themselves: their command line, how they ended, their values and curves."""

import json
import math
from pathlib import Path
from typing import Any

from arena.core.stored import read_yaml
from arena.errors import ArenaError
from arena.report.study.trials import MONITOR, Trial, shown

STATUSES = {
    **{"completed": "complete", "stopped_early": "complete", "pruned": "pruned", "diverged": "diverged"},
    **{"preempted": "preempted", "failed": "failed"},
}


def is_run(folder: Path) -> bool:
    """Whether a run was at least begun in this folder."""
    return any((folder / name).exists() for name in ("config.yaml", "result.json", ".hydra"))


def run_folders(folder: Path) -> list[Path]:
    """The run folders of a sweep; 10 comes after 9."""
    found = [each for each in folder.iterdir() if each.is_dir() and is_run(each)]
    return sorted(found, key=lambda each: (not each.name.isdigit(), int(each.name) if each.name.isdigit() else 0, each))


def read_trials(folder: Path) -> list[Trial]:
    """The trials of a sweep that Hydra's own sweeper made: its parameters are the overrides that differ."""
    runs = run_folders(folder)
    named = all(run.name.isdigit() for run in runs)
    given = [parameters_of(overrides_of(run)) for run in runs]
    keys = dict.fromkeys(key for each in given for key in each)
    varied = [key for key in keys if len({shown(each.get(key)) for each in given}) > 1]
    return [
        trial_of(run, int(run.name) if named else place, {key: each[key] for key in varied if key in each})
        for place, (run, each) in enumerate(zip(runs, given, strict=True))
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
    return (found, "") if isinstance(found, dict) else ({}, "its result.json holds no result")


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
