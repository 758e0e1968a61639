"""`python -m arena.report multirun/STUDY`: what a sweep has found, on one page.

Nothing heavy is imported at the top: a wrong command line is answered before numpy would even be there.
"""

import sys
from pathlib import Path
from typing import Any

from arena.core.console import say, show_messages
from arena.core.errors import UsageError, run_main
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.schema import closest

USAGE = """python -m arena.report multirun/STUDY [multirun/STUDY ...] [output=FOLDER] [study=NAME] [storage=URL]

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

Exit codes: 0 ok (also where no trial has completed: the page says so), 2 usage, 65 a database that is not Optuna's,
74 no such folder, a folder without runs, or files that cannot be read or written.
"""
KEYS = {"output": "FOLDER", "study": "NAME", "storage": "URL"}


def options(arguments: list[str]) -> tuple[list[Path], dict[str, str]]:
    """The folders, and the other keys.

    Raises:
        SystemExit: after `--help`.
        UsageError: no folder, a key that does not exist, or one without a value.
    """
    if {"--help", "-h"} & set(arguments):
        print(USAGE)
        raise SystemExit(0)
    folders: list[Path] = []
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key in KEYS and equals:
            if not value:
                raise UsageError(f"{key}: a value is needed; give {key}={KEYS[key]}")
            given[key] = value
        elif equals and not Path(argument).expanduser().exists() and "/" not in key:
            raise UsageError(f"{key}: no such key{closest(key, KEYS)}")
        elif argument.startswith("-"):
            raise UsageError(f"cannot read '{argument}'; give folders and key=value (see --help)")
        else:
            folders.append(Path(argument).expanduser())
    if not folders:
        raise UsageError("a folder is needed; give multirun/STUDY (see --help)")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{folder}: is named twice")
    for key in ("study", "storage"):
        if key in given and len(folders) > 1:
            raise UsageError(f"{key}: give one folder with it, not {len(folders)}")
    return folders, given


def report(folders: list[Path], given: dict[str, str]) -> list[Path]:
    """Read everything, then write; returns the pages.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    from arena.reporting.study import whole
    from arena.reporting.study.reading import read

    found = [read(folder, given.get("study"), given.get("storage")) for folder in folders]
    output = Path(given["output"]).expanduser() if "output" in given else None
    outputs = [sweeps[0].folder for sweeps in found] if output is None else [output]
    if output is not None and len(found) > 1:
        names = [sweeps[0].folder.name for sweeps in found]
        outputs = [output / (name if names.count(name) == 1 else f"{i}-{name}") for i, name in enumerate(names)]
        whole.require_free(output)
    places = [
        [place] if len(sweeps) == 1 else [place / "groups" / str(i) for i in range(len(sweeps))]
        for place, sweeps in zip(outputs, found, strict=True)
    ]
    for each in (*outputs, *(place for some in places for place in some)):
        check_writable(each, "output")
        whole.require_free(each)
    pages = []
    for sweeps, place, some in zip(found, outputs, places, strict=True):
        made = [whole.write(sweep, each) for sweep, each in zip(sweeps, some, strict=True)]
        for sweep, page in zip(sweeps, made, strict=True):
            tell(sweep, page)
        pages += made
        if len(sweeps) > 1:
            say(
                f"runs on {len(sweeps)} different data, splits or monitors cannot be ranked; each has a page of its own"
            )
            pages.append(whole.overview(sweeps, made, place))
            say(f"all of them: {pages[-1]}")
    if output is not None and len(found) > 1:
        everything = [sweep for sweeps in found for sweep in sweeps]
        pages.append(whole.overview(everything, [place / whole.PAGE for some in places for place in some], output))
        say(f"all of them: {pages[-1]}")
    return pages


def tell(sweep: Any, page: Path) -> None:
    """Print the best trials, the command of the best, and where the page is."""
    from arena.evaluation import show
    from arena.reporting.study import whole

    counts = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sweep.counts().items())
    title = f"{sweep.name}: {counts or 'no trial'}"
    if sweep.complete:
        show.printed(f"{title}; the {'front' if len(sweep.objectives) > 1 else 'best'}", whole.lines_of(sweep))
    else:
        say(f"{title}; none has completed yet")
    if mean := whole.best_mean(sweep):
        say(mean)
    if given := whole.best_command(sweep):
        say(given)
    say(f"page written to {shown(page)}")


def main() -> None:
    """The command line."""

    def command() -> None:
        folders, given = options(sys.argv[1:])
        show_messages()
        report(folders, given)

    run_main(command)


if __name__ == "__main__":
    main()
