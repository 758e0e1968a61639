r"""Calibration errors: how far probabilities are from what happens, with an interval that covers.

An error summed over bins is never below 0, so noise only adds to it, and resampling adds the same noise once more: the
percentiles of a bootstrap lie above the truth. The interval here is a test inverted: with the gaps $d_b = \frac{1}{N}
\sum_{i \in b} (\mathrm{right}_i - \mathrm{confidence}_i)$ of the bins and the bootstrap's noise $\epsilon_b$ about
them, true gaps $\lambda d_b$ would have given the error $\sum_b |\lambda d_b + \epsilon_b|$; the interval holds the
errors $\lambda \sum_b |d_b|$ of all $\lambda \ge 0$ under which the error that was seen is within the middle 95%.
`benchmarks/coverage.py` shows what it covers.

Shape legend: N rows, K classes, B bins, G groups, R resamples. In all functions: probabilities `[N, K]`, target class
indices `[N]`, confidence the probability of what is predicted `[N]`, right whether it happened `[N]`, member the bin of
each row `[N]`, group the number of each row's group `[N]`, drawn how often each group is in each resample `[R, G]`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.stats.intervals import LEVEL, MAX_UNDEFINED, expanded, quotient, wilson

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]


def top(probabilities: Array, target: Integers) -> tuple[Array, Truths]:
    """Return the largest probability of each row and whether its class is the target, `[N]` each."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == target


def equal_width(confidence: Array, bins: int) -> Integers:
    """Return the bin of each row: `bins` of the same width from 0 to 1, lower edges included.

    A confidence of exactly 1 is in the last bin. (torchmetrics gives it a bin of its own.)
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1].astype(np.asarray(confidence).dtype)
    return np.searchsorted(edges, confidence, side="right")


def equal_mass(confidence: Array, bins: int) -> Integers:
    """Return the bin of each row: `bins` with the same number of rows, up to one row.

    Rows of one confidence stay in one bin, so that the order of the rows does not matter; there are fewer bins then.
    """
    ordered = np.sort(confidence)
    starts = [part[0] for part in np.array_split(ordered, bins) if len(part)]
    return np.searchsorted(np.unique(starts)[1:], confidence, side="right")


def calibration_error(confidence: Array, right: Truths, member: Integers) -> float:
    r"""Compute the expected calibration error, $\sum_b \frac{|B_b|}{N} |\mathrm{accuracy}_b - \mathrm{confidence}_b|$.

    Sources: Naeini, Cooper and Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (bins
    of equal width); Nixon et al. 2019, "Measuring Calibration in Deep Learning" (of equal mass).
    """
    return float(np.abs(np.bincount(member, weights=right - confidence)).sum() / len(confidence))


def classwise_error(probabilities: Array, target: Integers, bins: int) -> float:
    """Compute the mean over the classes of the calibration error of that class's probability, bins of equal width.

    The one of the three that sees a class which is never the likeliest (Kull et al. 2019).
    """
    errors = [
        calibration_error(column, target == k, equal_width(column, bins)) for k, column in enumerate(probabilities.T)
    ]
    return float(np.mean(errors))


class Gaps(NamedTuple):
    """The signed gaps whose absolute sum is a calibration error, `[B]`, and what resampling adds to them, `[R, B]`."""

    found: Array
    noise: Array

    @classmethod
    def of(cls, confidence: Array, right: Truths, member: Integers, group: Integers, drawn: Integers) -> "Gaps":
        """Compute the gaps of a calibration error."""
        groups, bins = drawn.shape[1], int(member.max(initial=0)) + 1
        sums = np.bincount(group * bins + member, right - confidence, groups * bins).reshape(groups, bins)
        size = np.bincount(group, minlength=groups)
        found = quotient(sums.sum(axis=0), len(group))
        return cls(found, quotient(drawn @ sums, (drawn @ size)[:, None]) - found)

    @classmethod
    def mean(cls, parts: "list[Gaps]", weights: Array) -> "Gaps":
        """Return the gaps of the weighted mean of several calibration errors, of heads or of classes."""
        share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        scaled = [(w * part.found, w * part.noise) for w, part in zip(share, parts, strict=True)]
        return cls(np.concatenate([each for each, _ in scaled]), np.concatenate([each for _, each in scaled], axis=1))


def classwise_gaps(probabilities: Array, target: Integers, bins: int, group: Integers, drawn: Integers) -> Gaps:
    """Compute the gaps of `classwise_error`."""
    parts = [
        Gaps.of(column, target == k, equal_width(column, bins), group, drawn)
        for k, column in enumerate(probabilities.T)
    ]
    return Gaps.mean(parts, np.ones(len(parts)))


class ErrorInterval(NamedTuple):
    """The error without the noise of its bins (the median-unbiased one), and the ends of its interval."""

    debiased: float
    low: float
    high: float


def error_interval(gaps: Gaps, groups: int, level: float = LEVEL) -> ErrorInterval:
    """Compute the interval of a calibration error whose rows are of so many groups, see the module's docstring.

    NaN with fewer than two groups, or where more than `MAX_UNDEFINED` of the resamples are undefined.
    """
    noise = gaps.noise[np.isfinite(gaps.noise).all(axis=1)]
    too_few = not len(noise) or 1 - len(noise) / len(gaps.noise) > MAX_UNDEFINED
    if groups < 2 or too_few or not np.isfinite(gaps.found).all():
        return ErrorInterval(np.nan, np.nan, np.nan)
    seen, below = float(np.abs(gaps.found).sum()), expanded(groups, level)

    def error(share: float) -> float:
        """The error of true gaps under which the one that was seen is at this share of the resamples."""

        def reached(factor: float) -> bool:
            return bool(np.quantile(np.abs(factor * gaps.found + noise).sum(axis=1), share) >= seen)

        if reached(0.0) or not seen:
            return 0.0
        low, high = 0.0, 1.0
        while not reached(high):
            low, high = high, 2 * high
        while high - low > 1e-3 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high * seen

    # An error far below what noise alone gives rejects even 0; the one that was seen is always inside.
    return ErrorInterval(min(1.0, error(0.5)), min(seen, error(1 - below)), min(1.0, max(error(below), seen)))


@dataclass(frozen=True)
class Bins:
    """A reliability diagram of B bins: mean confidence, share of right rows, rows, and the ends of Wilson's 95%
    interval of the accuracy, which takes rows as independent."""

    confidence: Array
    accuracy: Array
    rows: Integers
    low: Array
    high: Array


def reliability(confidence: Array, right: Truths, bins: int) -> Bins:
    """Compute bins of equal mass for the diagram."""
    member = equal_mass(confidence, bins)
    rows = np.bincount(member)
    hits = np.bincount(member, weights=right)
    ends = np.array([wilson(hit, n) for hit, n in zip(hits, rows, strict=True)]).reshape(-1, 2)
    return Bins(np.bincount(member, weights=confidence) / rows, hits / rows, rows, ends[:, 0], ends[:, 1])
