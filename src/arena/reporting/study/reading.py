"""A sweep from its folder: from Optuna's database where there is one, else from the runs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.run import visible
from arena.reporting.study import database
from arena.reporting.study.runs import Run, groups_of, read_trials, run_folders
from arena.reporting.study.trials import MONITOR, UNFINISHED, Objective, Sweep, Trial, typed

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
WIDE = 30
"""Listed positive numbers whose largest is so many times the smallest are put on a logarithmic axis."""


def read(folder: Path, name: str | None = None, storage: str | None = None) -> list[Sweep]:
    """Read the sweep in a folder; runs without a study become a sweep for each data, split and monitor.

    Args:
        folder: of the study.
        name: of the study, where its database holds several.
        storage: address of the database, where the one in `sweep.json` lacks its password.

    Raises:
        InputOutputError: no such folder, no sweep in it, or its database cannot be read.
        DataError: its `sweep.json` is damaged, or the database is none of Optuna's.
        UsageError: the study has to be named.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputOutputError(f"{folder}: no such folder")
    folder = folder.resolve()
    about = _description(folder)
    address = storage or about.get("storage")
    file = folder / database.FILE
    if not storage and file.is_file() and (not address or str(address).startswith("sqlite")):
        address = database.address_of(file)  # also where the folder was moved since
    if address and not storage and ":***@" in str(address):
        raise UsageError(f"{folder}: its database needs a password; give storage={address} with it in place of ***")
    if address:
        study = database.open_study(str(address), name or about.get("study"), folder)
        return [_from_study(folder, study, about, str(address))]
    found = run_folders(folder)
    if not found:
        below = [each.name for each in visible(folder) if (each / database.FILE).is_file() or run_folders(each)]
        more = f"; the folders {', '.join(below[:5])} in it do" if below else ""
        raise InputOutputError(f"{folder}: it holds no runs and no {database.FILE}{more}")
    named = all(each.name.isdigit() for each in found)
    groups = groups_of({int(each.name) if named else place: Run.read(each) for place, each in enumerate(found)})
    return [_from_runs(folder, runs, about, len(groups) > 1) for runs in groups]


def _description(folder: Path) -> dict[str, Any]:
    """`sweep.json`, empty where there is none."""
    file = folder / "sweep.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise DataError(f"{file}: damaged ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f"{file}: damaged (no object)")
    return found


def _from_study(folder: Path, study: Any, about: dict[str, Any], address: str) -> Sweep:
    """The sweep of an Optuna study."""
    frozen = study.get_trials(deepcopy=False)
    maximise = [direction.name == "MAXIMIZE" for direction in study.directions]
    names = about.get("objectives")
    paths = [str(name) for name in names] if isinstance(names, list) and len(names) == len(maximise) else []
    paths = paths or [MONITOR, *(f"objective {place}" for place in range(1, len(maximise)))]
    places = {each.number: folder / str(each.number) for each in frozen}
    runs = {number: Run.read(place) for number, place in places.items() if place.is_dir()}
    trials = tuple(_trial(each, runs.get(each.number), paths) for each in frozen)
    known = (run.monitor["name"] for run in runs.values() if run.monitor.get("name"))
    monitor = about.get("monitor") or next(known, None)
    objectives = [
        Objective((monitor or MONITOR) if path == MONITOR else _title(path), up)
        for path, up in zip(paths, maximise, strict=True)
    ]
    spaces: dict[str, set[Any]] = {}
    for each in frozen:
        for key, space in each.distributions.items():
            spaces.setdefault(key, set()).add(space)
    return Sweep(
        study.study_name, folder, objectives, trials, _distributions(trials, spaces),
        f"Optuna study {study.study_name}", redact.text(address), monitor, tuple(about.get("fixed") or ()), about,
    )  # fmt: skip


def _title(path: str) -> str:
    """A path in `result.json` as a name for people: validation.log_loss.value becomes val/log_loss."""
    name = path.removesuffix(".value")
    return f"val/{name.removeprefix('validation.')}" if name.startswith("validation.") else name


def _trial(frozen: Any, run: Run | None, paths: Sequence[str]) -> Trial:
    """One trial of Optuna with what its folder adds."""
    known, result = frozen.user_attrs, run.result if run else {}
    kind = STATES[frozen.state.name]
    kind = kind if kind in UNFINISHED else str(known.get("kind") or kind)
    seconds = known.get("seconds")
    if seconds is None and frozen.duration is not None:
        seconds = frozen.duration.total_seconds()
    reason = known.get("reason") or (result.get("reason") if kind not in ("complete", *UNFINISHED) else "")
    return Trial(
        frozen.number, kind, tuple(float(value) for value in frozen.values or ()), dict(frozen.params),
        tuple(run.interval(path) if run else (math.nan, math.nan) for path in paths), str(reason or ""),
        known.get("exit_code"), seconds, run.folder if run else None, result, run.overrides if run else (),
        frozen.datetime_start, frozen.datetime_complete, known.get("retry_of"),
    )  # fmt: skip


def _from_runs(folder: Path, runs: dict[int, Run], about: dict[str, Any], several: bool) -> Sweep:
    """The sweep of runs that Hydra's own sweeper has started, or of single runs; `several`: one of several groups."""
    trials = tuple(read_trials(runs))
    first = next((run for run in runs.values() if run.monitor.get("name")), next(iter(runs.values())))
    common = set.intersection(*(set(trial.overrides) for trial in trials))
    fixed = tuple(each for each in trials[0].overrides if each in common)
    monitor = first.monitor.get("name")
    one = Objective(monitor or MONITOR, first.monitor.get("mode") == "max")
    name = f"{folder.name}, {first.description}" if several else folder.name
    source = "run folders, without a study"
    return Sweep(name, folder, (one,), trials, _distributions(trials, {}), source, None, monitor, fixed, about)


def _distributions(trials: Sequence[Trial], spaces: dict[str, set[Any]]) -> dict[str, Any]:
    """The varied parameters as Optuna's distributions, in order of first use.

    Args:
        trials: all.
        spaces: those that the study itself has; taken where it has one, and its trials kept to it.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        values = [trial.params[name] for trial in trials if name in trial.params]
        known, *others = spaces.get(name) or {None}
        choices = getattr(known, "choices", None)
        if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices or values):
            found[name] = CategoricalDistribution(tuple(dict.fromkeys(map(typed, choices or values))))
            continue
        low, high = min(values), max(values)
        if others or known is None or not (choices or known.low <= low <= high <= known.high):
            log = low > 0 and (getattr(known, "log", high >= WIDE * low))
            whole = all(isinstance(value, int) for value in values)
            known = IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)
        found[name] = known
    return found
