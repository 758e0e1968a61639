"""What a sweep's numbers say: repeats of one recipe, the luck of the best of many, the front, importance."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from arena.reporting.study.trials import REPEATS, Sweep, Trial, brief, shown
from arena.stats import pareto
from arena.stats.intervals import quantile

LEAST_COMPLETE = 10
"""Fewer complete trials say nothing about importance."""
BEST_SHARE, LEAST_BEST = 0.1, 5
"""PED-ANOVA looks at what the best tenth has in common, and needs five trials in it."""


@dataclass(frozen=True)
class Recipe:
    """Complete trials that differ in their seed or fold only.

    Attributes:
        params: what they share.
        trials: one for each seed and fold, by number.
        values: theirs.
        mean, deviation: of the values; the deviation (n - 1 in its denominator) is NaN for one.
        low, high: the t interval of the mean; NaN for one.
    """

    params: dict[str, Any]
    trials: tuple[Trial, ...]
    values: tuple[float, ...]
    mean: float
    deviation: float
    low: float
    high: float

    @property
    def label(self) -> str:
        """Its parameters for people."""
        return ", ".join(f"{name}={brief(value)}" for name, value in self.params.items()) or "All runs"


def recipes(sweep: Sweep, objective: int = 0) -> list[Recipe]:
    """The recipes of a sweep over seeds or folds, the best mean first and those tried once last; else nothing.

    Of several trials with the same seed and fold, which would be one and the same run, the first counts.
    """
    if not set(sweep.searched) & set(REPEATS):
        return []
    groups: dict[tuple[Any, ...], dict[tuple[Any, ...], Trial]] = {}
    for trial in sweep.complete:
        recipe = tuple((name, shown(value)) for name, value in sorted(trial.params.items()) if name not in REPEATS)
        repeat = tuple(shown(trial.params.get(name)) for name in REPEATS)
        groups.setdefault(recipe, {}).setdefault(repeat, trial)
    found = [summary(list(group.values()), objective) for group in groups.values()]
    if not any(len(recipe.trials) > 1 for recipe in found):
        return []
    loss = sweep.objectives[objective].loss
    return sorted(found, key=lambda recipe: (len(recipe.trials) < 2, loss(recipe.mean)))


def rival(sweep: Sweep) -> Trial | None:
    """The best trial that is not the best trial's own recipe with another seed or fold; None where there is none."""
    ordered = sweep.best_first()
    keys = [{name: shown(value) for name, value in trial.params.items() if name not in REPEATS} for trial in ordered]
    # Of equal parameters without any seed among them each trial is a rival: the study itself chose to repeat.
    varied = set(sweep.searched) & set(REPEATS)
    return next((t for t, key in zip(ordered[1:], keys[1:], strict=True) if not varied or key != keys[0]), None)


def summary(trials: Sequence[Trial], objective: int) -> Recipe:
    r"""Mean, standard deviation and 95% interval of one recipe's values.

    The interval is Student's, $\bar x \pm t_{0.975, n-1} \, s / \sqrt n$.
    """
    from scipy.stats import t

    values = tuple(trial.values[objective] for trial in trials)
    number, mean = len(values), fmean(values)
    deviation = half = math.nan
    if number > 1:
        deviation = stdev(values)
        half = float(t.ppf(0.975, number - 1)) * deviation / math.sqrt(number)
    params = {name: value for name, value in trials[0].params.items() if name not in REPEATS}
    return Recipe(params, tuple(trials), values, mean, deviation, mean - half, mean + half)


def luck(sweep: Sweep) -> tuple[float, float] | None:
    r"""By how much the best of n equally good trials would look better than it is, and the standard error behind it.

    $s \, \Phi^{-1}((n - 3/8) / (n + 1/4))$, the mean of the best of n independent normal errors with standard
    deviation s, which is a quarter of the interval's length or so ($(high - low) / (2 z)$) of the best trial. Trials
    judged on the same rows share a part of their errors, so this is the most that luck gives. Source: Blom 1958,
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
    """Whether two intervals have no point in common; None where one is unknown."""
    if any(math.isnan(end) for end in (*first, *second)):
        return None
    return first[1] < second[0] or second[1] < first[0]


def front(sweep: Sweep) -> list[Trial]:
    """The trials that no other beats in all objectives, by the first objective's value."""
    points = [[-one.loss(v) for one, v in zip(sweep.objectives, t.values, strict=True)] for t in sweep.complete]
    best = [trial for trial, stays in zip(sweep.complete, pareto.front(points), strict=True) if stays]
    return sorted(best, key=lambda trial: trial.values[0])


def importances(sweep: Sweep, objective: int) -> tuple[dict[str, float], float, str]:
    """Importance of each parameter, the share of best trials that it is for, and why there is none.

    By PED-ANOVA for being among that share; importances add up to 1. Source: Watanabe, Bansal and Hutter 2023,
    "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"; Optuna's implementation.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    number = len(sweep.complete)
    if len(sweep.searched) < 2:
        return {}, 0.0, "Importance compares parameters, and fewer than two were varied."
    if number < LEAST_COMPLETE:
        return {}, 0.0, f"{number} complete trials are too few for importances; {LEAST_COMPLETE} are the least."
    share = max(BEST_SHARE, LEAST_BEST / number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental in Optuna 4; what it says of small numbers the page says too
            evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
            found = get_param_importances(sweep.studies[objective], evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        return {}, share, f"Optuna could not compute importances ({str(error).splitlines()[0]})."
    return {name: value for name, value in found.items() if name in sweep.searched}, share, ""


def seconds(sweep: Sweep) -> tuple[float | None, float | None]:
    """Time during which at least one trial ran (pauses left out), and the time of all trials added up.

    None for unknown.
    """
    spans = sorted((t.started, t.ended) for t in sweep.trials if t.started and t.ended)
    covered, end = 0.0, None
    for start, stop in spans:
        begin = start if end is None else max(start, end)
        if stop > begin:
            covered += (stop - begin).total_seconds()
            end = stop
    each = [trial.seconds for trial in sweep.trials if trial.seconds is not None]
    return (covered if spans else None), (sum(each) if each else None)
