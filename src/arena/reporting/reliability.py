"""The reliability diagram: accuracy over confidence."""

from pathlib import Path
from typing import Any

import numpy as np

from arena.reporting.figures import BLUE, INK, ORANGE, drawable, drawing, percent_axis, whiskers
from arena.stats.calibration import Bins, reliability, top

HISTOGRAM = 20
"""Bars of the rows below a diagram."""


def diagram(path: Path, title: str, before: np.ndarray, after: np.ndarray, target: np.ndarray, bins: int) -> None:
    """Draw accuracy over confidence before and after a calibration, in bins of equal mass with Wilson's 95% intervals,
    and below it the rows by confidence. A calibrated model's dots lie on the dashed line.

    Args:
        path: the file.
        title: the head; may be empty.
        before, after: probabilities of the model, and calibrated, `[N, K]`.
        target: class indices, `[N]`.
        bins: of equal mass.
    """
    with drawing(path, 4.4, 2, (3, 1)) as axes:
        lowest = min(before.max(axis=1).min(), after.max(axis=1).min(), 1 / before.shape[1])
        sides = (("before", before, ORANGE, "o"), ("after", after, BLUE, "s"))
        for above, below, (name, probabilities, colour, mark) in zip(axes[:2], axes[2:], sides, strict=True):
            confidence, right = top(probabilities, target)
            above.set_title(f"{drawable(title)}, {name}" if title else name)
            _dots(above, reliability(confidence, right, bins), colour, mark)
            below.hist(confidence, HISTOGRAM, range=(lowest, 1), color=colour, edgecolor="white", linewidth=0.4)
            below.set_xlim(lowest - 0.02, 1.02)
            below.set_xlabel("probability of the likeliest class")
            below.yaxis.get_major_locator().set_params(integer=True, nbins=3)
            percent_axis(below.xaxis)
        axes[0].set_ylabel("accuracy")
        axes[2].set_ylabel("rows")


def _dots(axes: Any, found: Bins, colour: str, mark: str) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.7)
    ends = whiskers(found.accuracy, found.low.tolist(), found.high.tolist())
    style: Any = {"color": colour, "markersize": 4, "elinewidth": 1.2, "linestyle": "none"}
    axes.errorbar(found.confidence, found.accuracy, yerr=ends, fmt=mark, **style)
    axes.grid(axis="both")
    axes.set_ylim(-0.02, 1.02)
    percent_axis(axes.yaxis)
