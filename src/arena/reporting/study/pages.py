"""`python -m arena.report` for sweeps: reads the folders, writes a page for each and one that leads to several."""

from pathlib import Path
from typing import Any

from arena.core.console import say
from arena.core.errors import InputOutputError
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.evaluation import printing
from arena.reporting import curves
from arena.reporting.study import whole
from arena.reporting.study.reading import read
from arena.reporting.study.runs import is_run
from arena.reporting.study.trials import Sweep


def report(folders: list[Path], given: dict[str, Any]) -> list[Path]:
    """Read everything, then write and print; returns the pages.

    Args:
        folders: the sweeps.
        given: `output`, `study` and `storage` of the command line, as far as they were given.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    for run in filter(is_run, folders):
        draw_curves(run)
    folders = [folder for folder in folders if not is_run(folder)]
    found = [read(folder, given.get("study"), given.get("storage")) for folder in folders]
    tops = [sweeps[0].folder for sweeps in found]
    output = Path(given["output"]).expanduser() if "output" in given else None
    if output is not None:
        names = [top.name for top in tops]
        tops = [output / (name if names.count(name) == 1 else f"{i}-{name}") for i, name in enumerate(names)]
        tops = tops if len(found) > 1 else [output]
    studies = [
        [(sweep, top if len(sweeps) == 1 else top / "groups" / str(i)) for i, sweep in enumerate(sweeps)]
        for top, sweeps in zip(tops, found, strict=True)
    ]
    everything = [pair for study in studies for pair in study]
    for place in (*tops, *(place for _, place in everything), *([output] if output else [])):
        check_writable(place, "output")
        whole.require_free(place)
    pages = []
    for top, study in zip(tops, studies, strict=True):
        for sweep, place in study:
            pages.append(whole.write(sweep, place))
            tell(sweep, pages[-1])
        if len(study) > 1:
            say(f"runs on {len(study)} different data, splits or monitors cannot be ranked; each has a page of its own")
            pages.append(lead(study, top))
    return [*pages, lead(everything, output)] if output is not None and len(found) > 1 else pages


def draw_curves(folder: Path) -> None:
    """Draw the learning curves of a single run, and say where they are."""
    file = curves.draw(RunFolder(folder))
    if file is None:
        raise InputOutputError(f"{folder}: nothing is logged yet (metrics.csv)")
    say(f"learning curves drawn into {shown(file)}")


def lead(study: list[tuple[Sweep, Path]], top: Path) -> Path:
    """Write the page that leads to those of several sweeps, each with its folder, and say where it is."""
    page = whole.overview([sweep for sweep, _ in study], [place / whole.PAGE for _, place in study], top)
    say(f"all of them: {page}")
    return page


def tell(sweep: Sweep, page: Path) -> None:
    """Print the best trials, the command of the best, and where the page is."""
    counts = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sweep.counts().items())
    title = f"{sweep.name}: {counts or 'no trial'}"
    if sweep.complete:
        printing.print_table(f"{title}; the {'front' if len(sweep.objectives) > 1 else 'best'}", whole.lines_of(sweep))
    else:
        say(f"{title}; none has completed yet")
    for line in whole.best_lines(sweep):
        say(line)
    say(f"page written to {shown(page)}")
