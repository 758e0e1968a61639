"""The picture of a sweep: quality over diversity, a dot for each value that was swept."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from arena.reporting.figures import BLUE, GREY, drawable, drawing, whiskers

WORDS = {True: "more is better", False: "less is better"}


def picture(path: Path, found: dict[str, Any]) -> None:
    """The mean of each value with its intervals in both directions, its seeds as small dots, and the Pareto front as a
    line; values that are beaten in both measures are grey.

    Args:
        path: the file.
        found: from `arena.evaluation.comparison.frontier.frontier`.
    """
    points = found["points"]
    with drawing(path, 4.2) as (axes,):
        for point in points:
            x, y = (float(point[axis]["value"]) for axis in ("x", "y"))
            colour = BLUE if point["front"] else GREY
            if len(point["x"]["seeds"]) > 1:
                seeds = (point["x"]["seeds"], point["y"]["seeds"])
                axes.plot(*seeds, linestyle="none", marker=".", markersize=3.5, color=colour, alpha=0.6)
            ends = [
                whiskers(np.array([v]), [_end(point[a], "low")], [_end(point[a], "high")])
                for v, a in ((x, "x"), (y, "y"))
            ]
            axes.errorbar(
                [x], [y], xerr=ends[0], yerr=ends[1], fmt="o" if point["front"] else "s", color=colour, markersize=5,
                elinewidth=0.9,
            )  # fmt: skip
            axes.annotate(
                drawable(str(point["value"]), 18), (x, y), (5, 5), textcoords="offset points", fontsize=8, color=colour
            )
        front = sorted((p["x"]["value"], p["y"]["value"]) for p in points if p["front"])
        axes.plot(*zip(*front, strict=True), color=BLUE, linewidth=0.8, zorder=0.9)
        for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            each = found["axes"][name]
            axis.set_label_text(f"{each['name']} ({WORDS[each['rises']]})")
        axes.set_title(f"{drawable(found['by'], 40)}; blue: Pareto front")
        axes.grid(axis="both")
        axes.margins(0.08)


def _end(entry: dict[str, Any], name: str) -> float:
    return math.nan if entry[name] is None else float(entry[name])
