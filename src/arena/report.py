"""`python -m arena.report multirun/STUDY`: the results of a sweep on one page; of one run its learning curves.

Nothing heavy is imported at the top: a wrong command line is answered before numpy would even be there.
"""

from dataclasses import dataclass
from pathlib import Path

from arena.config.options import option, read
from arena.core.console import run_command
from arena.core.errors import UsageError
from arena.core.schema import OutputPath


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """python -m arena.report multirun/STUDY [multirun/STUDY ...] [key=value] ...
    python -m arena.report RUN

    Of a sweep, finished or running, it reads everything, changes nothing in it, and writes

      report.html    one page that needs nothing but itself: the best trial with its command, optimisation history,
                     seeds and folds, test metrics, Pareto front, luck of the best, parameter importance, parallel
                     coordinates, slices, validation curves, all trials with links to their folders, and why the
                     others ended
      summary.csv    every trial: kind, values with intervals, test metrics, parameters, time, reason, folder
      test.tsv       mean and standard deviation of each test metric over seeds and folds, beside the baselines
      best.yaml      the best trial (of a sweep over seeds or folds the best mean; of several objectives the Pareto
                     front): its parameters, its overrides, and the command that trains it again

    Of a single run RUN/report/curves.png is drawn again: loss, monitored value and learning rate over steps. The same
    study live in a browser (pip install optuna-dashboard; it listens on 127.0.0.1 alone):
    optuna-dashboard sqlite:///multirun/STUDY/study.db --port 8080
    """

    folders: list[str] = option(
        "the folder of an Optuna study (study.db, or the database that sweep.json names), one that Hydra's own sweeper "
        "(python -m arena.train -m key=value1,value2) or single runs (outputs/STUDY) have filled, or a run; runs on "
        "other data, another split or another monitor cannot be ranked: each such group gets its files in groups/0, "
        "groups/1, ..., and report.html leads to them",
        default=[],
        placeholder="multirun/STUDY",
        takes="folders",
    )
    output: OutputPath | None = option(
        "where the files go (default: the study's folder); of several studies each gets a folder in it, and "
        "FOLDER/report.html leads to them",
        default=None,
        placeholder="FOLDER",
    )
    study: str | None = option("which study, of a database with several", default=None, placeholder="NAME")
    storage: str | None = option(
        "the database, where sweep.json names it without its password", None, placeholder="URL"
    )


def report(options: ReportOptions) -> list[Path]:
    """Write the pages of the folders, and return them.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    folders = [Path(folder).expanduser() for folder in options.folders]
    if not folders:
        raise UsageError("a folder is needed; give multirun/STUDY (see --help)")
    for key in ("study", "storage"):
        if getattr(options, key) and len(folders) > 1:
            raise UsageError(f"{key}: give one folder with it, not {len(folders)}")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{folder}: is named twice")
    from arena.reporting.study import pages

    return pages.report(folders, options.output, options.study, options.storage)


def main() -> None:
    """The command line."""
    run_command(lambda typed: report(read(ReportOptions, typed)))


if __name__ == "__main__":
    main()
