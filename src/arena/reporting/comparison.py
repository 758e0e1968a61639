"""The picture of a comparison: every difference as a dot with its interval, beside the line of no difference."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arena.evaluation.comparison.verdict import FOR_WEIGHTS
from arena.reporting.figures import BLUE, GREEN, GREY, INK, ORANGE, drawable, drawing, percent_axis, whiskers

SHADES = ("#f4f4f4", "#e3eef6", "#c4dcec", "#9cc6e1")
"""Of the bands, the weakest first."""
UNIT = "other - base"


def forest(path: Path, found: dict[str, Any]) -> None:
    """One line for each measure. Of runs that write replies quality is above, with its margin, and the relative gains
    of diversity are below, on shaded bands; the dot of the primary measure is filled.

    Args:
        path: the file.
        found: from `arena.evaluation.comparison.two_arms.compare_arms`.
    """
    measures = found["measures"]
    if found["kind"] != "replies":
        with drawing(path, 1.1 + 0.32 * len(measures)) as (axes,):
            _dots(axes, measures, "difference", {True: "better", False: "worse"})
            axes.set_xlabel(f"{UNIT} (nats, or shares)")
        return
    quality = {name: entry for name, entry in measures.items() if "margin" in entry}
    gains = {name: entry for name, entry in measures.items() if "gain" in entry}
    heights = (0.55 + 0.32 * len(quality), 0.55 + 0.32 * len(gains))
    with drawing(path, 0.9 + sum(heights), 1, heights, shared=False) as (above, below):
        _dots(above, quality, "difference", {True: "better", False: "worse"})
        for place, entry in enumerate(quality.values()):
            margin = -entry["margin"] if entry["rises"] else entry["margin"]
            above.plot([margin, margin], [place - 0.4, place + 0.4], color=ORANGE, linewidth=1.2, label="margin")
        above.set_xlabel(f"quality: {UNIT}; orange: margin")
        above.margins(x=0.08)
        _dots(below, gains, "gain", {True: "more diverse", False: "less diverse"})
        _bands(below, found["bands"])
        below.set_xlabel("diversity: relative gain of other over base")
        percent_axis(below.xaxis)


def _dots(axes: Any, measures: dict[str, dict[str, Any]], part: str, words: dict[bool, str]) -> None:
    colours = {words[True]: GREEN, words[False]: ORANGE, "not worse": BLUE}
    labels = []
    for place, (name, entry) in enumerate(measures.items()):
        less = part == "difference" and not entry["rises"]
        labels.append(drawable(name) + (" (less is better)" if less else ""))
        value, low, high = (_number(entry[part][each]) for each in ("value", "low", "high"))
        if math.isnan(value):
            axes.text(0, place, "  undefined", va="center", fontsize=8, color=GREY)
            continue
        ends = whiskers(np.array([value]), [low], [high])
        colour = colours.get(entry["word"].removesuffix(FOR_WEIGHTS), GREY)
        face = colour if entry["role"] == "primary" or "margin" in entry else "white"
        axes.errorbar(
            [value], [place], xerr=ends, fmt="o", color=colour, markerfacecolor=face, markersize=5, elinewidth=1.4
        )
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.7)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _bands(axes: Any, bands: dict[str, Sequence[float]]) -> None:
    """Shade the bands of gains as far as the axis goes, with their names on top."""
    left, right = axes.get_xlim()
    edges = [_number(low) for low, _ in bands.values()]
    right = max(right, *(1.15 * edge for edge in edges[:2]), 0.01)
    axes.set_xlim(min(left, -0.02 * right), right)
    for place, (name, low) in enumerate(zip(bands, edges, strict=True)):
        high = min(right, edges[place + 1] if place + 1 < len(edges) else math.inf)
        if high <= low:
            continue
        axes.axvspan(low, high, color=SHADES[min(place, len(SHADES) - 1)], zorder=0.1, linewidth=0)
        if (high - low) / (right - left) > 0.07:
            axes.annotate(
                drawable(name, 14), ((low + high) / 2, 1), (0, 2), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha="center", fontsize=7.5, color=GREY,
            )  # fmt: skip


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
