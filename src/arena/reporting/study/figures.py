"""The pictures of a sweep. Values of an objective are on a linear axis that may leave out a few very bad ones."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from arena.reporting.figures import BLUE, GREY, INK, ORANGE, drawable, drawing, whiskers
from arena.reporting.study.measures import Recipe, worst_shown
from arena.reporting.study.trials import Objective, Parameter, Sweep, Trial

MOST_AXES, MOST_LINES = 10, 300
COLUMNS = 3


def history(path: Path, sweep: Sweep, objective: int) -> None:
    """Values by trial, the best so far as a line, and the trials without a value along the lower edge."""
    one = sweep.objectives[objective]
    done = sweep.complete
    numbers = np.array([trial.number for trial in done])
    values = np.array([trial.values[objective] for trial in done])
    with drawing(path, 3.2) as (axes,):
        seen = np.clip(values, *clip(axes.yaxis, values, one))
        axes.plot(numbers, seen, "o", color=BLUE, markersize=small(len(done)), alpha=0.75, label="complete")
        best = (np.maximum if one.maximise else np.minimum).accumulate(values)
        best = np.clip(best, *axes.get_ylim())
        axes.step(numbers, best, where="post", color=INK, linewidth=1.2, label=f"{one.word} so far")
        for kinds, mark, colour, label in (
            (("pruned",), "|", GREY, "pruned"),
            (("preempted",), "+", GREY, "preempted"),
            (("diverged", "out_of_memory", "timeout", "failed"), "x", ORANGE, "failed"),
        ):
            places = [trial.number for trial in sweep.trials if trial.kind in kinds]
            if places:
                axes.plot(
                    places, [0.02] * len(places), mark, color=colour, markersize=5, label=label,
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
        axes.set_xlabel("trial")
        axes.set_ylabel(drawable(one.name))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)


def clip(axis: Any, values: np.ndarray, objective: Objective) -> tuple[float, float]:
    """Set the limits of an axis, and return what values are drawn between."""
    worst = worst_shown(values, objective.maximise)
    low, high = float(values.min()), float(values.max())
    if worst is not None:
        low, high = (worst, high) if objective.maximise else (low, worst)
    room = 0.09 * (high - low) or 0.05 * abs(high) or 0.1
    axis.axes.set(**{f"{axis.axis_name}lim": (low - room, high + room)})
    return (low - room / 2 if worst is not None else low), (high + room / 2 if worst is not None else high)


def small(number: int) -> float:
    """Size of a mark among so many."""
    return 4.5 if number < 100 else 3.2 if number < 400 else 2.2


def importance(path: Path, found: dict[str, float], title: str) -> None:
    """Shares as horizontal bars."""
    names = list(found)[:20]
    with drawing(path, 0.75 + 0.25 * len(names)) as (axes,):
        places = np.arange(len(names))
        axes.barh(places, [found[name] for name in names], color=BLUE, height=0.65)
        for place, name in zip(places, names, strict=True):
            axes.annotate(
                f"{100 * found[name]:.0f}%", (found[name], place), (3, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axes.set_yticks(places, [drawable(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.1)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(drawable(title, 60))
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)


def parallel(path: Path, sweep: Sweep, parameters: Sequence[Parameter]) -> None:
    """A line for each complete trial through its parameters to its values; dark is good in the first objective."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    trials = sweep.best_first()[::-1]  # the best on top of the others
    columns = [scaled_parameter(one, trials) for one in parameters]
    columns += [scaled_objective(one, place, trials) for place, one in enumerate(sweep.objectives)]
    heights = np.stack([heights for heights, _ in columns], axis=1)
    good = heights[:, len(parameters)]
    shade = 0.92 * (1 - good if sweep.objectives[0].maximise else good)
    names = [*(one.name for one in parameters), *(one.name for one in sweep.objectives)]
    with drawing(path, 3.6) as (axes,):
        places = np.arange(len(names))
        lines = [np.column_stack([places, row])[~np.isnan(row)] for row in heights]
        width = 1.3 if len(lines) < 60 else 0.8 if len(lines) < 300 else 0.5
        axes.add_collection(LineCollection(lines, colors=colormaps["viridis"](shade), linewidths=width, alpha=0.8))
        axes.plot(places[~np.isnan(heights[-1])], heights[-1][~np.isnan(heights[-1])], "o-", color=ORANGE, lw=2, ms=4)
        for place, (_, ticks) in enumerate(columns):
            axes.axvline(place, color="#999999", linewidth=0.8, zorder=0.5)
            for height, text in ticks:
                axes.annotate(
                    drawable(text, 14), (place, height), (3, 0), textcoords="offset points", va="center", fontsize=7,
                    color=INK, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}, zorder=5,
                )  # fmt: skip
        tilted = max(map(len, names)) * len(names) > 80
        axes.set_xticks(
            places, [drawable(name, 22) for name in names], rotation=25 if tilted else 0,
            ha="right" if tilted else "center", fontsize=8,
        )  # fmt: skip
        axes.set_xlim(-0.15, len(names) - 0.55)
        axes.set_ylim(-0.05, 1.05)
        axes.set_yticks([])
        axes.tick_params(length=0)
        for edge in axes.spines.values():
            edge.set_visible(False)


def scaled_parameter(one: Parameter, trials: Sequence[Trial]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights from 0 to 1 and the ticks of an axis."""
    places = np.array([one.place(trial.params.get(one.name)) for trial in trials])
    if not one.numeric:
        top = max(len(one.choices) - 1, 1)
        every = math.ceil(len(one.choices) / 8)
        return places / top, [(i / top, text) for i, text in enumerate(one.choices) if i % every == 0]
    places = np.log(places) if one.log else places
    low, high = float(np.nanmin(places)), float(np.nanmax(places))
    span = (high - low) or 1.0
    few = np.unique(places[~np.isnan(places)])
    back = list(few) if len(few) <= 6 else [low, (low + high) / 2, high]
    ticks = [((value - low) / span, f"{math.exp(value) if one.log else value:.4g}") for value in back]
    return (places - low) / span, ticks


def scaled_objective(one: Objective, place: int, trials: Sequence[Trial]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """The same for an objective, whose worst values may be left out."""
    values = np.array([trial.values[place] for trial in trials])
    worst = worst_shown(values, one.maximise)
    low, high = float(values.min()), float(values.max())
    if worst is not None:
        low, high = (worst, high) if one.maximise else (low, worst)
    span = (high - low) or 1.0
    ticks = [(share, f"{low + share * span:.4g}") for share in (0, 0.5, 1)]
    return np.clip((values - low) / span, 0, 1), ticks if high > low else ticks[:1]


def slices(path: Path, sweep: Sweep, parameters: Sequence[Parameter], objective: int) -> None:
    """Values over each parameter; later trials are darker, the best is orange."""
    one = sweep.objectives[objective]
    trials = sweep.complete
    values = np.array([trial.values[objective] for trial in trials])
    columns = min(COLUMNS, len(parameters))
    rows = math.ceil(len(parameters) / columns)
    with drawing(path, 0.5 + 2.1 * rows, columns, [1] * rows, shared=False) as all_axes:
        for axes, parameter in zip(all_axes, parameters, strict=False):
            places = np.array([parameter.place(trial.params.get(parameter.name)) for trial in trials])
            seen = np.clip(values, *clip(axes.yaxis, values, one))
            age = np.linspace(0.25, 1, len(trials))
            axes.scatter(places, seen, c=age, cmap="Blues", vmin=0, vmax=1, s=small(len(trials)) ** 2, linewidths=0)
            best = int(np.argmin([one.loss(value) for value in values]))
            axes.plot(places[best], seen[best], "o", color=ORANGE, markersize=5.5)
            axes.set_xlabel(drawable(parameter.name, 26), fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(axis="y")
            if parameter.log:
                log_axis(axes)
            if not parameter.numeric:
                tilted = max(map(len, parameter.choices)) * len(parameter.choices) > 24
                labels = [drawable(choice, 14) for choice in parameter.choices]
                axes.set_xticks(
                    range(len(labels)), labels, rotation=30 if tilted else 0, ha="right" if tilted else "center"
                )
                axes.set_xlim(-0.5, len(labels) - 0.5)
        for axes in all_axes[len(parameters) :]:
            axes.set_visible(False)
        for axes in all_axes[::columns]:
            axes.set_ylabel(drawable(one.name, 24), fontsize=8)


def log_axis(axes: Any) -> None:
    """A logarithmic horizontal axis with few and plain labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    wide = math.log10(high / low) >= 1.5
    axes.xaxis.set_major_locator(LogLocator(numticks=5) if wide else LogLocator(subs=(1, 2, 5), numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def curves(path: Path, sweep: Sweep, found: dict[int, Sequence[tuple[int, float]]], best: Sequence[int]) -> None:
    """The monitored value over the steps of each trial; the best ones in colour, pruned ones in orange.

    Args:
        path: the file.
        sweep: all trials.
        found: steps and values by trial number.
        best: numbers of the best trials, the best first.
    """
    from matplotlib.collections import LineCollection

    kinds = {trial.number: trial.kind for trial in sweep.trials}
    one = sweep.objectives[0]
    others = [number for number in found if number not in best]
    with drawing(path, 3.4) as (axes,):
        low, high = clip(axes.yaxis, np.array([value for points in found.values() for _, value in points]), one)
        for kind, colour, label in (("complete", "#bbbbbb", "other"), ("pruned", ORANGE, "pruned")):
            chosen = [n for n in others if (kinds[n] == "pruned") == (kind == "pruned")]
            if chosen:
                lines = [np.array(found[n]) for n in chosen]
                axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7, alpha=0.7, label=label))
                dots = np.array([points[-1] for points in lines])
                axes.plot(dots[:, 0], np.clip(dots[:, 1], low, high), ".", color=colour, markersize=3)
        for place, number in enumerate(n for n in best if n in found):
            points = np.array(found[number])
            dash: Any = ("-", "--", "-.", ":", (0, (1, 1)))[place % 5]
            axes.plot(
                points[:, 0], points[:, 1], linestyle=dash, marker=".", color=BLUE, linewidth=1.5, markersize=4,
                label=f"trial {number}",
            )  # fmt: skip
        axes.autoscale(axis="x")
        axes.margins(x=0.03)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(drawable(sweep.monitor or one.name))
        axes.grid(axis="y")
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)


def front(path: Path, sweep: Sweep, best: Sequence[Trial]) -> None:
    """Every pair of objectives as a picture of its own: complete trials, and those of the front in blue."""
    pairs = list(combinations(range(len(sweep.objectives)), 2))[:3]
    numbers = {trial.number for trial in best}
    with drawing(path, 3.8 * len(pairs), 1, [1] * len(pairs), shared=False) as all_axes:
        for axes, pair in zip(all_axes, pairs, strict=True):
            seen = {trial.number: [] for trial in sweep.complete}
            for axis, place in zip((axes.xaxis, axes.yaxis), pair, strict=True):
                values = np.array([trial.values[place] for trial in sweep.complete])
                ends = clip(axis, values, sweep.objectives[place])
                for trial, value in zip(sweep.complete, np.clip(values, *ends), strict=True):
                    seen[trial.number].append(float(value))
            rest = [seen[number] for number in seen if number not in numbers]
            size = small(len(rest))
            axes.plot([v[0] for v in rest], [v[1] for v in rest], "s", color="#aaaaaa", markersize=size)
            points = [[seen[trial.number][side] for trial in best] for side in (0, 1)]
            axes.plot(*points, "o-" if len(sweep.objectives) == 2 else "o", color=BLUE, markersize=5.5, linewidth=0.9)
            for x, y, trial in list(zip(*points, best, strict=True))[:25]:
                axes.annotate(str(trial.number), (x, y), (5, 4), textcoords="offset points", fontsize=7.5, color=BLUE)
            for axis, place in zip((axes.xaxis, axes.yaxis), pair, strict=True):
                one = sweep.objectives[place]
                axis.set_label_text(f"{drawable(one.name, 40)} ({'more' if one.maximise else 'less'} is better)")
            axes.grid(axis="both")


def intervals(path: Path, trials: Sequence[Trial], objective: Objective) -> None:
    """The best trials with the intervals of their values over rows, the best on top."""
    values = np.array([trial.values[0] for trial in trials])
    ends = np.array([trial.interval(0) for trial in trials])
    labels = [f"trial {trial.number}" for trial in trials]
    _rows(path, labels, values, ends, drawable(objective.name))


def repeats(path: Path, found: Sequence[Recipe], objective: Objective) -> None:
    """Recipes with the values of their seeds and folds as small dots and the mean with its t interval."""
    values = np.array([recipe.mean for recipe in found])
    ends = np.array([(recipe.low, recipe.high) for recipe in found])
    labels = [drawable(recipe.label, 38) for recipe in found]
    _rows(path, labels, values, ends, drawable(objective.name), [recipe.values for recipe in found])


def _rows(
    path: Path, labels: list[str], values: np.ndarray, ends: np.ndarray, x: str, dots: Sequence[Sequence[float]] = ()
) -> None:
    with drawing(path, 0.8 + 0.27 * len(labels)) as (axes,):
        places = np.arange(len(labels))
        for place, some in zip(places, dots, strict=False):
            axes.plot(some, [place] * len(some), "o", color=GREY, markersize=3.5, alpha=0.6)
        whisker = whiskers(values, list(ends[:, 0]), list(ends[:, 1]))
        axes.errorbar(values, places, xerr=whisker, fmt="D", color=BLUE, ms=4.5, elinewidth=1.3, linestyle="none")
        axes.set_yticks(places, labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x)
        axes.grid(axis="x")
