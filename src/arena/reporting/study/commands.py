"""Command lines for the trials of a sweep, and `best.yaml`."""

import shlex
from collections.abc import Sequence
from typing import Any

from arena.reporting.study import measures
from arena.reporting.study.trials import REPEATS, Sweep, Trial, typed

SWEEP_ONLY = ("hydra.", "hydra/", "run_dir=", "resume=")
"""Overrides that belong to the sweep and not to the recipe."""


def overrides(sweep: Sweep, trial: Trial, without: Sequence[str] = ()) -> list[str]:
    """The overrides of a trial but for some keys: those of its run, else the fixed ones and its parameters."""
    given = trial.overrides or (*sweep.fixed, *(f"{name}={typed(value)}" for name, value in trial.params.items()))
    kept = [each for each in given if not each.lstrip("+~").startswith(SWEEP_ONLY)]
    return [each for each in kept if each.lstrip("+").partition("=")[0] not in without]


def train(sweep: Sweep, trial: Trial, without: Sequence[str] = ()) -> str:
    """The command that trains a trial again, for a shell."""
    return shlex.join(["python", "-m", "arena.train", *overrides(sweep, trial, without)])


def best(sweep: Sweep) -> str:
    """The command of the best recipe, else trial, of one objective."""
    if repeated := measures.recipes(sweep):
        return train(sweep, repeated[0].trials[0], REPEATS)
    return train(sweep, sweep.best_first()[0])


def compare(first: Sequence[Trial], second: Sequence[Trial]) -> str | None:
    """The command that compares two recipes row by row, given the runs of each; None where the runs have different
    rows (folds), or their folders are gone."""
    folders = [[str(trial.folder) for trial in trials if trial.folder] for trials in (second, first)]
    folds = {typed(trial.params.get("data.fold")) for trial in (*first, *second)}
    if len(folds) > 1 or not all(folders):
        return None
    base, other = (",".join(some) for some in folders)
    return shlex.join(["python", "-m", "arena.compare", f"base={base}", f"other={other}", "split=val"])


def best_yaml(sweep: Sweep) -> str | None:
    """The best recipe or trial, or the trials of the Pareto front, as YAML; None where no trial has completed."""
    import yaml

    if not sweep.complete:
        return None
    lines = [f"# study {' '.join(sweep.name.split())}, {len(sweep.complete)} complete trials"]
    repeated = measures.recipes(sweep) if len(sweep.objectives) == 1 else []
    if len(sweep.objectives) > 1:
        lines.append("# the Pareto front: which one to take is a choice between the objectives")
        made: Any = {"front": [_entry(sweep, trial) for trial in measures.front(sweep)]}
        lines += [f"# trial {trial.number}: {train(sweep, trial)}" for trial in measures.front(sweep)]
    elif repeated:
        recipe, spread = repeated[0], repeated[0].spread
        lines += ["# the best mean over seeds and folds", f"# {best(sweep)}"]
        numbers = {"mean": spread.mean, "standard_deviation": spread.deviation, "low": spread.low, "high": spread.high}
        made = {"objective": sweep.objectives[0].name}
        made |= {name: value if value == value else None for name, value in numbers.items()} | {"n": spread.n}
        made |= {"trials": [trial.number for trial in recipe.trials], "params": recipe.params}
        made["overrides"] = overrides(sweep, recipe.trials[0], REPEATS)
    else:
        one = sweep.objectives[0]
        lines.append(f"# the {one.superlative} {one.name}, which is optimistic: it was chosen for it")
        lines.append(f"# {best(sweep)}")
        made = _entry(sweep, sweep.best_first()[0])
    return "\n".join(lines) + "\n" + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def _entry(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    values = {one.name: value for one, value in zip(sweep.objectives, trial.values, strict=True)}
    entry = {"trial": trial.number, "values": values, "params": dict(trial.params)}
    return entry | {"overrides": overrides(sweep, trial)}
