"""From an interval to words: which words a difference may be given, and when a gain of diversity counts."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from arena.core.errors import UsageError

if TYPE_CHECKING:
    from arena.stats.intervals import Interval

BANDS = {"none": 0.0, "weak": 0.05, "moderate": 0.15, "strong": 0.30}
"""Names for relative gains of diversity by their lower edge; each band ends where the next begins, the last never.

The decision table of the study left 2-5%, 10-15% and 25-30% without a name. A gain in such a hole has not reached the
next name, so it keeps the lower one.
"""
LEVEL = 0.05
"""Of significance, and of the intervals: 1 - 0.05."""
FOR_WEIGHTS = " for these weights"
"""After a word that was found with one seed in each arm: another seed may change it."""


class Band(NamedTuple):
    """A name for the gains from `low` up to, but without, `high`."""

    name: str
    low: float
    high: float


def bands_of(given: Any) -> list[Band]:
    """Bands from `{none: 0, weak: 0.05, ...}` (lower edges) or `{none: [0, 0.05], weak: [0.05, 0.15], ...}`.

    Raises:
        UsageError: no mapping to numbers, edges that do not rise, or gains without a name: a hole between two bands or
            below the first.
    """
    example = "bands={none: 0, weak: 0.05, moderate: 0.15, strong: 0.3}"
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"bands={given}: names with their lower edges are needed, such as {example}")
    edges: list[tuple[str, float, float | None]] = []
    for name, each in given.items():
        pair = list(each) if isinstance(each, list | tuple) else [each, None]
        numbers = [value for value in pair if value is not None]
        if len(pair) != 2 or pair[0] is None or not all(_is_number(value) for value in numbers):
            raise UsageError(f"bands.{name}={each}: a number is needed, or [from, to], such as {example}")
        edges.append((str(name), float(pair[0]), None if pair[1] is None else float(pair[1])))
    if edges[0][1] != 0:
        raise UsageError(f"bands.{edges[0][0]}: the first band must begin at 0, gains below {edges[0][1]:g} have none")
    found = []
    for place, (name, low, high) in enumerate(edges):
        following = edges[place + 1] if place + 1 < len(edges) else None
        end = (following[1] if following else math.inf) if high is None else high
        if end <= low:
            after = f"{following[0]} at {following[1]:g}" if following and high is None else f"its end {end:g}"
            raise UsageError(f"bands.{name}: it begins at {low:g}, not below {after}; the edges must rise")
        if following and end < following[1]:
            raise UsageError(
                f"bands: gains from {end:g} to {following[1]:g} lie in no band, between {name} and {following[0]}; let "
                f"{name} end where {following[0]} begins"
            )
        if following and end > following[1]:
            raise UsageError(f"bands: {name} ends at {end:g}, but {following[0]} begins at {following[1]:g} already")
        if not following and math.isfinite(end):
            raise UsageError(f"bands: gains above {end:g} lie in no band; give {name} no end")
        found.append(Band(name, low, end))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def band_of(gain: float, bands: list[Band]) -> str | None:
    """The name of a gain; None below 0."""
    return next((band.name for band in bands if band.low <= gain < band.high), None)


def side(interval: "Interval", rises: bool, worse: str = "worse") -> str:
    """`better`, `worse` or `not shown` by where an interval of other - base lies, `undefined` where there is none."""
    if math.isnan(interval.low):
        return "undefined"
    if interval.low <= 0 <= interval.high:
        return "not shown"
    return "better" if (interval.low > 0) == rises else worse


def oriented(relative: "Interval", rises: bool) -> "Interval":
    """A relative change as a gain: of a measure that falls with diversity, less is more."""
    value, low, high = relative
    return relative if rises else type(relative)(-value, -high, -low)


def not_worse(difference: "Interval", rises: bool, margin: float) -> bool:
    """Whether the worse end of the interval of other - base is nearer to 0 than the margin (non-inferiority)."""
    loss = -difference.low if rises else difference.high
    return bool(loss < margin)
