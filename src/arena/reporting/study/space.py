"""Sections about the parameters, and the curves of the trials."""

from functools import partial

from arena.reporting.figures import bars
from arena.reporting.sections import Picture, Section, plural
from arena.reporting.study import figures, measures
from arena.reporting.study.cells import clipped
from arena.reporting.study.runs import curve
from arena.reporting.study.trials import REPEATS, Sweep


def importance(sweep: Sweep) -> Section:
    """Which parameters separate the best trials from the others."""
    made, said, share = Section("importance", "Parameter importance", ""), [], 0.0
    for place, one in enumerate(sweep.objectives):
        found, share, why = measures.importances(sweep, place)
        if why:
            return Section("importance", "Parameter importance", why)
        first = next(iter(found))
        said.append(f"{first} matters most for {one.name} ({100 * found[first]:.0f}% of the importance).")
        names = list(found)[:20]
        draw = partial(
            bars, labels=names, counts=[found[name] for name in names], form="{:.0%}",
            unit=f"share of the importance for {one.name}",
        )  # fmt: skip
        made.pictures.append(Picture(f"importance_{place}", f"Importance of each parameter for {one.name}", draw))
    made.finding = " ".join(said)
    made.notes = [
        f"PED-ANOVA (Optuna): how much the values of a parameter among the best {100 * share:.0f}% of the "
        f"{len(sweep.complete)} complete trials differ from those of all, as shares that add up to 100%. It ranks "
        "parameters within the space that was searched and says nothing about direction, and pruned trials are left "
        "out. With few trials it is rough."
    ]
    if set(REPEATS) & set(sweep.searched):
        made.notes.append(
            "The share of seed or data.fold is what chance alone reaches: what is not above it, is noise."
        )
    return made


def parallel(sweep: Sweep) -> Section:
    """All complete trials as lines through their parameters."""
    made = Section("parallel", "Parallel coordinates", "")
    chosen, notes = axes_of(sweep)
    if len(sweep.complete) < 2 or not chosen:
        made.finding = "Two complete trials and one varied parameter are the least for this picture."
        return made
    names = " and ".join(one.name for one in sweep.objectives)
    made.finding = f"One line for each complete trial; dark lines are good in {names}."
    made.notes = [*notes, "Parameters searched on a logarithmic scale, or spread over it, have logarithmic axes."]
    made.notes += clipped(sweep)
    for place, one in enumerate(sweep.objectives):
        draw = partial(figures.parallel, sweep=sweep, parameters=chosen, objective=place)
        made.pictures.append(Picture(f"parallel_{place}", f"Parallel coordinates to {one.name}", draw))
    return made


def axes_of(sweep: Sweep) -> tuple[list[str], list[str]]:
    """The parameters that have an axis, and a note on those that have none."""
    varied = [name for name in sweep.searched if any(name in trial.params for trial in sweep.complete)]
    if len(varied) <= figures.MOST_AXES:
        return varied, []
    ranked, _, _ = measures.importances(sweep, 0)
    kept = [name for name in ranked if name in varied]
    kept += [name for name in varied if name not in kept]
    which = "most important" if ranked else "first"
    note = f"The {which} {figures.MOST_AXES} of {len(varied)} parameters are shown."
    return kept[: figures.MOST_AXES], [note]


def slices(sweep: Sweep) -> Section:
    """The values over each parameter."""
    made = Section("slices", "Slices", "Two complete trials and one varied parameter are the least for this.")
    chosen, notes = axes_of(sweep)
    if len(sweep.complete) < 2 or not chosen:
        return made
    made.finding = "The values over each parameter alone: early trials are light, late ones dark."
    made.notes = [*notes, *clipped(sweep)]
    for place, one in enumerate(sweep.objectives):
        for start in range(0, len(chosen), figures.COLUMNS):
            some = chosen[start : start + figures.COLUMNS]
            draw = partial(figures.slices, sweep=sweep, parameters=some, objective=place)
            made.pictures.append(Picture(f"slices_{place}_{start}", f"{one.name} over {', '.join(some)}", draw))
    return made


def curves(sweep: Sweep) -> Section:
    """The monitored value over training."""
    ended = [trial for trial in sweep.trials if trial.kind not in ("complete", "waiting")]
    chosen, found = (sweep.best_first() + ended)[: figures.MOST_LINES], {}
    made = Section("curves", "Validation curves", "No trial has left validation values by step (metrics.csv).")
    for trial in chosen:
        points = curve(trial.folder, sweep.monitor) if trial.folder and sweep.monitor else []
        if points := points or sorted(trial.intermediate.items()):
            found[trial.number] = points
    if not found:
        return made
    best_ones = [trial.number for trial in sweep.best_first()[:5]]
    name = sweep.monitor or sweep.objectives[0].name
    made.finding = f"{name} over the steps of {plural(len(found), 'trial')}; the {len(best_ones)} best are blue."
    if len(chosen) == figures.MOST_LINES:
        made.notes = [f"At most {figures.MOST_LINES} trials are drawn, the best ones first."]
    draw = partial(figures.curves, sweep=sweep, found=found, best=best_ones)
    made.pictures = [Picture("curves", f"{name} over steps", draw)]
    return made
