"""Intervals: how far a number could have been off with other rows of the same kind."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from arena.metric.collection import Metrics
from arena.metric.heads import HeadMetrics

MAX_UNDEFINED = 0.10
"""Share of undefined resamples up to which the others still give an interval."""
AT_ONCE = 2_000_000
"""Weights of rows (16 MB) that are resampled in one go."""


class Difference(NamedTuple):
    """A mean difference with its interval, in the unit of the losses."""

    mean: float
    low: float
    high: float


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    r"""Wilson's score interval of a rate that is `successes / n`; NaN for n = 0.

    $\frac{1}{1 + z^2/n}\left(\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p(1-\hat p)}{n} + \frac{z^2}{4n^2}}\right)$
    stays inside [0, 1] and has a width also at 0/n. It takes rows as independent: use `bootstrap` for groups.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if n == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = successes / n
    centre = rate + z**2 / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap(
    metrics: Metrics | HeadMetrics,
    probabilities: Tensor,
    target: Tensor,
    groups: ArrayLike,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of every metric from resampled groups (Efron 1979; cluster bootstrap).

    Whole groups are drawn with replacement, because the rows of one prompt resemble each other: drawing single rows
    gives intervals that are too narrow. A value that is undefined in more than a tenth of the resamples has no
    interval (NaN), nor has any with fewer than two groups. Ends are read off the defined resamples.

    Calibration errors have none: an error summed over bins is never below 0, and resampling adds noise to every bin,
    so that all resamples of a calibrated model lie above its error, and such an interval would exclude its estimate.

    Args:
        metrics: what to compute; a fresh copy is used, its own rows stay.
        probabilities: `[N, K]`; `[N, C]` of several heads.
        target: class indices `[N]` or probabilities `[N, K]`; class indices `[N, T]` of several heads.
        groups: what was drawn together (prompt), one value for each row, `[N]`.
        resamples: number of resamples; 200 give the ends of a 95 % interval to about a tenth of its width.
        seed: of the draws; the same seed draws the same groups here and in `paired_difference`.
        level: coverage.
    """
    member, draws = _draws(groups, resamples, seed)
    sample = metrics.fresh().cpu()
    probabilities, target = probabilities.cpu(), target.cpu()
    if isinstance(sample, HeadMetrics):
        values = _at_once(sample, probabilities, target, member, draws)
    else:
        values = _one_by_one(sample, probabilities, target, member, draws)
    ends = dict(zip(sample.names, (_percentiles(column, level, draws) for column in values.T), strict=True))
    return ends | dict.fromkeys(sample.without_interval, (math.nan, math.nan))


def _one_by_one(
    sample: Metrics, probabilities: Tensor, target: Tensor, member: NDArray[np.int64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Every value of each resample, `[resamples, names]`, as the metrics themselves compute it."""
    values = np.full((len(draws), len(sample.names)), math.nan)
    for resample, draw in enumerate(draws):
        rows = torch.from_numpy(np.repeat(np.arange(len(member)), draw[member]))
        sample.reset()
        sample.update(probabilities[rows], target[rows])
        values[resample] = list(sample.compute().values())
    return values


def _at_once(
    sample: HeadMetrics, probabilities: Tensor, target: Tensor, member: NDArray[np.int64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The same from many resamples in one go: several heads have ten times the values."""
    values = np.full((len(draws), len(sample.names)), math.nan)
    step = max(1, AT_ONCE // max(1, len(member)))
    for start in range(0, len(draws), step):
        weights = torch.from_numpy(draws[start : start + step][:, member])
        found = sample.resampled(probabilities, target, weights)
        values[start : start + step] = torch.stack([found[name] for name in sample.names], dim=1).numpy()
    return values


def paired_difference(
    loss_a: ArrayLike, loss_b: ArrayLike, groups: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> Difference:
    """Mean of `loss_a - loss_b` over the same rows with its interval, from resampled groups as in `bootstrap`.

    With model minus baseline, a negative interval says that the model is better. Far narrower than the intervals of
    the two means suggest: what makes a row hard for both cancels.

    Args:
        loss_a: loss of each row, `[N]`.
        loss_b: loss of the same rows, `[N]`.
        groups: what was drawn together (prompt), one value for each row, `[N]`.
        resamples: number of resamples; they are cheap here, take thousands.
        seed: of the draws.
        level: coverage.
    """
    difference = np.asarray(loss_a, dtype=np.float64) - np.asarray(loss_b, dtype=np.float64)
    member, draws = _draws(groups, resamples, seed)
    total = np.bincount(member, weights=difference)
    size = np.bincount(member)
    mean = float(difference.mean()) if len(difference) else math.nan
    return Difference(mean, *_percentiles(draws @ total / np.maximum(draws @ size, 1), level, draws))


def paired_differences(
    losses_a: ArrayLike, losses_b: ArrayLike, groups: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> list[Difference]:
    """`paired_difference` for each column of losses `[N, T]`, from the same draws; NaN where a row is not in a column.

    Args: as `paired_difference`, with losses `[N, T]`.
    """
    difference = np.asarray(losses_a, dtype=np.float64) - np.asarray(losses_b, dtype=np.float64)
    known = np.isfinite(difference)
    member, draws = _draws(groups, resamples, seed)
    found = []
    for column, counted in zip(difference.T, known.T, strict=True):
        total = np.bincount(member, weights=np.where(counted, column, 0))
        size = np.bincount(member, weights=counted)
        mean = float(column[counted].mean()) if counted.any() else math.nan
        drawn = draws @ size
        means = np.where(drawn > 0, draws @ total / np.maximum(drawn, 1), math.nan)
        found.append(Difference(mean, *_percentiles(means, level, draws)))
    return found


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, groups: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Interval of sum(numerator) / sum(denominator), nats over tokens for example, from the draws of `bootstrap`.

    Args:
        numerator, denominator: of each row, `[N]`.
        groups, resamples, seed, level: see `bootstrap`.
    """
    member, draws = _draws(groups, resamples, seed)
    above, below = (np.bincount(member, weights=np.asarray(each, np.float64)) for each in (numerator, denominator))
    drawn = draws @ below
    return _percentiles(np.where(drawn > 0, draws @ above / np.where(drawn > 0, drawn, 1), math.nan), level, draws)


def _draws(groups: ArrayLike, resamples: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of its group for each row `[N]`, and how often each group is drawn `[resamples, G]`."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    number = int(member.max()) + 1 if len(member) else 0
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(number, np.full(number, 1 / max(number, 1)), size=resamples)
    return member, draws


def _percentiles(values: NDArray[np.float64], level: float, draws: NDArray[np.int64]) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if draws.shape[1] < 2 or not len(values) or 1 - len(defined) / len(values) > MAX_UNDEFINED:
        return math.nan, math.nan
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
