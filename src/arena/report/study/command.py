"""The command that trains one trial again, outside its sweep."""

import shlex
from collections.abc import Sequence

from arena.report.study.folders import overrides_of
from arena.report.study.trials import REPEATS, Sweep, Trial, shown

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


def compare(first: Trial, second: Trial) -> str | None:
    """The command that compares two trials row by row; None where a folder is gone."""
    if first.folder is None or second.folder is None:
        return None
    arms = [f"base={second.folder}", f"other={first.folder}", "split=val"]
    return shlex.join(["python", "-m", "arena.compare", *arms])
