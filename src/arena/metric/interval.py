"""Bootstrap intervals of every metric of a split."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from arena.core.shapes import Float
from arena.metric.collection import Metrics
from arena.stats.calibration import ErrorInterval, error_interval
from arena.stats.intervals import LEVEL, draws, percentiles

AT_ONCE = 2_000_000
"""Weights of rows (16 MB) that are resampled in one go."""


def bootstrap(
    metrics: Metrics,
    probabilities: Float[Tensor, "N C"],
    target: Tensor,
    groups: ArrayLike,
    resamples: int,
    seed: int,
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Compute the bootstrap interval of every metric from resampled groups, see `arena.stats.intervals.percentiles`.

    Calibration errors have their own, see `calibration_intervals`; NaN here. `groups` (prompts) `[N]` are drawn whole;
    the same seed draws the same ones here and in `paired_difference`. 200 resamples give the ends of a 95% interval to
    about 10% of its width.
    """
    member, drawn = draws(groups, resamples, seed)
    columns = probabilities.cpu().numpy(), target.cpu().numpy()
    step = max(1, AT_ONCE // max(1, len(member)))
    parts = [metrics.resampled(*columns, each[:, member]) for each in np.split(drawn, range(step, len(drawn), step))]
    number = metrics.groups(columns[1], member)
    found = {name: np.concatenate([part[name] for part in parts]) for name in metrics.names}
    ends = {name: percentiles(values, number[name], level) for name, values in found.items()}
    return ends | dict.fromkeys(metrics.without_interval, (math.nan, math.nan))


def calibration_intervals(
    metrics: Metrics,
    probabilities: NDArray[np.float32],
    target: NDArray[np.int64],
    groups: ArrayLike,
    resamples: int,
    seed: int,
    level: float = LEVEL,
) -> dict[str, ErrorInterval]:
    """Compute the interval of every calibration error, see `arena.stats.calibration`; arguments as in `bootstrap`."""
    member, drawn = draws(groups, resamples, seed)
    number = metrics.groups(target, member)
    gaps = metrics.calibration_gaps(probabilities, target, member, drawn)
    return {name: error_interval(each, number[name], level) for name, each in gaps.items()}
