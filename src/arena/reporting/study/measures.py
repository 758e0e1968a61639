"""Statistics of a sweep: recipes over seeds, test metrics, the luck of the best of many, the front, importance."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any, NamedTuple

from arena.reporting.page import digits
from arena.reporting.study.trials import REPEATS, Sweep, Trial, short, typed
from arena.stats import pareto
from arena.stats.intervals import quantile

MIN_COMPLETE = 10
"""Fewer complete trials say nothing about importance."""
BEST_SHARE, MIN_BEST = 0.1, 5
"""PED-ANOVA looks at what the best tenth has in common, and needs five trials in it."""


class Spread(NamedTuple):
    """Mean, standard deviation (n - 1 in its denominator) and t interval over repeats; NaN for one but the mean."""

    n: int
    mean: float
    standard_deviation: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """Mean, interval, deviation and number."""
        if self.n < 2:
            return f"{digits(self.mean)} (one run)"
        interval = f"95% t interval {digits(self.low)} to {digits(self.high)}"
        return f"{digits(self.mean)} ({interval}; standard deviation {digits(self.standard_deviation)}, n = {self.n})"


def spread(values: Sequence[float]) -> Spread:
    r"""Compute mean, deviation and Student's 95% interval $\bar x \pm t_{0.975, n-1} \, s / \sqrt n$."""
    from scipy.stats import t

    number, mean = len(values), fmean(values)
    if number < 2:
        return Spread(number, mean, math.nan, math.nan, math.nan)
    deviation = stdev(values)
    half = float(t.ppf(0.975, number - 1)) * deviation / math.sqrt(number)
    return Spread(number, mean, deviation, mean - half, mean + half)


@dataclass(frozen=True)
class Recipe:
    """Complete trials that differ in their seed or fold only, with the values of one objective."""

    params: dict[str, Any]
    trials: tuple[Trial, ...]
    values: tuple[float, ...]
    spread: Spread

    @property
    def label(self) -> str:
        """Its parameters for people."""
        return ", ".join(f"{name}={short(value)}" for name, value in self.params.items()) or "All runs"


def all_recipes(sweep: Sweep, objective: int = 0) -> list[Recipe]:
    """Group the complete trials by recipe: the best mean first, those tried once last.

    Of several trials with the same seed and fold, which would be one and the same run, the first counts.
    """
    groups: dict[tuple[Any, ...], dict[tuple[str, ...], Trial]] = {}
    for trial in sweep.complete:
        repeat = tuple(typed(trial.params.get(name)) for name in REPEATS)
        groups.setdefault(tuple(trial.recipe.items()), {}).setdefault(repeat, trial)
    found = []
    for group in groups.values():
        trials = tuple(group.values())
        params = {name: value for name, value in trials[0].params.items() if name not in REPEATS}
        values = tuple(trial.values[objective] for trial in trials)
        found.append(Recipe(params, trials, values, spread(values)))
    loss = sweep.objectives[objective].loss
    return sorted(found, key=lambda recipe: (len(recipe.trials) < 2, loss(recipe.spread.mean)))


def recipes(sweep: Sweep, objective: int = 0) -> list[Recipe]:
    """The recipes of a sweep over seeds or folds; empty where none was repeated."""
    found = all_recipes(sweep, objective) if set(sweep.searched) & set(REPEATS) else []
    return found if any(len(recipe.trials) > 1 for recipe in found) else []


def test_metrics(trial: Trial) -> dict[str, float]:
    """The metrics of a trial on its test split."""
    return _numbers(trial.result.get("test"))


def _numbers(found: Any) -> dict[str, float]:
    """The numbers among values, or among the `value` of entries with an interval."""
    entries = found.items() if isinstance(found, dict) else ()
    values = {name: entry.get("value") if isinstance(entry, dict) else entry for name, entry in entries}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def test_spreads(sweep: Sweep) -> dict[str, dict[str, Spread]]:
    """Mean and deviation of each test metric of each recipe, by validation value, and of each baseline."""
    rows: dict[str, list[dict[str, float]]] = {}
    for recipe in all_recipes(sweep):
        rows[recipe.label] = [test_metrics(trial) for trial in recipe.trials]
    if not any(map(any, rows.values())):
        return {}
    for trial in sweep.complete:
        for name, values in ((trial.result.get("baselines") or {}).get("test") or {}).items():
            rows.setdefault(f"baseline {name}", []).append(_numbers(values))
    names = {label: dict.fromkeys(name for row in found for name in row) for label, found in rows.items()}
    return {
        label: {name: spread([row[name] for row in found if name in row]) for name in names[label]}
        for label, found in rows.items()
    }


def rival(sweep: Sweep) -> Trial | None:
    """The best trial that is not the best trial's own recipe with another seed or fold; None where there is none."""
    first, *others = sweep.best_first() or [None]
    # Of equal parameters without any seed among them each trial is a rival: the study itself chose to repeat.
    varied = set(sweep.searched) & set(REPEATS)
    return next((t for t in others if t and first and (not varied or t.recipe != first.recipe)), None)


def luck(sweep: Sweep) -> tuple[float, float] | None:
    r"""Estimate how much better than it is the best of n equally good trials would look, and the standard error s.

    $s \, \Phi^{-1}((n - 3/8) / (n + 1/4))$, the mean of the best of n independent normal errors with standard
    deviation s, which is a quarter of the interval's length or so ($(high - low) / (2 z)$) of the best trial. Trials
    evaluated on the same rows share a part of their errors, so this is the most that luck gives. Source: Blom 1958,
    "Statistical Estimates and Transformed Beta-Variables".
    """
    best = sweep.best_first()
    low, high = best[0].intervals[0] if best else (math.nan, math.nan)
    number = len(best)
    if number < 2 or math.isnan(low):
        return None
    error = (high - low) / (2 * quantile())
    return error * NormalDist().inv_cdf((number - 0.375) / (number + 0.25)), error


def separable(first: tuple[float, float], second: tuple[float, float]) -> bool | None:
    """Check that two intervals have no point in common; None where one is unknown."""
    if any(math.isnan(end) for end in (*first, *second)):
        return None
    return first[1] < second[0] or second[1] < first[0]


def front(sweep: Sweep) -> list[Trial]:
    """The trials that no other beats in all objectives, by the first objective's value."""
    points = [[-one.loss(v) for one, v in zip(sweep.objectives, t.values, strict=True)] for t in sweep.complete]
    best = [trial for trial, stays in zip(sweep.complete, pareto.front(points), strict=True) if stays]
    return sorted(best, key=lambda trial: trial.values[0])


def importances(sweep: Sweep, objective: int) -> tuple[dict[str, float], float, str]:
    """Compute the importance of each parameter, the share of best trials that it is for, and why there is none.

    By PED-ANOVA for being among that share; importances add up to 1. Source: Watanabe, Bansal and Hutter 2023,
    "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"; Optuna's implementation.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    number = len(sweep.complete)
    if len(sweep.searched) < 2:
        return {}, 0.0, "Importance compares parameters, and fewer than two were varied."
    if number < MIN_COMPLETE:
        return {}, 0.0, f"{number} complete trials are too few for importances, which need {MIN_COMPLETE}."
    share = max(BEST_SHARE, MIN_BEST / number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental in Optuna 4; its warning of small numbers is on the page
            evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
            found = get_param_importances(sweep.studies[objective], evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        return {}, share, f"Optuna could not compute importances ({str(error).splitlines()[0]})."
    return {name: value for name, value in found.items() if name in sweep.searched}, share, ""
