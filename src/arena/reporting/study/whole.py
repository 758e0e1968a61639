"""The report of a sweep: `report.html`, which needs nothing but itself, `summary.csv` and `best.yaml`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from arena.core.console import duration
from arena.core.errors import UsageError
from arena.core.run import write_atomically
from arena.reporting.page import is_ours, page
from arena.reporting.sections import Digits, Link, Section, Sheet, plural
from arena.reporting.study import files, listing, measures, ranking, space
from arena.reporting.study.trials import Sweep, brief, digits

GENERATOR = "arena sweep report"
PAGE, SUMMARY, BEST = "report.html", "summary.csv", "best.yaml"


def require_free(output: Path) -> None:
    """Refuse to replace a page that no report of ours is.

    Raises:
        UsageError: there is one, or `output` is a file.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"output={output}: is a file; choose a folder for the report")
    old = output / PAGE
    if old.exists() and not is_ours(old, GENERATOR):
        raise UsageError(f"{old}: was not made by this command; choose another folder with output=FOLDER")


def write(sweep: Sweep, output: Path) -> Path:
    """Write the three files, the page last, and return where it is.

    Args:
        sweep: from `arena.reporting.study.reading.read`.
        output: the folder.

    Raises:
        UsageError: see `require_free`.
    """
    require_free(output)
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / SUMMARY, files.summary(sweep, output))
    if chosen := files.best(sweep):
        write_atomically(output / BEST, chosen)
    else:
        (output / BEST).unlink(missing_ok=True)  # of a study that was there before
    sections = [
        ranking.best(sweep),
        ranking.history(sweep),
        ranking.repeats(sweep),
        ranking.front(sweep),
        ranking.chance(sweep),
        space.importance(sweep),
        space.parallel(sweep),
        space.slices(sweep),
        space.curves(sweep),
        listing.table(sweep, output),
        listing.ended(sweep, output),
        listing.made(sweep),
    ]
    shown = [section for section in sections if section is not None]
    return finished(f"Sweep {sweep.name}", facts(sweep), notes(sweep), shown, output)


def finished(title: str, some: list[tuple[str, str]], above: list[str], sections: list[Section], output: Path) -> Path:
    """Write the page in one step."""
    made = page(title, some, above, sections, generator=GENERATOR)
    write_atomically(output / PAGE, made.encode(errors="replace").decode())
    return output / PAGE


def facts(sweep: Sweep) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    wall, added = measures.seconds(sweep)
    found = [(f"best {one.name}", best_value(sweep, place)) for place, one in enumerate(sweep.objectives)]
    found.append(("trials", f"{len(sweep.trials):,}"))
    found += [(kind.replace("_", " "), f"{number:,}") for kind, number in sweep.counts().items()]
    found += [("wall time", duration(wall))] if wall is not None else []
    return found + ([("time of all trials", duration(added))] if added is not None else [])


def best_value(sweep: Sweep, objective: int) -> str:
    """The best value, or mean of a recipe, in one objective."""
    repeated = measures.recipes(sweep, objective) if len(sweep.objectives) == 1 else []
    if repeated:
        return f"{digits(repeated[0].mean)} (mean of {len(repeated[0].values)})"
    ordered = sweep.best_first(objective)
    return digits(ordered[0].values[objective]) if ordered else "none yet"


def notes(sweep: Sweep) -> list[str]:
    """What holds for the whole page."""
    time = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    found = [f"Made {time}. Values are the best validation values of each trial; the test split has no part in them."]
    counts = sweep.counts()
    open_ones = counts.get("running", 0) + counts.get("waiting", 0)
    if open_ones:
        found.append(f"{plural(open_ones, 'trial')} still running or waiting when the page was made.")
    wall, _ = measures.seconds(sweep)
    return found + (["Wall time counts when at least one trial ran; pauses are left out."] if wall is not None else [])


def overview(sweeps: Sequence[Sweep], pages: Sequence[Path], output: Path) -> Path:
    """One page that leads to those of several studies.

    Args:
        sweeps: the studies.
        pages: theirs, below `output`.
        output: the folder.
    """
    header = ["study", "trials", "complete", "objective", "best", "best trial", "its parameters"]
    lines = []
    for sweep, where in zip(sweeps, pages, strict=True):
        name = Link(sweep.name, where.relative_to(output).as_posix())
        for place, one in enumerate(sweep.objectives):
            cells = [name, len(sweep.trials), len(sweep.complete), one.name]
            if ordered := sweep.best_first(place):
                first = ordered[0]
                said = ", ".join(f"{key}={brief(value)}" for key, value in first.params.items())
                cells += [Digits(first.values[place]), first.number, said]
            lines.append(cells + [""] * (len(header) - len(cells)))
    sheet = Sheet("studies", "Studies", [header, *lines], len(lines))
    finding = f"{plural(len(sweeps), 'study').replace('studys', 'studies')}, each with a page of its own."
    above = ["The best value of each study is optimistic, the more so the more trials it had."]
    above += ["Values of different data, splits or objectives cannot be compared."]
    for name in (SUMMARY, BEST):
        (output / name).unlink(missing_ok=True)  # of a report that ranked all of them
    section = Section("studies", "Studies", finding, sheets=[sheet])
    return finished("Sweeps", [("studies", str(len(sweeps)))], above, [section], output)


def lines_of(sweep: Sweep, most: int = 5) -> list[list[str]]:
    """The best trials under their header: those of the front where there are several objectives."""
    lines = [["trial", *(one.name for one in sweep.objectives), *sweep.parameters]]
    chosen = measures.front(sweep) if len(sweep.objectives) > 1 else sweep.best_first()
    for trial in chosen[:most]:
        params = [brief(trial.params.get(name, "")) for name in sweep.parameters]
        lines.append([str(trial.number), *map(digits, trial.values), *params])
    return lines


def best_lines(sweep: Sweep) -> list[str]:
    """What is printed of the best of one objective: of a sweep over seeds or folds the mean, and the command."""
    if len(sweep.objectives) > 1 or not sweep.complete:
        return []
    repeated = measures.recipes(sweep)
    mean = [f"{best.label}: {sweep.objectives[0].name} {ranking.mean_text(best)}" for best in repeated[:1]]
    return [*mean, ranking.best_command(sweep)]
