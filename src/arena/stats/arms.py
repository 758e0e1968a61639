r"""The difference of two arms on the same rows, with an interval over prompts and over training seeds.

A measure is a function of sums over groups (prompts), so a resample is a product of how often each group is drawn with
these sums: the log loss is nats / rows, macro-F1 is a function of the confusion matrix.

Prompts are drawn for both arms and all seeds together, because all of them answered the same ones. Seeds are drawn
within each arm, S of its S, from their deviations from the arm's mean: scaled by $\sqrt{S / (S - 1)}$, as S draws from
S values vary too little, and shrunk by the share of their variance that the drawn prompts explain already, which would
be counted twice (Davison and Hinkley 1997, "Bootstrap Methods and their Application", 3.8). An arm of one seed borrows
the other arm's variance. Since a standard deviation of three seeds is itself a guess, the ends are then widened by
Student's t with the degrees of freedom of Satterthwaite 1946. With one seed in each arm all of this is
`arena.stats.intervals.paired_difference`, which says nothing of other seeds.

Shape legend: S seeds of an arm, G groups, m sums, R resamples.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.stats.intervals import LEVEL, Interval, percentiles, quantile, quotient

Array = NDArray[np.float64]
AT_ONCE = 4_000_000
"""Numbers of draws (32 MB) that are held at a time."""
MIN_RESAMPLES = 100
"""Fewer have no ends of a 95% interval."""


def ratio(sums: Array) -> Array:
    """Divide the numerator by the denominator of sums `[..., 2]`; NaN for 0 / 0."""
    return quotient(sums[..., 0], sums[..., 1])


@dataclass(frozen=True)
class Statistic:
    """One measure of both arms on the same groups.

    Attributes:
        base, other: sums of each seed and group, `[S, G, m]` float64; S may differ.
        value: sums `[..., m]` -> the measure `[...]`.
        rises: more is better (quality) or more diverse.
        rows: rows, or prompts, that it rests on.
        left_out: those that it is not defined on in one of the runs.
    """

    name: str
    base: Array
    other: Array
    value: Callable[[Array], Array]
    rises: bool
    rows: int
    left_out: int = 0


@dataclass(frozen=True)
class Found:
    """The difference of two arms by one measure.

    Attributes:
        base, other: mean over the seeds of each arm.
        difference: other minus base.
        relative: (other - base) / base; NaN where base is not above 0.
        prompt_error: standard error of the difference for these seeds, from the draws of prompts alone.
        seed_error: the part of the standard error that other seeds would add; 0 with one seed in each arm.
        seed_deviation: standard deviation of the base's seeds; NaN with one.
        seed_freedom: degrees of freedom of the interval; infinite with one seed in each arm.
    """

    base: float
    other: float
    difference: Interval
    relative: Interval
    prompt_error: float
    seed_error: float
    seed_deviation: float
    seed_freedom: float

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return math.hypot(self.prompt_error, self.seed_error)


def compare(statistics: Sequence[Statistic], resamples: int, seed: int) -> dict[str, Found]:
    """Compare both arms by every measure, by name, all from the same draws of the same groups."""
    arms = [Sums(arm, each.value) for each in statistics for arm in (each.base, each.other)]
    drawn = resampled(arms, resamples, seed)
    lot = np.random.default_rng([seed, 1])
    pairs = zip(statistics, drawn[::2], drawn[1::2], strict=True)
    return {each.name: _found(each, base, other, lot) for each, base, other in pairs}


class Sums(NamedTuple):
    """One measure of one arm: sums of each seed and group, `[S, G, m]`, and the function of their totals."""

    sums: Array
    value: Callable[[Array], Array]


def resampled(arms: Sequence[Sums], resamples: int, seed: int) -> list[Array]:
    """Compute each arm's measure of each seed in each resample of groups, `[S, R]`; all arms share the draws."""
    flat = np.concatenate([arm.sums.transpose(1, 0, 2).reshape(arm.sums.shape[1], -1) for arm in arms], axis=1)
    groups = flat.shape[0]
    generator, made = np.random.default_rng(seed), np.empty((resamples, flat.shape[1]))
    step = max(1, AT_ONCE // max(groups, 1))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        draws = generator.multinomial(groups, np.full(groups, 1 / max(groups, 1)), size=size)
        made[start : start + size] = draws.astype(np.float64) @ flat
    found, place = [], 0
    for arm in arms:
        seeds, _, width = arm.sums.shape
        part = made[:, place : place + seeds * width].reshape(resamples, seeds, width)
        place += seeds * width
        found.append(arm.value(part).T)
    return found


def means(arms: Sequence[Sums], resamples: int, seed: int) -> list[Interval]:
    """Compute the mean over the seeds of each arm with its interval over groups and seeds."""
    lot, found = np.random.default_rng([seed, 1]), []
    for arm, drawn in zip(arms, resampled(arms, resamples, seed), strict=True):
        whole, values, freedom = arm.value(arm.sums.sum(axis=1)), drawn.mean(axis=0), math.inf
        seeds = _seeds(whole, drawn, lot)
        if seeds is not None and seeds.variance > 0:
            freedom = seeds.freedom * ((_deviation(values) ** 2 + seeds.variance) / seeds.variance) ** 2
            values = values + seeds.draws
        centre = float(whole.mean())
        found.append(_interval(values, centre, _groups(arm.sums), freedom))
    return found


def _found(statistic: Statistic, base: Array, other: Array, lot: np.random.Generator) -> Found:
    whole = [statistic.value(arm.sum(axis=1)) for arm in (statistic.base, statistic.other)]
    means = [float(values.mean()) for values in whole]
    arms = [_seeds(values, draws, lot) for values, draws in zip(whole, (base, other), strict=True)]
    parts = [arm for arm in arms if arm is not None]
    if len(parts) == 1:
        lender = parts[0]
        arms = [_borrow(lender, base.shape[1], lot) if arm is None else arm for arm in arms]
        parts = [lender._replace(variance=sum(arm.variance for arm in arms if arm is not None))]
    prompt_error = _deviation(other.mean(axis=0) - base.mean(axis=0))
    seed_variance = sum(arm.variance for arm in parts)
    uncertain = sum(arm.variance**2 / arm.freedom for arm in parts)
    freedom = (prompt_error**2 + seed_variance) ** 2 / uncertain if uncertain > 0 else math.inf
    drawn_base, drawn_other = (
        draws.mean(axis=0) + (0.0 if arm is None else arm.draws) for draws, arm in zip((base, other), arms, strict=True)
    )
    difference, groups = drawn_other - drawn_base, _groups(statistic.base)
    relative = Interval(math.nan, math.nan, math.nan)
    if means[0] > 0:
        changes = quotient(difference, np.where(drawn_base > 0, drawn_base, 0.0))
        relative = _interval(changes, means[1] / means[0] - 1, groups, freedom)
    return Found(
        means[0],
        means[1],
        _interval(difference, means[1] - means[0], groups, freedom),
        relative,
        prompt_error,
        math.sqrt(seed_variance),
        float(whole[0].std(ddof=1)) if len(whole[0]) > 1 else math.nan,
        freedom,
    )


class _Seeds(NamedTuple):
    """What other seeds would change.

    Attributes:
        variance: of the arm's mean.
        freedom: degrees of freedom of that variance.
        draws: deviations of the mean, `[R]`.
        deviations: of single seeds, scaled and shrunk, `[S]`.
    """

    variance: float
    freedom: int
    draws: Array
    deviations: Array


def _seeds(whole: Array, drawn: Array, lot: np.random.Generator) -> _Seeds | None:
    """Measure the seeds of one arm, from their values on all groups `[S]` and on resampled ones `[S, R]`.

    None where there are fewer than two, or an undefined one.
    """
    seeds, resamples = drawn.shape
    defined = drawn[:, np.isfinite(drawn).all(axis=0)]
    if seeds < 2 or not np.isfinite(whole).all() or defined.shape[1] < 2:
        return None
    deviation = whole - whole.mean()
    between = float((deviation**2).sum() / (seeds - 1))
    # How much of the seeds' differences would change with other prompts: drawing prompts has that variance already.
    moves = (defined - defined.mean(axis=0)) - deviation[:, None]
    explained = float(moves.var(axis=1).sum() / (seeds - 1))
    shrinkage = math.sqrt(max(0.0, 1 - explained / between)) if between > 0 else 0.0
    scaled = deviation * shrinkage * math.sqrt(seeds / (seeds - 1))
    draws = scaled[lot.integers(0, seeds, (resamples, seeds))].mean(axis=1)
    return _Seeds(between * shrinkage**2 / seeds, seeds - 1, draws, scaled)


def _borrow(lender: _Seeds, resamples: int, lot: np.random.Generator) -> _Seeds:
    """Return what another seed would change in an arm of one, if its seeds differ as the lender's do."""
    seeds = len(lender.deviations)
    draws = lender.deviations[lot.integers(0, seeds, resamples)]
    return lender._replace(variance=lender.variance * seeds, draws=draws)


def _groups(sums: Array) -> int:
    """The groups that have rows of a measure, from its sums `[S, G, m]`."""
    return int(np.count_nonzero(sums.any(axis=(0, 2))))


def _deviation(values: Array) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else math.nan


def _interval(values: Array, centre: float, groups: int, freedom: float) -> Interval:
    """Percentiles of the resamples, widened about the centre by Student's t for few seeds; NaN for few resamples."""
    from scipy.stats import t

    if len(values) < MIN_RESAMPLES:
        return Interval(centre, math.nan, math.nan)
    low, high = percentiles(values, groups)
    wider = 1.0 if math.isinf(freedom) else float(t.ppf(0.5 + LEVEL / 2, freedom)) / quantile()
    return Interval(centre, float(centre - wider * (centre - low)), float(centre + wider * (high - centre)))
