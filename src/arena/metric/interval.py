"""Bootstrap intervals of every metric of a split."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from arena.core.types import UNLABELLED
from arena.metric.collection import Metrics
from arena.metric.heads import WEIGHTED, HeadMetrics
from arena.stats.calibration import ErrorInterval, Gaps, error_interval
from arena.stats.intervals import LEVEL, draws, percentiles

AT_ONCE = 2_000_000
"""Weights of rows (16 MB) that are resampled in one go."""


def bootstrap(
    metrics: Metrics | HeadMetrics,
    probabilities: Tensor,
    target: Tensor,
    groups: ArrayLike,
    resamples: int,
    seed: int,
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Compute the bootstrap interval of every metric from resampled groups, see `arena.stats.intervals.percentiles`.

    Calibration errors have their own, see `calibration_intervals`; NaN here.

    Args:
        metrics: what to compute; its own rows stay.
        probabilities: `[N, K]`; `[N, C]` of several heads.
        target: class indices `[N]` or probabilities `[N, K]`; class indices `[N, T]` of several heads.
        groups: what was drawn together (prompt), one value for each row, `[N]`.
        resamples: number of resamples; 200 give the ends of a 95 % interval to about a tenth of its width.
        seed: seed of the draws; the same seed draws the same groups here and in `paired_difference`.
        level: coverage.
    """
    member, drawn = draws(groups, resamples, seed)
    columns = probabilities.cpu().numpy(), target.cpu().numpy()
    step = max(1, AT_ONCE // max(1, len(member)))
    parts = [metrics.resampled(*columns, each[:, member]) for each in np.split(drawn, range(step, len(drawn), step))]
    groups_of = _groups_of(metrics, columns[1], member)
    found = {name: np.concatenate([part[name] for part in parts]) for name in metrics.names}
    ends = {name: percentiles(values, groups_of(name), level) for name, values in found.items()}
    return ends | dict.fromkeys(metrics.without_interval, (math.nan, math.nan))


def _groups_of(metrics: Metrics | HeadMetrics, target: NDArray, member: NDArray[np.int64]) -> Callable[[str], int]:
    """How many groups have rows of a value: all, or those with a label of the head; of a mean the fewest of a head, by
    labels those with any."""
    if isinstance(metrics, Metrics):
        whole = len(np.unique(member))
        return lambda _: whole
    found = {head: len(np.unique(member[target[:, t] != UNLABELLED])) for t, head in enumerate(metrics.heads.names)}
    fewest = min((each for each in found.values() if each), default=0)
    found[WEIGHTED] = len(np.unique(member[(target != UNLABELLED).any(axis=1)]))
    return lambda name: found.get(name.partition("/")[0], fewest)


def calibration_intervals(
    metrics: Metrics | HeadMetrics,
    probabilities: NDArray[np.float32],
    target: NDArray[np.int64],
    groups: ArrayLike,
    resamples: int,
    seed: int,
    level: float = LEVEL,
) -> dict[str, ErrorInterval]:
    """Compute the interval of every calibration error, of heads and of their means, see `arena.stats.calibration`.

    Args:
        metrics: which errors there are.
        probabilities: `[N, K]`; `[N, C]` of several heads.
        target: class indices `[N]`; class indices `[N, T]` of several heads, `UNLABELLED` where there is none.
        groups, resamples, seed, level: as in `bootstrap`.
    """
    member, drawn = draws(groups, resamples, seed)
    heads = isinstance(metrics, HeadMetrics)
    parts = metrics.of_heads() if isinstance(metrics, HeadMetrics) else {"": metrics}
    columns = metrics.heads.split(probabilities) if isinstance(metrics, HeadMetrics) else {"": probabilities}
    gaps: dict[str, dict[str, Gaps]] = {}
    rows = {}
    groups_of = _groups_of(metrics, target, member)
    for t, (head, part) in enumerate(parts.items()):
        truth = target[:, t] if heads else target
        known = truth != UNLABELLED
        rows[head] = int(known.sum())
        if rows[head]:
            gaps[head] = part.calibration_gaps(columns[head][known], truth[known], member[known], drawn)
    found = {f"{head}/{name}" if head else name: each for head, own in gaps.items() for name, each in own.items()}
    if heads and gaps:
        for name in next(iter(gaps.values())):
            own = [each[name] for each in gaps.values()]
            found[name] = Gaps.mean(own, np.ones(len(own)))
            found[f"{WEIGHTED}/{name}"] = Gaps.mean(own, np.array([rows[head] for head in gaps]))
    return {name: error_interval(each, groups_of(name), level) for name, each in found.items()}
