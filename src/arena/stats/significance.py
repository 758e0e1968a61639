"""Beside an interval: the chance that equal arms differ as much, many measures at once, and how many rows it takes."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from arena.stats.arms import Found, Statistic
from arena.stats.intervals import quantile

POWER = 0.8
FACTOR = quantile() + NormalDist().inv_cdf(POWER)
"""Standard errors that a difference must have to be shown with this power."""
AT_ONCE = 4_000_000
"""Numbers (32 MB) that one batch of permutations may hold."""


def permutation_p(statistics: Sequence[Statistic], permutations: int, seed: int) -> dict[str, float]:
    """Compute for each measure the two-sided p that two equal arms would differ as much: the share of sign flips, which
    swap both arms' answers to a prompt, with a difference at least as large.

    Each arm is the mean of its seeds here: the p is about other prompts, not about other seeds. It is exact where there
    are no more than `permutations` ways to flip, and NaN with fewer than two groups or an undefined measure. It is
    `scipy.stats.permutation_test` with permutation_type="samples", but one matrix product for all measures of the same
    groups: scipy permutes prompt by prompt and takes a minute for twelve measures of two thousand prompts.
    """
    groups = statistics[0].base.shape[1]
    arms = [(each.base.mean(axis=0), each.other.mean(axis=0)) for each in statistics]
    change = np.concatenate([other - base for base, other in arms], axis=1)
    exact = groups < 60 and 2**groups <= permutations
    ways = 2**groups if exact else permutations
    moved, generator, step = np.empty((ways, change.shape[1])), np.random.default_rng(seed), max(1, AT_ONCE // groups)
    for start in range(0, ways, step):
        size = min(step, ways - start)
        if exact:
            flips = (np.arange(start, start + size)[:, None] >> np.arange(groups)) & 1
        else:
            flips = generator.integers(0, 2, (size, groups), dtype=np.int8)
        moved[start : start + size] = flips.astype(np.float64) @ change
    found, place = {}, 0
    for each, (base, other) in zip(statistics, arms, strict=True):
        width = base.shape[1]
        part = moved[:, place : place + width]
        place += width
        value = each.value
        seen = abs(float(value(other.sum(axis=0)) - value(base.sum(axis=0))))
        flipped = np.abs(value(other.sum(axis=0) - part) - value(base.sum(axis=0) + part))
        # As large up to rounding, as scipy counts; the data themselves are one of the random flips.
        reached = int((flipped >= seen - 1e-12 - 1e-9 * seen).sum())
        known = groups > 1 and np.isfinite(seen)
        found[each.name] = (reached / ways if exact else (reached + 1) / (ways + 1)) if known else math.nan
    return found


def error_p(found: Found) -> float:
    """Compute the two-sided p of the difference over its standard error by Student's t: it knows of seeds too."""
    from scipy.stats import norm, t

    if not found.error > 0:
        return math.nan
    z = abs(found.difference.value) / found.error
    return float(2 * (norm.sf(z) if math.isinf(found.seed_freedom) else t.sf(z, found.seed_freedom)))


def mcnemar(base: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Compute McNemar's exact test of rows that are right or not: the rows that only base has right, those that only
    other has, and the two-sided p that these counts come from a fair coin; it takes rows as independent.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages".
    """
    from scipy.stats import binomtest

    only_base, only_other = int((base & ~other).sum()), int((other & ~base).sum())
    p = binomtest(only_other, only_base + only_other).pvalue if only_base + only_other else 1.0
    return only_base, only_other, float(p)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values for being looked at together; NaN stays, and does not count.

    The i-th smallest of m becomes the largest of (m - j + 1) p_j over j <= i, at most 1. Source: Holm 1979, "A Simple
    Sequentially Rejective Multiple Test Procedure".
    """
    known = sorted((i for i, p in enumerate(values) if not math.isnan(p)), key=lambda i: values[i])
    found, highest = [math.nan] * len(values), 0.0
    for place, i in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * values[i]))
        found[i] = highest
    return found


def rows_needed(found: Found, rows: int) -> float:
    r"""Compute the rows, grouped like these, with which a difference of this size would be shown with this power: $n
    (z_{1 - \alpha/2} + z_{power})^2 s^2 / (d^2 - (z_{1 - \alpha/2} + z_{power})^2 s_{seed}^2)$.

    Infinite where no number of rows suffices, because the seeds alone differ too much, or there is no difference.
    """
    factor = FACTOR**2
    room = found.difference.value**2 - factor * found.seed_error**2
    return rows * factor * found.prompt_error**2 / room if room > 0 else math.inf


def detectable_difference(found: Found) -> float:
    """The difference that these rows and seeds would have shown with this power, in the measure's unit."""
    return FACTOR * found.error
