"""The command that trains one trial again, outside its sweep."""

import shlex
from collections.abc import Sequence

from arena.reporting.study.folders import overrides_of
from arena.reporting.study.trials import REPEATS, Sweep, Trial, shown

AWAY = ("hydra.", "hydra/", "run_dir=", "resume=")
"""What belongs to the sweep and not to the recipe."""


def overrides(sweep: Sweep, trial: Trial, without: Sequence[str] = ()) -> list[str]:
    """The overrides of a trial: those of its run, else the fixed ones and its parameters.

    Args:
        sweep: which knows the fixed ones.
        trial: the one.
        without: keys to leave out.
    """
    params = [f"{name}={shown(value)}" for name, value in trial.params.items()]
    found = trial.overrides or (overrides_of(trial.folder) if trial.folder else ()) or (*sweep.fixed, *params)
    kept = [each for each in found if not each.lstrip("+~").startswith(AWAY)]
    return [each for each in kept if each.lstrip("+").partition("=")[0] not in without]


def recipe(sweep: Sweep, trial: Trial) -> list[str]:
    """The overrides of a trial without its seed and fold."""
    return overrides(sweep, trial, REPEATS)


def line(given: Sequence[str]) -> str:
    """The command for a shell."""
    return shlex.join(["python", "-m", "arena.train", *given])


def compare(first: Sequence[Trial], second: Sequence[Trial]) -> str | None:
    """The command that compares two recipes row by row, given the runs of each; None where the runs have different
    rows (folds), or their folders are gone."""
    folders = [[str(trial.folder) for trial in trials if trial.folder] for trials in (second, first)]
    folds = {shown(trial.params.get("data.fold")) for trial in (*first, *second)}
    if len(folds) > 1 or not all(folders):
        return None
    base, other = (",".join(some) for some in folders)
    return shlex.join(["python", "-m", "arena.compare", f"base={base}", f"other={other}", "split=val"])
