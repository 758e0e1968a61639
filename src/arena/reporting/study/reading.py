"""A sweep from its folder: from Optuna's database where there is one, else from the runs."""

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.run import visible
from arena.reporting.study import database
from arena.reporting.study.folders import groups_of, interval_of, is_run, read_trials, result_of, run_folders
from arena.reporting.study.trials import MONITOR, Objective, Parameter, Sweep, Trial, shown

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
WIDE = 30
"""Listed positive numbers whose largest is so many times the smallest are put on a logarithmic axis."""


def read(folder: Path, name: str | None = None, storage: str | None = None) -> list[Sweep]:
    """The sweep in a folder; of runs without a study one for each data, split and monitor, whose values can be ranked.

    Args:
        folder: of the study.
        name: of the study, where its database holds several.
        storage: address of the database, where the one in `sweep.json` lacks its password.

    Raises:
        InputOutputError: no such folder, no sweep in it, or its database cannot be read.
        DataError: its `sweep.json` is damaged, or the database is none of Optuna's.
        UsageError: which study has to be said.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputOutputError(f"{folder}: no such folder")
    folder = folder.resolve()
    about = description(folder)
    address = storage or about.get("storage")
    file = folder / database.FILE
    if not storage and file.is_file() and (not address or str(address).startswith("sqlite")):
        address = database.address_of(file)  # also where the folder was moved since
    if address and not storage and ":***@" in str(address):
        raise UsageError(f"{folder}: its database needs a password; give storage={address} with it in place of ***")
    if address:
        study = database.open_study(str(address), name or about.get("study_name") or about.get("study"), folder)
        return [from_study(folder, study, about, str(address))]
    if not run_folders(folder):
        raise InputOutputError(f"{folder}: {nothing(folder)}")
    groups = groups_of(folder)
    names = {key: f"{folder.name}, {key.words}" if len(groups) > 1 else folder.name for key in groups}
    return [from_runs(folder, names[key], runs, about) for key, runs in groups.items()]


def nothing(folder: Path) -> str:
    """What to say of a folder without a sweep."""
    if is_run(folder):
        beside, itself = shlex.quote(str(folder.parent)), shlex.quote(f"run={folder}")
        return (
            f"this is one run, not a folder of runs; type python -m arena.report {beside} for the runs beside it, or "
            f"python -m arena.evaluate {itself} for its own tables"
        )
    below = [each.name for each in visible(folder) if holds(each)]
    more = f"; the folders {', '.join(below[:5])} in it do" if below else ""
    return f"it holds no runs and no {database.FILE}{more}"


def holds(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / database.FILE).is_file() or bool(run_folders(folder))


def description(folder: Path) -> dict[str, Any]:
    """`sweep.json`, empty where there is none.

    Raises:
        DataError: it is damaged.
    """
    file = folder / "sweep.json"
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: damaged ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f"{file}: damaged (no object)")
    return found


def from_study(folder: Path, study: Any, about: dict[str, Any], address: str) -> Sweep:
    """The sweep of an Optuna study."""
    frozen = study.get_trials(deepcopy=False)
    maximise = [direction.name == "MAXIMIZE" for direction in study.directions]
    names = about.get("objectives")
    paths = [str(name) for name in names] if isinstance(names, list) and len(names) == len(maximise) else []
    paths = paths or [MONITOR, *(f"objective {place}" for place in range(1, len(maximise)))]
    trials, monitor = [], about.get("monitor")
    monitor = monitor.get("name") if isinstance(monitor, dict) else monitor
    for each in frozen:
        place = folder_of(folder, each)
        result = result_of(place)[0] if place else {}
        monitor = monitor or (result.get("monitor") or {}).get("name")
        trials.append(trial_of(each, place, result, paths))
    objectives = [
        Objective((monitor or MONITOR) if path == MONITOR else title(path), path, up)
        for path, up in zip(paths, maximise, strict=True)
    ]
    logs = {
        name: distribution.log
        for each in frozen
        for name, distribution in each.distributions.items()
        if hasattr(distribution, "log")
    }
    public = redact.text(address)
    fixed = about.get("fixed") or about.get("fixed_overrides") or about.get("overrides") or []
    return Sweep(
        study.study_name, folder, tuple(objectives), tuple(trials), parameters_of(trials, logs), study,
        f"Optuna study {study.study_name}", public, monitor, tuple(map(str, fixed)), about,
    )  # fmt: skip


def title(path: str) -> str:
    """A path in `result.json` as a name for people: validation.log_loss.value becomes val/log_loss."""
    name = path.removesuffix(".value")
    return f"val/{name.removeprefix('validation.')}" if name.startswith("validation.") else name


def folder_of(folder: Path, frozen: Any) -> Path | None:
    """The run folder of a trial, also where the study was moved."""
    said = frozen.user_attrs.get("folder")
    places = [folder / str(frozen.number)]
    if isinstance(said, str) and said:
        places = [folder / Path(said).name, folder / said, Path(said), *places]
    return next((place.absolute() for place in places if place.is_dir()), None)


def trial_of(frozen: Any, place: Path | None, result: dict[str, Any], paths: Sequence[str]) -> Trial:
    """One trial of Optuna with what its folder knows."""
    said = frozen.user_attrs
    kind = said.get("kind") or STATES[frozen.state.name]
    if frozen.state.name in ("RUNNING", "WAITING"):
        kind = STATES[frozen.state.name]
    values = tuple(float(value) for value in frozen.values or ())
    seconds = said.get("seconds")
    if seconds is None and frozen.duration is not None:
        seconds = frozen.duration.total_seconds()
    reason = said.get("reason") or (result.get("reason") if kind not in ("complete", "running", "waiting") else "")
    return Trial(
        frozen.number, str(kind), values, dict(frozen.params), tuple(interval_of(result, path) for path in paths),
        str(reason or ""), said.get("exit_code"), seconds, place, (),
        frozen.datetime_start, frozen.datetime_complete,
        {step: value for step, value in frozen.intermediate_values.items() if math.isfinite(value)},
        said.get("retry_of"),
    )  # fmt: skip


def from_runs(folder: Path, name: str, runs: list[Path], about: dict[str, Any]) -> Sweep:
    """The sweep of runs that Hydra's own sweeper has started, or of single runs; `runs`: those that can be ranked."""
    trials = read_trials(folder, runs)
    monitors = [result_of(trial.folder)[0].get("monitor") or {} for trial in trials if trial.folder]
    monitor = next((each for each in monitors if each.get("name")), {})
    maximise = monitor.get("mode") == "max"
    common = set.intersection(*(set(trial.overrides) for trial in trials))
    fixed = [each for each in trials[0].overrides if each in common]
    parameters = parameters_of(trials, {})
    return Sweep(
        name, folder, (Objective(monitor.get("name") or MONITOR, MONITOR, maximise),), tuple(trials), parameters,
        in_memory(trials, parameters, maximise), "run folders, without a study", None, monitor.get("name"),
        tuple(fixed), about,
    )  # fmt: skip


def parameters_of(trials: Sequence[Trial], logs: dict[str, bool]) -> dict[str, Parameter]:
    """What was varied, in order of first use.

    Args:
        trials: all.
        logs: whether a parameter was sampled on a logarithmic scale, where that is known.
    """
    found = {}
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        values = [trial.params[name] for trial in trials if name in trial.params]
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        log = numeric and min(values) > 0 and bool(logs.get(name, max(values) >= WIDE * min(values)))
        choices = () if numeric else tuple(dict.fromkeys(map(shown, values)))
        found[name] = Parameter(name, numeric, log, choices)
    return found


def in_memory(trials: Sequence[Trial], parameters: dict[str, Parameter], maximise: bool) -> Any:
    """The same trials as an Optuna study, so that its analyses work for them too."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if maximise else "minimize")
    ranges: dict[str, Any] = {}
    for name, one in parameters.items():
        values = [trial.params[name] for trial in trials if name in trial.params]
        ranges[name] = optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(map(shown, values))))
        if one.numeric:
            ranges[name] = optuna.distributions.FloatDistribution(min(values), max(values), log=one.log)
    for trial in trials:
        if trial.kind == "complete" and trial.values:
            params = {name: value if parameters[name].numeric else shown(value) for name, value in trial.params.items()}
            used = {name: ranges[name] for name in params}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=used, values=list(trial.values)))
    return study
