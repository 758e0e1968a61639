"""Intervals: how far a number could have been off with other rows of the same kind.

Shape legend: N rows, G groups (prompts), R resamples, T columns.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVEL = 0.95
"""Coverage of every interval that nothing else is said of."""
MAX_UNDEFINED = 0.10
"""Share of undefined resamples up to which the others still give an interval."""


class Interval(NamedTuple):
    """A number with the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


def quantile(level: float = LEVEL) -> float:
    """Return the normal distribution's quantile for a two-sided level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    r"""Compute Wilson's score interval of the rate `successes / n`; NaN for n = 0.

    $\frac{1}{1 + z^2/n}\left(\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p(1-\hat p)}{n} + \frac{z^2}{4n^2}}\right)$
    stays inside [0, 1] and has a width also at 0/n. It takes rows as independent: use a bootstrap for groups.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if n == 0:
        return math.nan, math.nan
    z = quantile(level)
    rate = successes / n
    centre = rate + z**2 / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mean(values: Array, groups: NDArray | None = None) -> Interval:
    r"""Compute a mean with a normal interval whose standard error allows rows of one group to resemble each other.

    $s^2 = \frac{G}{G-1} \frac{1}{n^2} \sum_g \left(\sum_{i \in g} (x_i - \bar x)\right)^2$ over G groups, or rows where
    `groups` is None. Source: Liang and Zeger 1986, for a mean.
    """
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    value = float(values.mean())
    deviations = values - value
    if groups is not None:
        deviations = np.bincount(np.unique(groups, return_inverse=True)[1], weights=deviations)
    number = len(deviations)
    if number < 2:
        return Interval(value, math.nan, math.nan)
    half = quantile() * math.sqrt(number / (number - 1) * float((deviations**2).sum())) / len(values)
    return Interval(value, value - half, value + half)


def draws(groups: ArrayLike, resamples: int, seed: int) -> tuple[Integers, Integers]:
    """Draw whole groups with replacement: the number of each row's group `[N]`, and how often each is drawn `[R, G]`.

    The rows of one prompt resemble each other: drawing single rows would give intervals that are too narrow.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    if not len(member):
        return member, np.zeros((resamples, 0), dtype=np.int64)
    number = int(member.max()) + 1
    return member, np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=resamples)


def percentiles(values: Array, groups: int, level: float = LEVEL) -> tuple[float, float]:
    r"""Read the ends of a bootstrap interval off the defined resamples (Efron 1979).

    With few groups the plain percentiles are too narrow, as they know of no Student's t and divide by G, not by G - 1.
    They are taken at $\Phi(\pm\sqrt{G / (G - 1)}\, t_{G-1})$ instead: at 40 groups 2.0% and 98.0% for 2.5% and 97.5%.
    NaN with fewer than two groups, or where more than `MAX_UNDEFINED` of the resamples are undefined.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap" (expanded percentiles).
    """
    defined = values[np.isfinite(values)]
    if groups < 2 or not len(values) or 1 - len(defined) / len(values) > MAX_UNDEFINED:
        return math.nan, math.nan
    below = expanded(groups, level)
    low, high = np.quantile(defined, [below, 1 - below])
    return float(low), float(high)


def expanded(groups: int, level: float = LEVEL) -> float:
    """Return the share of resamples below an interval of G groups, see `percentiles`."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-math.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, 0.5 + level / 2)))


def paired_difference(loss_a: ArrayLike, loss_b: ArrayLike, groups: ArrayLike, resamples: int, seed: int) -> Interval:
    """Compute the mean of `loss_a - loss_b` over the same rows `[N]` with its interval from resampled groups.

    Far narrower than the intervals of the two means suggest: what makes a row hard for both cancels. `groups` says what
    was drawn together (prompt), `[N]`. Resamples are cheap here, take thousands.
    """
    difference = np.asarray(loss_a, dtype=np.float64) - np.asarray(loss_b, dtype=np.float64)
    return ratio(difference, np.ones(len(difference)), groups, resamples, seed)


def paired_differences(
    losses_a: ArrayLike, losses_b: ArrayLike, groups: ArrayLike, resamples: int, seed: int
) -> tuple[list[Interval], Interval]:
    """Compute `paired_difference` of each column of losses `[N, T]`, and of the mean of the columns, from one draw.

    Rows that are NaN in a column do not count in it; a column without rows is NaN and does not count in the mean.
    """
    difference = np.asarray(losses_a, dtype=np.float64) - np.asarray(losses_b, dtype=np.float64)
    known = np.isfinite(difference)
    found, resampled, groups_of = _ratios(np.where(known, difference, 0), known, groups, resamples, seed)
    some = [t for t, each in enumerate(found) if not math.isnan(each.value)]
    if not some:
        return found, Interval(math.nan, math.nan, math.nan)
    ends = percentiles(np.mean([resampled[t] for t in some], axis=0), min(groups_of[t] for t in some))
    return found, Interval(float(np.mean([found[t].value for t in some])), *ends)


def ratio(numerator: ArrayLike, denominator: ArrayLike, groups: ArrayLike, resamples: int, seed: int) -> Interval:
    """Compute sum(numerator) / sum(denominator), nats over tokens for example, with its interval over groups."""
    above, below = (np.asarray(each, dtype=np.float64)[:, None] for each in (numerator, denominator))
    return _ratios(above, below, groups, resamples, seed)[0][0]


def _ratios(
    numerators: Array, denominators: NDArray, groups: ArrayLike, resamples: int, seed: int
) -> tuple[list[Interval], list[Array], list[int]]:
    """The `ratio` of each pair of columns `[N, T]`, its values in the resamples `[R]`, and how many groups it has."""
    member, drawn = draws(groups, resamples, seed)
    found, resampled, groups_of = [], [], []
    for pair in zip(numerators.T, denominators.T, strict=True):
        sums = np.stack([np.bincount(member, each, drawn.shape[1]) for each in pair], axis=1)
        resampled.append(quotient(*np.moveaxis(drawn @ sums, -1, 0)))
        groups_of.append(int(np.count_nonzero(sums[:, 1])))
        ends = percentiles(resampled[-1], groups_of[-1])
        found.append(Interval(float(quotient(pair[0].sum(), pair[1].sum())), *ends))
    return found, resampled, groups_of


def quotient(numerator: ArrayLike, denominator: ArrayLike) -> Array:
    """Divide elementwise; NaN where the denominator is not above 0."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan), where=below > 0)
