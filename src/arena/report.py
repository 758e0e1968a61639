"""`python -m arena.report multirun/STUDY`: the results of a sweep on one page; of one run its learning curves.

Nothing heavy is imported at the top: a wrong command line is answered before numpy would even be there.
"""

from pathlib import Path

from arena.core.closest import closest
from arena.core.console import answer_help, run_command
from arena.core.errors import UsageError

USAGE = """python -m arena.report multirun/STUDY [multirun/STUDY ...] [output=FOLDER] [study=NAME] [storage=URL]
python -m arena.report RUN

Of a sweep, finished or running, it reads everything, changes nothing in it, and writes

  report.html    one page that needs nothing but itself: the best trial with its command, optimisation history, seeds
                 and folds, test metrics, Pareto front, luck of the best, parameter importance, parallel coordinates,
                 slices, validation curves, all trials with links to their folders, and why the others ended
  summary.csv    every trial: kind, values with intervals, test metrics, parameters, time, reason, folder
  test.tsv       mean and standard deviation of each test metric over seeds and folds, beside the baselines
  best.yaml      the best trial (of a sweep over seeds or folds the best mean; of several objectives the Pareto front):
                 its parameters, its overrides, and the command that trains it again

  multirun/STUDY   the folder of an Optuna study (study.db, or the database that sweep.json names), or one that Hydra's
                   own sweeper (python -m arena.train -m key=value1,value2) or single runs (outputs/STUDY) have filled;
                   runs on other data, another split or another monitor cannot be ranked: each such group gets these
                   three files in groups/0, groups/1, ..., and report.html leads to them
  output=FOLDER    where the files go (default: the study's folder); of several studies each gets a folder in it, and
                   FOLDER/report.html leads to them
  study=NAME       name of the study, of a database with several
  storage=URL      the database, where sweep.json names it without its password
  RUN              a single run: RUN/report/curves.png, its loss, monitored value and learning rate over steps, is drawn
                   again

The same study live in a browser (pip install optuna-dashboard; it listens on 127.0.0.1 alone):

  optuna-dashboard sqlite:///multirun/STUDY/study.db --port 8080
"""
EXIT_CODES = """
Exit codes: 0 ok (also where no trial has completed: the page says so), 2 usage, 65 a database that is not Optuna's,
74 no such folder, a folder without runs, or files that cannot be read or written.
"""
SWEEP = {"output": "FOLDER", "study": "NAME", "storage": "URL"}


def options(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the folders and the keys.

    Raises:
        SystemExit: after `--help`.
        UsageError: a key that does not exist or has no value; no folder, or one named twice.
    """
    answer_help(arguments, USAGE + EXIT_CODES)
    folders: list[str] = []
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key in SWEEP and equals:
            if not value:
                raise UsageError(f"{key}: a value is needed; give {key}={SWEEP[key]}")
            given[key] = value
        elif equals and not Path(argument).expanduser().exists() and "/" not in key:
            raise UsageError(f"{key}: no such key{closest(key, SWEEP)}")
        elif argument.startswith("-"):
            raise UsageError(f"cannot read '{argument}'; give folders and key=value (see --help)")
        else:
            folders.append(str(Path(argument).expanduser()))
    if not folders:
        raise UsageError("a folder is needed; give multirun/STUDY (see --help)")
    for key in given:
        if key in ("study", "storage") and len(folders) > 1:
            raise UsageError(f"{key}: give one folder with it, not {len(folders)}")
    for folder in folders:
        if [Path(each).resolve() for each in folders].count(Path(folder).resolve()) > 1:
            raise UsageError(f"{folder}: is named twice")
    return folders, given


def report(folders: list[str], given: dict[str, str]) -> None:
    """Write the pages of the folders; see `options`.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    from arena.reporting.study import pages

    pages.report([Path(folder) for folder in folders], given)


def main() -> None:
    """The command line."""
    run_command(lambda typed: report(*options(typed)))


if __name__ == "__main__":
    main()
