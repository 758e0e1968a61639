"""`python -m arena.report`: a page for each sweep, one that leads to several, and the curves of single runs."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from arena.core.console import echo
from arena.core.errors import InputOutputError, UsageError
from arena.core.files import check_writable
from arena.core.paths import quote_path
from arena.core.run import RunFolder, write_atomically
from arena.evaluation import printing
from arena.reporting import curves, figures
from arena.reporting.page import is_ours, render
from arena.reporting.study import commands, measures, tables
from arena.reporting.study import figures as study_figures
from arena.reporting.study.reading import read
from arena.reporting.study.runs import curve, is_run
from arena.reporting.study.trials import REPEATS, Sweep, short

GENERATOR = "arena sweep report"
PAGE, FILES = "report.html", ("summary.csv", "test.tsv", "best.yaml")


def report(
    folders: list[Path], output: str | None = None, study: str | None = None, storage: str | None = None
) -> list[Path]:
    """Read everything, then write and print; returns the pages.

    Args:
        folders: sweeps and single runs.
        output, study, storage: see `arena.report.ReportOptions`.

    Raises:
        UsageError, DataError, InputOutputError: one line each; nothing is written then.
    """
    singles = [folder for folder in folders if is_run(folder)]
    found = [read(folder, study, storage) for folder in folders if folder not in singles]
    tops = [sweeps[0].folder for sweeps in found]
    place = Path(output).expanduser() if output else None
    if place is not None:
        names = [top.name for top in tops]
        tops = [place / (name if names.count(name) == 1 else f"{i}-{name}") for i, name in enumerate(names)]
        tops = tops if len(found) > 1 else [place] * len(found)
    studies = [
        [(sweep, top if len(sweeps) == 1 else top / "groups" / str(i)) for i, sweep in enumerate(sweeps)]
        for top, sweeps in zip(tops, found, strict=True)
    ]
    everything = [pair for study in studies for pair in study]
    for each in (*tops, *(folder for _, folder in everything), *([place] if place else [])):
        check_writable(each, "output")
        require_free(each)
    for run in singles:
        draw_curves(run)
    pages = []
    for top, group in zip(tops, studies, strict=True):
        pages += [write(sweep, folder) for sweep, folder in group]
        if len(group) > 1:
            echo(
                f"runs on {len(group)} different data, splits or monitors cannot be ranked; each has a page of its own"
            )
            pages.append(overview(group, top))
    return [*pages, overview(everything, place)] if place is not None and len(found) > 1 else pages


def draw_curves(folder: Path) -> None:
    """Draw the learning curves of a single run."""
    file = curves.draw(RunFolder(folder))
    if file is None:
        raise InputOutputError(f"{folder}: nothing is logged yet (metrics.csv)")
    echo(f"learning curves drawn into {quote_path(file)}")


def require_free(output: Path) -> None:
    """Refuse to replace a page that is no report of ours.

    Raises:
        UsageError: there is one, or `output` is a file.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"output={output}: is a file; choose a folder for the report")
    old = output / PAGE
    if old.exists() and not is_ours(old, GENERATOR):
        raise UsageError(f"{old}: was not made by this command; choose another folder with output=FOLDER")


def write(sweep: Sweep, output: Path) -> Path:
    """Write the files of a sweep, the page last, print the best trials, and return the page."""
    output.mkdir(parents=True, exist_ok=True)
    tested = tables.test(sweep)
    texts = [tables.summary_csv(sweep, output), tables.test_tsv(sweep) if tested else None, commands.best_yaml(sweep)]
    for name, text in zip(FILES, texts, strict=True):
        if text is None:
            (output / name).unlink(missing_ok=True)  # of a study that was there before
        else:
            write_atomically(output / name, text)
    counts = sweep.counts()
    kinds = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in counts.items())
    several = len(sweep.objectives) > 1
    if sweep.complete:
        title = f"{sweep.name}: {kinds}; the {'front' if several else 'best'}"
        printing.print_table(title, list(tables.best_lines(sweep)))
    else:
        echo(f"{sweep.name}: {kinds or 'no trial'}; none has completed yet")
    if sweep.complete and not several:
        for best in measures.recipes(sweep)[:1]:
            echo(f"{best.label}: {sweep.objectives[0].name} {best.spread.text}")
        echo(commands.best(sweep))
    return _finished("sweep.html", output, {"sweep": sweep, "output": output, "tested": tested} | _context(sweep))


def _context(sweep: Sweep) -> dict[str, Any]:
    """Names of the template: functions, and what they have found."""
    recipes = [measures.recipes(sweep, place) for place in range(len(sweep.objectives))]
    bests = [sweep.best_first(place) for place in range(len(sweep.objectives))]
    repeated, rival = recipes[0], measures.rival(sweep)
    results = [trial.result for trial in (repeated[0].trials if repeated else bests[0][:1])]
    numbers = [trial for trial in sweep.trials if trial.kind != "waiting" and trial.folder and sweep.monitor]
    numbers.sort(key=lambda trial: bests[0].index(trial) if trial in bests[0] else len(bests[0]))
    numbers = numbers[: study_figures.MAX_LINES]
    found = {t.number: curve(t.folder, str(sweep.monitor)) for t in numbers if t.folder}
    pair = [recipe.trials for recipe in repeated] if len(repeated) > 1 else [bests[0][:1], [rival] if rival else []]
    command = sweep.about.get("command") or ""
    return {
        "time": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "seconds": sum(trial.seconds or 0 for trial in sweep.trials),
        "recipes": recipes, "bests": bests, "rival": rival, "pair": pair, "front": measures.front(sweep),
        "apart": rival and measures.separable(bests[0][0].intervals[0], rival.intervals[0]),
        "untested": any(results) and not any(result.get("test") for result in results),
        "importances": [measures.importances(sweep, place) for place in range(len(sweep.objectives))],
        "curves": {number: points for number, points in found.items() if points}, "repeats": REPEATS,
        "command_line": command if isinstance(command, str) else shlex.join(map(str, command)),
        "measures": measures, "tables": tables, "commands": commands, "figures": study_figures, "bars": figures.bars,
    }  # fmt: skip


def overview(study: Sequence[tuple[Sweep, Path]], output: Path) -> Path:
    """Write the page that leads to those of several sweeps, each with its folder."""
    lines: list[list[Any]] = [["study", "trials", "complete", "objective", "best", "best trial", "its parameters"]]
    for sweep, place in study:
        link = tables.Link(sweep.name, (place / PAGE).relative_to(output).as_posix())
        for objective, one in enumerate(sweep.objectives):
            cells: list[Any] = ["", "", ""]
            if ordered := sweep.best_first(objective):
                params = ", ".join(f"{key}={short(value)}" for key, value in ordered[0].params.items())
                cells = [ordered[0].values[objective], ordered[0].number, params]
            lines.append([link, len(sweep.trials), len(sweep.complete), one.name, *cells])
    for name in FILES:
        (output / name).unlink(missing_ok=True)  # of a report that ranked all of them
    sheet = tables.Sheet("studies", "Studies", lines, tables.MAX_LINES)
    return _finished("sweeps.html", output, {"sheet": sheet, "headline": [("studies", str(len(study)))]})


def _finished(template: str, output: Path, values: dict[str, Any]) -> Path:
    """Write the page in one step, and print where it is."""
    page = render(template, generator=GENERATOR, **values)
    write_atomically(output / PAGE, page.encode(errors="replace").decode())
    echo(f"page written to {quote_path(output / PAGE)}")
    return output / PAGE
