"""Sections about the best trials: which they are, how they were found, and how much of it is luck."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from arena.reporting.sections import Digits, Picture, Section, Sheet, plural
from arena.reporting.study import figures, measures
from arena.reporting.study.cells import MOST_TRIALS, NOTHING, clipped, compare, overrides, params, train
from arena.reporting.study.trials import REPEATS, Sweep, Trial, brief, digits

TOP, RECIPES = 10, 20
APART = {
    None: "; their runs record no intervals (resamples=0, or their folders are gone), so nothing says whether that is "
    "more than chance.",
    True: ", and their 95% intervals over rows do not touch: the best is separable from the second.",
    False: ", and their 95% intervals over rows overlap: by these the best is not separable from the second.",
}


def best(sweep: Sweep) -> Section:
    """The best trial, recipe or trials with their commands."""
    made = Section("best", "Best", "")
    if not sweep.complete:
        said = ", ".join(f"{number} {kind}" for kind, number in sweep.counts().items()) or "none was started"
        made.finding = f"No trial has completed yet: {said}."
        return made
    if len(sweep.objectives) > 1:
        shown = measures.front(sweep)
        made.finding = (
            f"{plural(len(shown), 'trial')} of {len(sweep.complete)} on the Pareto front: no other trial is better in "
            "one objective and as good in all others. Which one to take is a choice between the objectives."
        )
        for place, one in enumerate(sweep.objectives):
            trial = sweep.best_first(place)[0]
            caption = f"{one.word.capitalize()} {one.name}, {digits(trial.values[place])} (trial {trial.number}):"
            made.commands.append((caption, train(overrides(sweep, trial))))
        return made
    trial, one = sweep.best_first()[0], sweep.objectives[0]
    repeated = measures.recipes(sweep)
    if repeated:
        recipe, several = repeated[0], len(repeated) > 1
        among = f", the {one.word} mean of {len(repeated)} recipes" if several else ""
        made.finding = f"{recipe.label}: {one.name} {mean_text(recipe)}{among}."
        made.notes = [
            f"The {one.word} single value is {value_text(trial)} (trial {trial.number}); that one seed or fold did "
            "best is luck more than merit."
        ]
        made.notes += ["The mean was used to choose the recipe, so it is optimistic."] if several else []
    else:
        made.finding = (
            f"Trial {trial.number}: {one.name} {value_text(trial)}, the {one.word} of "
            f"{plural(len(sweep.complete), 'complete trial')}."
        )
        made.notes = ["The value was used to choose the trial, so it is optimistic (see the best trials and chance)."]
    results = [each.result for each in (repeated[0].trials if repeated else [trial])]
    if any(results) and not any(result.get("test") for result in results):
        made.notes.append(
            "The sweep left the test split alone. With test=true the command judges the model on it, once."
        )
    made.commands = [("Train it again:", best_command(sweep))]
    return made


def best_command(sweep: Sweep) -> str:
    """The command of the best trial or recipe of one objective."""
    if repeated := measures.recipes(sweep):
        return train(overrides(sweep, repeated[0].trials[0], REPEATS))
    return train(overrides(sweep, sweep.best_first()[0]))


def value_text(trial: Trial) -> str:
    """The first value with its interval."""
    low, high = trial.intervals[0]
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
    made = Section("history", "Optimisation history", NOTHING)
    if sweep.complete:
        bests = [
            f"the {one.word} {one.name} came with trial {sweep.best_first(place)[0].number}"
            for place, one in enumerate(sweep.objectives)
        ]
        made.finding = f"Of {plural(len(sweep.trials), 'trial')}, {' and '.join(bests)}."
        made.notes = clipped(sweep)
        made.pictures = [
            Picture(f"history_{place}", f"{one.name} by trial", partial(figures.history, sweep=sweep, objective=place))
            for place, one in enumerate(sweep.objectives)
        ]
    return made


def chance(sweep: Sweep) -> Section:
    """How far the best trial stands out, and how much luck is in it."""
    made, trials = Section("chance", "The best trials and chance", NOTHING), sweep.best_first()[:TOP]
    if len(sweep.objectives) > 1:
        made.finding = "With several objectives the Pareto front takes the place of a ranking."
        return made
    second = measures.rival(sweep)
    if second is None:
        made.finding = "One recipe has no rival." if trials else NOTHING
        return made
    first, one = trials[0], sweep.objectives[0]
    apart = measures.separable(first.intervals[0], second.intervals[0])
    gap, spread = (digits(abs(first.values[0] - other.values[0])) for other in (second, trials[-1]))
    made.finding = f"Trial {first.number} is ahead of trial {second.number} by {gap}{APART[apart]}"
    made.notes = [
        f"The {len(trials)} best lie within {spread} of each other.",
        f"The best of {len(sweep.complete)} is optimistic: what is chosen for its value owes a part of it to luck "
        "(the winner's curse). Only rows that chose nothing, such as the test split, say how good it is.",
    ]
    if found := measures.luck(sweep):
        made.notes.append(
            f"At most: were all {len(sweep.complete)} equally good, with independent errors of {digits(found[1])} each "
            f"(from the best one's interval), the best would look better than it is by about {digits(found[0])}. "
            "Trials judged on the same rows share a part of their errors, which makes it less."
        )
    repeated = [recipe.trials for recipe in measures.recipes(sweep)] or [(first,), (second,)]
    if apart is not None:
        draw = partial(figures.intervals, trials=trials, objective=one)
        made.pictures = [Picture("chance", "The best trials with their 95% intervals over rows", draw)]
        if given := compare(*repeated[:2]):
            what = "The two recipes" if len(repeated[0]) > 1 else "The two"
            made.commands = [(f"{what} row by row, which sees smaller differences than two intervals:", given)]
    header = ["trial", one.name, "low", "high", *sweep.parameters]
    lines = [[t.number, *map(Digits, (t.values[0], *t.intervals[0])), *params(sweep, t)] for t in trials]
    made.sheets = [Sheet("chance", "The best trials", [header, *lines])]
    return made


def repeats(sweep: Sweep) -> Section | None:
    """The spread over seeds and folds; None where neither was varied."""
    found = [measures.recipes(sweep, place) for place in range(len(sweep.objectives))]
    if not found[0]:
        return None
    first = found[0][0]
    made = Section("repeats", "Seeds and folds", f"{first.label}: {sweep.objectives[0].name} {mean_text(first)}.")
    solid = [(recipe.low, recipe.high) for recipe in found[0] if len(recipe.values) > 1]
    if len(solid) > 1:
        ahead = "ahead of the second recipe, and their t intervals do not touch."
        apart = measures.separable(*solid[:2])
        made.finding += f" It is {ahead if apart else 'not separable from the second recipe by their t intervals.'}"
    made.notes = [
        "Trials that differ in seed or data.fold only are one recipe. The interval is Student's t interval of the mean "
        "over its runs (n - 1 degrees of freedom); it says nothing of the sampling of rows."
    ]
    if "data.fold" in sweep.parameters:
        made.notes.append("Folds share most of their training rows, so intervals over folds are somewhat too narrow.")
    for place, (one, some) in enumerate(zip(sweep.objectives, found, strict=True)):
        draw = partial(figures.repeats, found=some[:RECIPES], objective=one)
        made.pictures.append(Picture(f"repeats_{place}", f"{one.name} of each recipe over its seeds and folds", draw))
        lines = recipe_lines(some)
        made.sheets.append(Sheet(f"repeats_{place}", f"{one.name} by recipe", lines, MOST_TRIALS))
    return made


def recipe_lines(recipes: Sequence[measures.Recipe]) -> list[list[Any]]:
    """Recipes as a table, header first."""
    names = list(dict.fromkeys(name for recipe in recipes for name in recipe.params))
    lines: list[list[Any]] = [[*names, "n", "mean", "standard deviation", "low", "high", "trials"]]
    for recipe in recipes:
        numbers = map(Digits, (recipe.mean, recipe.deviation, recipe.low, recipe.high))
        trials = " ".join(str(trial.number) for trial in recipe.trials)
        lines.append([*(brief(recipe.params.get(n, "")) for n in names), len(recipe.values), *numbers, trials])
    return lines


def front(sweep: Sweep) -> Section | None:
    """The Pareto front; None for one objective."""
    if len(sweep.objectives) < 2:
        return None
    made, shown = Section("front", "Pareto front", NOTHING), measures.front(sweep)
    if shown:
        names = " and ".join(one.name for one in sweep.objectives)
        made.finding = f"{plural(len(shown), 'trial')} of {len(sweep.complete)} on the front of {names}."
        made.notes = ["The front is that of the measured values; with noise some of its trials are there by luck."]
        made.notes += clipped(sweep)
        lines: list[list[Any]] = [["trial", *(one.name for one in sweep.objectives), *sweep.parameters, "command"]]
        for trial in shown:
            command = train(overrides(sweep, trial))
            lines.append([trial.number, *map(Digits, trial.values), *params(sweep, trial), command])
        made.sheets = [Sheet("front", "Trials of the front", lines)]
        for place, pair in enumerate(figures.pairs(sweep)):
            draw = partial(figures.front, sweep=sweep, best=shown, pair=pair)
            made.pictures.append(Picture(f"front_{place}", f"Pareto front of {names}", draw))
    return made
