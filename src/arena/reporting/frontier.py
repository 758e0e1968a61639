"""The picture of a sweep: one measure over another, a dot for each value that was swept."""

from typing import Any

import numpy as np

from arena.reporting.figures import BLUE, GREY, File, drawable, drawing, whiskers

WORDS = {True: "more is better", False: "less is better"}


def picture(file: File, found: dict[str, Any]) -> None:
    """The mean of each value with its intervals in both directions, its seeds as small dots, and the Pareto front as a
    line; values that are beaten in both measures are grey.

    Args:
        file: the picture.
        found: from `arena.evaluation.comparison.frontier.frontier`, of which `by`, `axes` and `points` are used; of the
            latter ends of intervals may be None, seeds may be missing, and an empty value is not written.
    """
    with drawing(file, 4.2) as (axes,):
        for front, colour, mark in ((False, GREY, "s"), (True, BLUE, "o")):
            points = [point for point in found["points"] if point["front"] == front]
            value, low, high = (
                np.array([[p[axis].get(part) for p in points] for axis in ("x", "y")], float)
                for part in ("value", "low", "high")
            )
            ends = [whiskers(*each) for each in zip(value, low, high, strict=True)]
            axes.errorbar(*value, yerr=ends[1], xerr=ends[0], fmt=mark, color=colour, markersize=5, elinewidth=0.9)
            for point, place in zip(points, value.T, strict=True):
                seeds = point["x"].get("seeds", ()), point["y"].get("seeds", ())
                if len(seeds[0]) > 1:
                    axes.plot(*seeds, linestyle="none", marker=".", markersize=3.5, color=colour, alpha=0.6)
                axes.annotate(
                    drawable(str(point["value"]), 18), place, (5, 5), textcoords="offset points", fontsize=8,
                    color=colour,
                )  # fmt: skip
            if front:
                axes.plot(*value[:, np.argsort(value[0], kind="stable")], color=BLUE, linewidth=0.8, zorder=0.9)
        for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            each = found["axes"][name]
            axis.set_label_text(f"{drawable(each['name'], 40)} ({WORDS[each['rises']]})")
        axes.set_title(f"{drawable(found['by'], 40)}; blue: Pareto front")
        axes.grid(axis="both")
        axes.margins(0.08)
