"""The runs to be compared: finished, and within one arm different in the seed only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from arena.core import paths
from arena.core.errors import ArenaError, DataError, InputOutputError
from arena.core.files import read_parquet
from arena.core.heads import PROBABILITY
from arena.core.run import RunFolder, find_runs
from arena.inference.configurations import essentials

FINISHED = ("completed", "stopped_early")
Kind = Literal["classes", "replies", "rows"]


@dataclass(frozen=True)
class Arm:
    """Runs of one recipe, one for each seed; named `base`, `other`, or by the value that is swept."""

    name: str
    runs: list[RunFolder]

    @property
    def seeds(self) -> list[Any]:
        """The training seed of each run; None where a run has no configuration."""
        return [recipe(run, seeds=True).get("seed") for run in self.runs]


def find(key: str, given: str, trusted: Sequence[str] = ()) -> list[RunFolder]:
    """Find the run folders that `key=given` names: a folder, `FOLDER,FOLDER`, a pattern, or a folder of runs.

    An `InputOutputError` or `UsageError` as `arena.core.run.find_runs`. The runs may name classes of `trusted`
    packages.
    """
    listed = given if given.startswith("[") or "," not in given or paths.exists(given) else f"[{given}]"
    try:
        runs = find_runs(listed)
    except ArenaError as error:
        raise type(error)(str(error).replace("run=", f"{key}=", 1)) from None
    for run in runs:
        run.trusted = tuple(trusted)
    return runs


def open_arm(key: str, given: str, trusted: Sequence[str] = ()) -> Arm:
    """Open the finished runs of one arm; a `DataError` for a run that is not finished, two of one seed, or two that
    differ in more than the seed."""
    arm = Arm(key, find(key, given, trusted))
    for run in arm.runs:
        if problem := unfinished(run):
            raise DataError(f"{key}={run.path}: {problem}; only finished runs can be compared")
    check_seeds(arm)
    return arm


def unfinished(run: RunFolder) -> str:
    """Say why a run cannot be compared yet; empty for a finished one."""
    result = run.read_result()
    status = result.get("status", "unknown")
    return "" if status in FINISHED else f"the run's status is {status} ({result.get('reason') or 'no reason given'})"


def recipe(run: RunFolder, seeds: bool = False) -> dict[str, Any]:
    """Return what decides a run's weights by dotted key, with or without the seeds; empty without a configuration.

    The seeds of the split and of toy data name the rows, so they stay; files in the run's own folder say nothing.
    """
    if not run.config.is_file():
        return {}
    return {
        key: value
        for key, value in essentials(run).items()
        if not (isinstance(value, str) and value.startswith(str(run.path)))
        and (seeds or key.rpartition(".")[2] != "seed" or key.startswith(("data.reader.", "data.split.")))
    }


def differences(one: RunFolder, other: RunFolder) -> list[tuple[str, Any, Any]]:
    """Return every key of the recipes whose values differ, with both values; None for a key that a run lacks."""
    before, now = recipe(one), recipe(other)
    return [(key, before.get(key), now.get(key)) for key in sorted(before | now) if before.get(key) != now.get(key)]


def check_seeds(arm: Arm) -> None:
    """Raise a `DataError` unless the runs of an arm differ in their seeds and in nothing else."""
    first = arm.runs[0]
    for run in arm.runs[1:]:
        if apart := differences(first, run):
            key, before, now = apart[0]
            more = f" and {len(apart) - 1} more keys" if len(apart) > 1 else ""
            raise DataError(
                f"{arm.name}: {first.path} and {run.path} are no seeds of one recipe, they differ in {key} "
                f"({before}, {now}){more}"
            )
    seeds = [seed for seed in arm.seeds if seed is not None]
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise DataError(f"{arm.name}: two of its runs have the seed {seed}; a repetition says nothing new")


def predictions(run: RunFolder, split: str) -> Path:
    """The predictions file of a split; an `InputOutputError` where there is none."""
    path = run.predictions(split)
    if not path.is_file():
        there = sorted(each.stem for each in path.parent.glob("*.parquet"))
        hint = f"there are predictions of {', '.join(there)}: give split={there[0]}" if there else "the run made none"
        raise InputOutputError(f"{path}: no predictions of split {split}; {hint}")
    return path


def kind_of(runs: list[RunFolder], split: str) -> Kind:
    """Tell runs that classify, write replies, or predict other numbers of rows apart by the columns of predictions.

    A `DataError` where some do one and some the other.
    """
    kinds: dict[Kind, RunFolder] = {}
    for run in runs:
        names = read_parquet(predictions(run, split)).column_names
        classifies = any(name.startswith(PROBABILITY) for name in names)
        writes = {"log_loss", "tokens"} <= set(names)
        kinds.setdefault("classes" if classifies else "replies" if writes else "rows", run)
    if len(kinds) > 1:
        does = {"classes": "classifies", "replies": "writes replies", "rows": "predicts numbers"}
        found = " and ".join(f"{run.path} {does[kind]}" for kind, run in kinds.items())
        raise DataError(f"{found}: nothing that they say can be compared; give runs of one task")
    return next(iter(kinds))
