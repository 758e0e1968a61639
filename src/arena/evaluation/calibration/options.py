"""What the command line of `arena.calibrate` chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from arena.core.schema import Count, WholeNumber


@dataclass(frozen=True)
class Options:
    """See `arena.calibrate.USAGE`; `seed` is that of the run."""

    method: Literal["temperature", "vector", "bias", "auto"] = "temperature"
    decision: Literal["none", "bias", "thresholds"] = "none"
    heads: Sequence[str] | None = None
    bins: Count = 15
    resamples: WholeNumber = 200
    seed: WholeNumber = 0
