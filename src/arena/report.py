"""`python -m arena.report multirun/STUDY`: what a sweep has found, on one page; and runs and projects of W&B.

Nothing heavy is imported at the top: a wrong command line is answered before numpy would even be there.
"""

from dataclasses import asdict
from pathlib import Path

from arena.core.closest import closest
from arena.core.console import answer_help, run_command
from arena.core.errors import UsageError
from arena.reporting.dashboards import command

USAGE = """python -m arena.report multirun/STUDY [multirun/STUDY ...] [output=FOLDER] [study=NAME] [storage=URL]
python -m arena.report RUN wandb=true [key=value] ...
python -m arena.report dashboard=ENTITY/PROJECT [key=value] ...

Reads a sweep, finished or running, changes nothing in it, and writes

  report.html    one page that needs nothing but itself: the best trial with its command, optimisation history, seeds
                 and folds, Pareto front, what chance alone gives, parameter importance, parallel coordinates, slices,
                 validation curves, all trials with links to their folders, the pruned and failed ones with reasons
  summary.csv    every trial: kind, values with intervals, parameters, time, reason, folder
  best.yaml      the best trial (of a sweep over seeds or folds the best mean; of several objectives the Pareto front):
                 its parameters, its overrides, and the command that trains it again

  multirun/STUDY   the folder of an Optuna study (study.db, or the database that sweep.json names), or one that Hydra's
                   own sweeper (python -m arena.train -m key=value1,value2) or single runs (outputs/STUDY) have filled;
                   runs on other data, another split or another monitor cannot be ranked: each such group gets these
                   three files in groups/0, groups/1, ..., and report.html leads to them
  output=FOLDER    where the files go (default: the study's folder); of several studies each gets a folder in it, and
                   FOLDER/report.html leads to them
  study=NAME       which study, of a database with several
  storage=URL      the database, where sweep.json names it without its password

The same study live in a browser (pip install optuna-dashboard; it listens on 127.0.0.1 alone):

  optuna-dashboard sqlite:///multirun/STUDY/study.db --port 8080
"""
EXIT_CODES = """
Exit codes: 0 ok (also where no trial has completed: the page says so), 2 usage, 65 a database that is not Optuna's,
74 no such folder, a folder without runs, files that cannot be read or written, or a server that does not take them.
"""
SWEEP = {"output": "FOLDER", "study": "NAME", "storage": "URL"}
WAYS = {
    "a sweep": [*SWEEP],
    "wandb=true": ["trusted_packages", *asdict(command.Sync())],
    "dashboard": ["dashboard", *asdict(command.Layout())],
}
"""The keys of each way to use this command."""


def options(arguments: list[str]) -> tuple[str, list[str], dict[str, str]]:
    """The way, the folders, and the other keys.

    Raises:
        SystemExit: after `--help`.
        UsageError: a key that does not exist, is for another way or has no value; no folder, or one named twice.
    """
    answer_help(arguments, USAGE + command.USAGE + EXIT_CODES)
    known = dict.fromkeys(["wandb", *(key for keys in WAYS.values() for key in keys)])
    folders: list[str] = []
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key in known and equals:
            if not value:
                raise UsageError(f"{key}: a value is needed; give {key}={SWEEP.get(key, 'VALUE')}")
            given[key] = value
        elif equals and not Path(argument).expanduser().exists() and "/" not in key:
            raise UsageError(f"{key}: no such key{closest(key, known)}")
        elif argument.startswith("-"):
            raise UsageError(f"cannot read '{argument}'; give folders and key=value (see --help)")
        else:
            folders.append(str(Path(argument).expanduser()))
    sweep, sync, layout = WAYS
    wandb = given.pop("wandb", "false")
    if wandb not in ("true", "false"):
        raise UsageError(f"wandb={wandb}: true or false is needed")
    way = sync if wandb == "true" else layout if layout in given else sweep
    for key in given:
        if key not in WAYS[way]:
            raise UsageError(f"{key}: it is for {' and '.join(w for w in WAYS if key in WAYS[w])}, not for {way}")
        if key in ("study", "storage") and len(folders) > 1:
            raise UsageError(f"{key}: give one folder with it, not {len(folders)}")
    if (way == layout) != (not folders):
        raise UsageError(
            f"{folders[0]}: dashboard= takes no folder"
            if folders
            else "a folder is needed; give multirun/STUDY (see --help)"
        )
    for folder in folders:
        if [Path(each).resolve() for each in folders].count(Path(folder).resolve()) > 1:
            raise UsageError(f"{folder}: is named twice")
    return way, folders, given


def report(way: str, folders: list[str], given: dict[str, str]) -> None:
    """Do what the command line asks for; see `options`.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    if way == "wandb=true":
        command.sync(folders, given)
    elif way == "dashboard":
        command.dashboard(given.pop(way), given)
    else:
        from arena.reporting.study import pages

        pages.report([Path(folder) for folder in folders], given)


def main() -> None:
    """The command line."""
    run_command(lambda typed: report(*options(typed)))


if __name__ == "__main__":
    main()
