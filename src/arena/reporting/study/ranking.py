"""Sections about the best trials: which they are, how they were found, and how much of it is luck."""

from collections.abc import Sequence
from functools import partial

from arena.reporting.sections import Digits, Picture, Section, Sheet, plural
from arena.reporting.study import command, figures, measures
from arena.reporting.study.cells import MOST_TRIALS, NOTHING, clipped, params
from arena.reporting.study.folders import result_of
from arena.reporting.study.trials import Sweep, Trial, brief, digits

TOP, RECIPES = 10, 20


def best(sweep: Sweep) -> Section:
    """The best trial, recipe or trials with their commands."""
    title = "Best"
    if not sweep.complete:
        said = ", ".join(f"{number} {kind}" for kind, number in sweep.counts().items()) or "none was started"
        return Section("best", title, f"No trial has completed yet: {said}.")
    repeated = measures.recipes(sweep) if len(sweep.objectives) == 1 else []
    if repeated:
        return best_recipe(sweep, repeated[0], len(repeated))
    if len(sweep.objectives) > 1:
        return best_of_each(sweep)
    trial, one = sweep.best_first()[0], sweep.objectives[0]
    finding = (
        f"Trial {trial.number}: {one.name} {value_text(trial)}, the {one.word} of "
        f"{plural(len(sweep.complete), 'complete trial')}."
    )
    given = command.overrides(sweep, trial)
    notes = ["The value was used to choose the trial, so it is optimistic (see the best trials and chance)."]
    return Section(
        "best", title, finding, notes + untested([trial]), [], [], [("Train it again:", command.line(given))]
    )


def best_recipe(sweep: Sweep, recipe: measures.Recipe, number: int) -> Section:
    """The recipe with the best mean over its seeds and folds."""
    one, trial = sweep.objectives[0], sweep.best_first()[0]
    among = f", the {one.word} mean of {number} recipes" if number > 1 else ""
    finding = f"{recipe.label}: {one.name} {mean_text(recipe)}{among}."
    notes = [
        f"The {one.word} single value is {value_text(trial)} (trial {trial.number}); that one seed or fold did best is "
        "luck more than merit."
    ]
    notes += ["The mean was used to choose the recipe, so it is optimistic."] if number > 1 else []
    given = command.recipe(sweep, recipe.trials[0])
    return Section(
        "best", "Best", finding, notes + untested(recipe.trials), [], [], [("Train it again:", command.line(given))]
    )


def best_of_each(sweep: Sweep) -> Section:
    """The ends of the front."""
    shown = measures.front(sweep)
    finding = (
        f"{plural(len(shown), 'trial')} of {len(sweep.complete)} on the Pareto front: no other trial is better in one "
        "objective and as good in all others. Which one to take is a choice between the objectives."
    )
    commands = []
    for place, one in enumerate(sweep.objectives):
        trial = sweep.best_first(place)[0]
        caption = f"{one.word.capitalize()} {one.name}, {digits(trial.values[place])} (trial {trial.number}):"
        commands.append((caption, command.line(command.overrides(sweep, trial))))
    return Section("best", "Best", finding, [], [], [], commands)


def untested(trials: Sequence[Trial]) -> list[str]:
    """A note where the runs of these trials left the test split alone."""
    results = [result_of(trial.folder)[0] for trial in trials if trial.folder is not None]
    if any(results) and not any(result.get("test") for result in results):
        return ["The sweep left the test split alone. With test=true the command judges the model on it, once."]
    return []


def value_text(trial: Trial) -> str:
    """The first value with its interval."""
    low, high = trial.interval(0)
    known = low == low
    return digits(trial.values[0]) + (f" (95% interval over rows {digits(low)} to {digits(high)})" if known else "")


def mean_text(recipe: measures.Recipe) -> str:
    """Mean, interval, deviation and number."""
    number = len(recipe.values)
    if number < 2:
        return f"{digits(recipe.mean)} (one run)"
    return (
        f"{digits(recipe.mean)} (95% t interval {digits(recipe.low)} to {digits(recipe.high)}; standard deviation "
        f"{digits(recipe.deviation)}, n = {number})"
    )


def history(sweep: Sweep) -> Section:
    """The best value so far, trial by trial."""
    title = "Optimisation history"
    if not sweep.complete:
        return Section("history", title, NOTHING)
    bests = [
        f"the {one.word} {one.name} came with trial {sweep.best_first(place)[0].number}"
        for place, one in enumerate(sweep.objectives)
    ]
    finding = f"Of {plural(len(sweep.trials), 'trial')}, {' and '.join(bests)}."
    pictures = [
        Picture(f"history_{place}", f"{each.name} by trial", partial(figures.history, sweep=sweep, objective=place))
        for place, each in enumerate(sweep.objectives)
    ]
    return Section("history", title, finding, clipped(sweep), pictures)


def chance(sweep: Sweep) -> Section:
    """How far the best trial stands out, and how much luck is in it."""
    title, trials = "The best trials and chance", sweep.best_first()[:TOP]
    if len(sweep.objectives) > 1:
        return Section("chance", title, "With several objectives the Pareto front takes the place of a ranking.")
    second = measures.rival(sweep)
    if second is None:
        return Section("chance", title, "One recipe has no rival." if trials else NOTHING)
    first = trials[0]
    gap = abs(first.values[0] - second.values[0])
    apart = measures.separable(first.interval(0), second.interval(0))
    finding = f"Trial {first.number} is ahead of trial {second.number} by {digits(gap)}"
    finding += {
        None: "; their runs record no intervals (resamples=0, or their folders are gone), so nothing says whether that "
        "is more than chance.",
        True: ", and their 95% intervals over rows do not touch: the best is separable from the second.",
        False: ", and their 95% intervals over rows overlap: by these the best is not separable from the second.",
    }[apart]
    spread = abs(trials[-1].values[0] - first.values[0])
    notes = [f"The {len(trials)} best lie within {digits(spread)} of each other."]
    notes.append(
        f"The best of {len(sweep.complete)} is optimistic: what is chosen for its value owes a part of it to luck "
        "(the winner's curse). Only rows that chose nothing, such as the test split, say how good it is."
    )
    if found := measures.luck(sweep):
        notes.append(
            f"At most: were all {len(sweep.complete)} equally good, with independent errors of {digits(found[1])} each "
            f"(from the best one's interval), the best would look better than it is by about {digits(found[0])}. "
            "Trials judged on the same rows share a part of their errors, which makes it less."
        )
    commands = []
    repeated = [recipe.trials for recipe in measures.recipes(sweep)] or [(first,), (second,)]
    if apart is not None and (given := command.compare(*repeated[:2])):
        what = "The two recipes" if len(repeated[0]) > 1 else "The two"
        commands = [(f"{what} row by row, which sees smaller differences than two intervals:", given)]
    pictures = []
    if apart is not None:
        draw = partial(figures.intervals, trials=trials, objective=sweep.objectives[0])
        pictures = [Picture("chance", "The best trials with their 95% intervals over rows", draw)]
    header = ["trial", sweep.objectives[0].name, "low", "high", *sweep.parameters]
    lines = [[t.number, *map(Digits, (t.values[0], *t.interval(0))), *params(sweep, t)] for t in trials]
    return Section(
        "chance", title, finding, notes, pictures, [Sheet("chance", "The best trials", [header, *lines])], commands
    )


def repeats(sweep: Sweep) -> Section | None:
    """The spread over seeds and folds; None where neither was varied."""
    found = [measures.recipes(sweep, place) for place in range(len(sweep.objectives))]
    if not found[0]:
        return None
    first = found[0][0]
    finding = f"{first.label}: {sweep.objectives[0].name} {mean_text(first)}."
    solid = [recipe for recipe in found[0] if len(recipe.values) > 1]
    if len(solid) > 1:
        apart = measures.separable((solid[0].low, solid[0].high), (solid[1].low, solid[1].high))
        ahead = "ahead of the second recipe, and their t intervals do not touch."
        finding += f" It is {ahead if apart else 'not separable from the second recipe by their t intervals.'}"
    notes = [
        "Trials that differ in seed or data.fold only are one recipe. The interval is Student's t interval of the mean "
        "over its runs (n - 1 degrees of freedom); it says nothing of the sampling of rows."
    ]
    if "data.fold" in sweep.parameters:
        notes.append("Folds share most of their training rows, so intervals over folds are somewhat too narrow.")
    pictures, sheets = [], []
    for place, (one, some) in enumerate(zip(sweep.objectives, found, strict=True)):
        draw = partial(figures.repeats, found=some[:RECIPES], objective=one)
        pictures.append(Picture(f"repeats_{place}", f"{one.name} of each recipe over its seeds and folds", draw))
        names = list(dict.fromkeys(name for recipe in some for name in recipe.params))
        header = [*names, "n", "mean", "standard deviation", "low", "high", "trials"]
        lines = [
            [
                *(brief(recipe.params[name]) if name in recipe.params else "" for name in names), len(recipe.values),
                *map(Digits, (recipe.mean, recipe.deviation, recipe.low, recipe.high)),
                " ".join(str(trial.number) for trial in recipe.trials),
            ]
            for recipe in some
        ]  # fmt: skip
        sheets.append(Sheet(f"repeats_{place}", f"{one.name} by recipe", [header, *lines], MOST_TRIALS))
    return Section("repeats", "Seeds and folds", finding, notes, pictures, sheets)


def front(sweep: Sweep) -> Section | None:
    """The Pareto front; None for one objective."""
    if len(sweep.objectives) < 2:
        return None
    shown = measures.front(sweep)
    if not shown:
        return Section("front", "Pareto front", NOTHING)
    names = " and ".join(one.name for one in sweep.objectives)
    finding = f"{plural(len(shown), 'trial')} of {len(sweep.complete)} on the front of {names}."
    notes = ["The front is that of the measured values; with noise some of its trials are there by luck."]
    notes += clipped(sweep)
    header = ["trial", *(one.name for one in sweep.objectives), *sweep.parameters, "command"]
    lines = [
        [t.number, *map(Digits, t.values), *params(sweep, t), command.line(command.overrides(sweep, t))] for t in shown
    ]
    draw = partial(figures.front, sweep=sweep, best=shown)
    pictures = [Picture("front", f"Pareto front of {names}", draw)]
    return Section(
        "front", "Pareto front", finding, notes, pictures, [Sheet("front", "Trials of the front", [header, *lines])]
    )
