"""Sections about the parameters, and the curves of the trials."""

from functools import partial
from typing import Any

from arena.reporting.sections import Picture, Section, plural
from arena.reporting.study import figures, measures
from arena.reporting.study.cells import clipped
from arena.reporting.study.folders import curve
from arena.reporting.study.trials import UNFINISHED, Sweep, Trial


def importance(sweep: Sweep) -> Section:
    """Which parameters separate the best trials from the others."""
    title, pictures, sheets, finding = "Parameter importance", [], [], ""
    share = 0.0
    for place, one in enumerate(sweep.objectives):
        found, share, why = measures.importances(sweep, place)
        if why:
            return Section("importance", title, why)
        first = next(iter(found))
        finding += f"{first} matters most for {one.name} ({100 * found[first]:.0f}% of the importance). "
        draw = partial(figures.importance, found=found, title=f"share of the importance for {one.name}")
        pictures.append(Picture(f"importance_{place}", f"Importance of each parameter for {one.name}", draw))
    notes = [
        f"PED-ANOVA (Optuna): how much the values of a parameter among the best {100 * share:.0f}% of the "
        f"{len(sweep.complete)} complete trials differ from those of all, as shares that add up to 100%. It ranks "
        "parameters within the space that was searched and says nothing about direction, and pruned trials are left "
        "out. With few trials it is rough."
    ]
    if any(one.name in ("seed", "data.fold") for one in sweep.searched):
        notes.append("The share of seed or data.fold is what chance alone reaches: what is not above it, is noise.")
    return Section("importance", title, finding.strip(), notes, pictures, sheets)


def parallel(sweep: Sweep) -> Section:
    """All complete trials as lines through their parameters."""
    title = "Parallel coordinates"
    chosen, notes = axes_of(sweep)
    if len(sweep.complete) < 2 or not chosen:
        why = "Two complete trials and one varied parameter are the least for this picture."
        return Section("parallel", title, why)
    one = sweep.objectives[0]
    finding = f"One line for each complete trial; dark lines are good in {one.name}, the best is orange."
    notes += ["Parameters searched on a logarithmic scale, or spread over it, have logarithmic axes."]
    draw = partial(figures.parallel, sweep=sweep, parameters=chosen)
    return Section(
        "parallel", title, finding, [*notes, *clipped(sweep)], [Picture("parallel", "Parallel coordinates", draw)]
    )


def axes_of(sweep: Sweep) -> tuple[list[Any], list[str]]:
    """The parameters that have an axis, and a note on those that have none."""
    varied = [one for one in sweep.searched if any(one.name in trial.params for trial in sweep.complete)]
    if len(varied) <= figures.MOST_AXES:
        return varied, []
    ranked, _, _ = measures.importances(sweep, 0)
    order = list(ranked) or [one.name for one in varied]
    kept = sorted(varied, key=lambda one: order.index(one.name) if one.name in order else len(order))
    which = "most important" if ranked else "first"
    note = f"The {which} {figures.MOST_AXES} of {len(varied)} parameters are shown."
    return kept[: figures.MOST_AXES], [note]


def slices(sweep: Sweep) -> Section:
    """The values over each parameter."""
    chosen, notes = axes_of(sweep)
    if len(sweep.complete) < 2 or not chosen:
        return Section("slices", "Slices", "Two complete trials and one varied parameter are the least for this.")
    finding = "The values over each parameter alone: early trials are light, late ones dark, the best is orange."
    pictures = [
        Picture(
            f"slices_{place}", f"{one.name} over each parameter",
            partial(figures.slices, sweep=sweep, parameters=chosen, objective=place),
        )
        for place, one in enumerate(sweep.objectives)
    ]  # fmt: skip
    return Section("slices", "Slices", finding, [*notes, *clipped(sweep)], pictures)


def curves(sweep: Sweep) -> Section:
    """The monitored value over training."""
    title, chosen = "Validation curves", shown_curves(sweep)
    found = {}
    for trial in chosen:
        points = curve(trial.folder, sweep.monitor) if trial.folder and sweep.monitor else []
        if points := points or sorted(trial.intermediate.items()):
            found[trial.number] = points
    if not found:
        return Section("curves", title, "No trial has left validation values by step (metrics.csv).")
    best_ones = [trial.number for trial in sweep.best_first()[:5]]
    name = sweep.monitor or sweep.objectives[0].name
    finding = f"{name} over the steps of {plural(len(found), 'trial')}; the {len(best_ones)} best are blue."
    notes = []
    if len(chosen) < len([t for t in sweep.trials if t.kind not in UNFINISHED]):
        notes.append(f"At most {figures.MOST_LINES} trials are drawn: the best half, and others at equal distances.")
    draw = partial(figures.curves, sweep=sweep, found=found, best=best_ones)
    return Section("curves", title, finding, notes, [Picture("curves", f"{name} over steps", draw)])


def shown_curves(sweep: Sweep) -> list[Trial]:
    """All trials that ran, or the best and a choice of the others where they are too many."""
    ran = [trial for trial in sweep.trials if trial.kind != "waiting"]
    if len(ran) <= figures.MOST_LINES:
        return ran
    half = figures.MOST_LINES // 2
    first = sweep.best_first()[:half]
    numbers = {trial.number for trial in first}
    rest = [trial for trial in ran if trial.number not in numbers]
    return first + [rest[place * len(rest) // half] for place in range(half)]
