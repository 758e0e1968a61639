"""Names for gains of diversity. Nothing heavy is imported here: the command line is checked with it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from arena.core.errors import UsageError

BANDS = {"none": 0.0, "weak": 0.05, "moderate": 0.15, "strong": 0.30}
"""Names for relative gains of diversity by their lower edge; each band ends where the next begins, the last never.

The decision table of the study left 2-5%, 10-15% and 25-30% without a name. A gain in such a hole has not reached the
next name, so it keeps the lower one.
"""


class Band(NamedTuple):
    """A name for the gains from `low` up to, but without, `high`."""

    name: str
    low: float
    high: float


def bands_of(given: Any) -> list[Band]:
    """Read bands such as `{none: 0, weak: 0.05}`; a `UsageError` where the edges are no rising numbers from 0 on."""
    example = "bands={none: 0, weak: 0.05, moderate: 0.15, strong: 0.3}"
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"bands={given}: names with their lower edges are needed, such as {example}")
    for name, low in given.items():
        if not isinstance(low, int | float) or isinstance(low, bool) or not math.isfinite(low):
            raise UsageError(f"bands.{name}={low}: a number is needed, such as {example}")
    names, edges = [str(name) for name in given], [float(low) for low in given.values()]
    if edges[0] != 0:
        raise UsageError(f"bands.{names[0]}: the first band must begin at 0, gains below {edges[0]:g} have none")
    found = [Band(*each) for each in zip(names, edges, [*edges[1:], math.inf], strict=True)]
    for band in found:
        if band.high <= band.low:
            raise UsageError(f"bands.{band.name}: it begins at {band.low:g}, not below the next; the edges must rise")
    return found


def band_of(gain: float, bands: list[Band]) -> str | None:
    """The name of a gain; None below 0."""
    return next((band.name for band in bands if band.low <= gain < band.high), None)
