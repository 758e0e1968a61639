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
    lines, several = [f"# study {' '.join(sweep.name.split())}"], len(sweep.objectives) > 1
    repeated = [] if several else measures.recipes(sweep)
    if several:
        lines.append("# the Pareto front: which one to take is a choice between the objectives")
        lines += [f"# trial {trial.number}: {train(sweep, trial)}" for trial in measures.front(sweep)]
        made: Any = {"front": [_entry(sweep, trial) for trial in measures.front(sweep)]}
    elif repeated:
        recipe = repeated[0]
        lines += ["# the best mean over seeds and folds", f"# {best(sweep)}"]
        numbers = {name: None if value != value else value for name, value in recipe.spread._asdict().items()}
        made = {"objective": sweep.objectives[0].name, **numbers, "trials": [trial.number for trial in recipe.trials]}
        made |= {"params": recipe.params, "overrides": overrides(sweep, recipe.trials[0], REPEATS)}
    else:
        one = sweep.objectives[0]
        lines += [f"# the {one.superlative} {one.name}, which is optimistic: it was chosen for it", f"# {best(sweep)}"]
        made = _entry(sweep, sweep.best_first()[0])
    return "\n".join(lines) + "\n" + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def _entry(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    values = {one.name: value for one, value in zip(sweep.objectives, trial.values, strict=True)}
    entry = {"trial": trial.number, "values": values, "params": dict(trial.params)}
    return entry | {"overrides": overrides(sweep, trial)}
