"""Rates with their 95% intervals, and how values are put into bins."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from arena.stats.intervals import quotient, wilson


class Rate(NamedTuple):
    """A rate `count / total` with the ends of its 95 % interval (Wilson's); NaN where `total` is 0."""

    count: int
    total: int
    value: float
    low: float
    high: float


def rate(count: float, total: float) -> Rate:
    """Compute a rate with its interval (`arena.stats.intervals.wilson`)."""
    return Rate(int(count), int(total), float(quotient(count, total)), *wilson(count, total))


def rate_of(event: np.ndarray, among: np.ndarray) -> Rate:
    """Compute the rate of `event` `[R]` bool among the rows where `among` `[R]` bool."""
    return rate(int((event & among).sum()), int(among.sum()))


def equal_bins(values: np.ndarray, bins: int) -> tuple[np.ndarray, list[str]]:
    """Divide rows into bins that hold about the same number of rows each.

    Args:
        values: `[R]` integers.
        bins: number of bins at most; equal values stay together, so there can be fewer.

    Returns:
        The bin of each row `[R]`, and the smallest and the largest value of each bin as text.
    """
    if not len(values):
        return np.zeros(0, np.int64), []
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    found, index = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    ends = [(int(part.min()), int(part.max())) for part in (values[index == number] for number in range(len(found)))]
    return index, [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends]


def signed_bins(values: np.ndarray, bins: int = 4) -> tuple[np.ndarray, list[str]]:
    """Divide rows by a signed difference into bins that are the same on both sides of 0, which is a bin of its own.

    The edges are round numbers near the quantiles of the absolute values. Bins without rows are left out.

    Args:
        values: `[R]` integers.
        bins: number of bins at most on each side.

    Returns:
        The bin of each row `[R]`, from the most negative on, and the range of each bin as text.
    """
    size = np.abs(values)
    edges = np.zeros(0, np.int64)
    if (size > 0).any():
        quantiles = np.quantile(size[size > 0], np.arange(1, bins) / bins)
        edges = np.unique([round_number(quantile) for quantile in quantiles])
    signed = np.sign(values) * (1 + np.searchsorted(edges, size, side="left"))
    found, index = np.unique(signed, return_inverse=True)
    return index, [_signed_label(int(number), edges) for number in found]


def _signed_label(number: int, edges: np.ndarray) -> str:
    if number == 0:
        return "0"
    sign = "\u2212" if number < 0 else "+"
    place = abs(number) - 1
    low = 1 if place == 0 else int(edges[place - 1]) + 1
    if place == len(edges):
        return f"{sign}{low:,} and more"
    return f"{sign}{low:,} to {sign}{int(edges[place]):,}"


def round_number(value: float) -> int:
    """The nearest number of two digits and zeros, 1 at least: 1,234 becomes 1,200."""
    if value < 10:
        return max(1, round(value))
    unit = 10 ** (math.floor(math.log10(value)) - 1)
    return round(value / unit) * unit


def codes(values: Sequence[str | None]) -> tuple[np.ndarray, list[str]]:
    """Number names: `[R]` int64, 0 for the most frequent name (ties in alphabetical order), -1 for none."""
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))
    number = {name: index for index, name in enumerate(names)}
    return np.array([-1 if value is None else number[value] for value in values], np.int64), names
