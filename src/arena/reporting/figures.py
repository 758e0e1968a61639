"""The kinds of pictures: bars, dots with intervals, lines over bins, histograms.

One look for all: the colours are Okabe and Ito's, which people with any colour vision tell apart, and series differ in
their marks too. matplotlib draws to files without a display; it is imported inside the functions because it is slow.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

BLUE, ORANGE, GREY, GREEN, INK = "#0072B2", "#D55E00", "#777777", "#009E73", "#222222"
COLOURS = (BLUE, ORANGE, GREY, GREEN)
MARKS = ("o", "s", "D", "^")
STYLE = Path(__file__).parent / "templates" / "figures.mplstyle"
WIDTH, DPI = 6.6, 160
"""Inches and dots an inch: at the page's full width the letters are as large as the text around the picture."""

File = Path | IO[bytes]


@dataclass(frozen=True)
class Series:
    """Values with intervals, one for each label; NaN where there is none."""

    name: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    totals: Sequence[int] = ()
    points: Sequence[Sequence[float]] = ()
    """The values behind each mean."""


@contextmanager
def drawing(
    path: File,
    height: float,
    columns: int = 1,
    heights: Sequence[float] = (1,),
    shared: bool = True,
    width: float = WIDTH,
) -> Iterator[list[Any]]:
    """Axes to draw on, side by side, in as many rows as there are relative heights; the picture is saved when the block
    ends. `shared`: those of a row have one vertical scale, those of a column one horizontal."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        below: Any = {"height_ratios": heights, "sharex": "col" if shared and len(heights) > 1 else False}
        beside = "row" if shared and columns > 1 else False
        axes = figure.subplots(len(heights), columns, sharey=beside, squeeze=False, **below)
        yield list(axes.flat)
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


@cache
def _font() -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family="DejaVu Sans")))


def drawable(text: str, width: int = 32) -> str:
    """The text as the font can draw it: unknown and control characters become "?", the middle of long text "..."."""
    shown = "".join(c if c.isprintable() and _font().get_char_index(ord(c)) else "?" for c in " ".join(text.split()))
    if len(shown) <= width:
        return shown
    left = width // 2
    return f"{shown[:left]}\u2026{shown[len(shown) - (width - 1 - left) :]}"


def bars(path: File, labels: Sequence[str], counts: Sequence[float], unit: str, form: str = "{:,}") -> None:
    """Horizontal bars with their counts, the first on top; `form` writes a count."""
    with drawing(path, 0.7 + 0.23 * len(labels)) as (axes,):
        places = np.arange(len(labels))
        axes.barh(places, counts, color=BLUE, height=0.7)
        for place, count in zip(places, counts, strict=True):
            axes.annotate(
                form.format(count), (count, place), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks(places, [drawable(label) for label in labels])
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter(form.replace("{", "{x").replace(":,}", ":,.0f}"))
        axes.xaxis.get_major_locator().set_params(integer="%" not in form)


def dots(
    path: File,
    labels: Sequence[str],
    panels: Sequence[tuple[str, Sequence[Series]]],
    reference: Sequence[float | None] = (0.5,),
    percent: bool = True,
) -> None:
    """Rates, or values of another kind, as dots with their intervals, a line for each label, panels side by side.

    Args:
        path: the file.
        labels: of the lines, the first on top.
        panels: what each horizontal axis says, and its series.
        reference: for each panel, where a dashed line marks what chance would give; None for no line.
        percent: whether the values are rates.
    """
    most = max(len(series) for _, series in panels)
    height = 0.9 + (0.24 + 0.13 * (most - 1)) * len(labels) + (0.3 if most > 1 else 0)
    with drawing(path, max(height, 1.5), len(panels)) as all_axes:
        for axes, (title, series), line in zip(all_axes, panels, reference, strict=False):
            _dot_panel(axes, series, len(labels))
            axes.set_xlabel(title)
            if percent:
                percent_axis(axes.xaxis)
            if line is not None:
                axes.axvline(line, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.7)
        first = all_axes[0]
        first.set_yticks(np.arange(len(labels)), [drawable(label, 34 if len(panels) == 1 else 26) for label in labels])
        first.set_ylim(len(labels) - 0.4, -0.6)
        if most > 1:
            first.figure.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=most)


def _dot_panel(axes: Any, series: Sequence[Series], lines: int) -> None:
    places = np.arange(lines)
    for number, one in enumerate(series):
        values = np.asarray(one.values, dtype=float)
        ends = whiskers(values, one.low, one.high)
        shift = 0.0 if len(series) == 1 else 0.4 * (number / (len(series) - 1) - 0.5)
        for place, points in zip(places, one.points, strict=False):
            axes.plot(points, [place] * len(points), "o", color=GREY, markersize=3.5, alpha=0.6)
        axes.errorbar(
            values, places + shift, xerr=ends, fmt=MARKS[number], color=COLOURS[number], label=one.name,
            markersize=4.5, elinewidth=1.4, linestyle="none",
        )  # fmt: skip
    if len(series) == 1 and series[0].totals:
        for place, total in zip(places, series[0].totals, strict=True):
            axes.text(
                1.01, place, f"{total:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color=GREY
            )
        axes.text(1.01, -0.75, "rows", transform=axes.get_yaxis_transform(), fontsize=7.5, color=GREY)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def lines(path: File, labels: Sequence[str], series: Sequence[Series], x: str, y: str, half: bool = False) -> None:
    """Shares over ordered bins, joined by thin lines; the rows of each bin stand under its label."""
    with drawing(path, 3.4) as (axes,):
        places = np.arange(len(labels))
        for number, one in enumerate(series):
            values = np.asarray(one.values, dtype=float)
            shift = 0.08 * (number - (len(series) - 1) / 2)
            axes.errorbar(
                places + shift, values, yerr=whiskers(values, one.low, one.high), fmt=MARKS[number] + "-",
                color=COLOURS[number], label=one.name, markersize=4.5, linewidth=0.9, elinewidth=1.4,
            )  # fmt: skip
        totals = next((one.totals for one in series if one.totals), ())
        long = max(map(len, labels)) > 84 / len(labels)
        ticks = [re.sub(" (to|and) ", r"\n\1 ", label) if long else label for label in labels]
        if totals:
            deepest = max(tick.count("\n") for tick in ticks)
            pad = ["\n" * (deepest - tick.count("\n") + 1) for tick in ticks]
            ticks = [f"{tick}{space}({n:,})" for tick, space, n in zip(ticks, pad, totals, strict=True)]
        axes.set_xticks(places, ticks, fontsize=8 if len(labels) < 9 else 7)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(axis="y")
        if half:
            axes.axhline(0.5, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.7)
        else:
            axes.set_ylim(bottom=0)
        percent_axis(axes.yaxis)
        if len(series) > 1:
            axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(series))


def histograms(path: File, values: dict[str, np.ndarray], x: str, limits: Sequence[int] = ()) -> None:
    """Outlines of several distributions over a logarithmic axis, with vertical lines at the limits."""
    largest = max([1, *limits, *(int(one.max()) for one in values.values() if len(one))])
    edges = np.geomspace(1, largest + 1, 60)
    with drawing(path, 3.1) as (axes,):
        for number, (name, one) in enumerate(values.items()):
            counts, _ = np.histogram(np.maximum(one, 1), edges)
            style: Any = ("-", "--", "-.", ":")[number % 4]
            axes.stairs(counts, edges, color=COLOURS[number % 4], label=name, ls=style, lw=1.5)
        axes.set_xscale("log")
        axes.set_xlim(1, largest + 1)
        axes.set_ylim(bottom=0)
        for limit in limits:
            axes.axvline(limit, color=GREY, linewidth=0.8, zorder=0)
            axes.annotate(
                f"{limit:,}", (limit, 1), (0, 2), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                rotation=90, ha="center", va="bottom", fontsize=7, color=GREY,
            )  # fmt: skip
        axes.set_xlabel(x)
        axes.set_ylabel("rows")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        count_axis(axes.yaxis)
        axes.grid(axis="y")
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(values))


def whiskers(values: np.ndarray, low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """Lengths of the intervals to both sides, `[2, N]`; never below 0, which rounding could give."""
    both = np.stack([values - np.asarray(low, dtype=float), np.asarray(high, dtype=float) - values])
    return np.where(np.isnan(both), np.nan, np.maximum(both, 0))


def count_axis(axis: Any) -> None:
    """Whole numbers as ticks of an axis that counts."""
    axis.get_major_locator().set_params(integer=True)
    axis.set_major_formatter("{x:,.0f}")


def percent_axis(axis: Any) -> None:
    """Ticks of an axis as percentages, with a decimal only where they need one."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1))
