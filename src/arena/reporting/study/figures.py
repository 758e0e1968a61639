"""The pictures of a sweep: those of Optuna where it has the picture, else our own.

Values of an objective are on a linear axis that may leave out a few very bad ones (`Sweep.drawn`).
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from arena.reporting import frontier
from arena.reporting.figures import BLUE, DPI, ORANGE, STYLE, WIDTH, File, Series, dots, drawable, drawing
from arena.reporting.study.measures import Recipe
from arena.reporting.study.trials import Objective, Sweep, Trial, worst_shown

MOST_AXES, MOST_LINES, COLUMNS = 10, 300, 3
SCALE = 1.3
"""Optuna draws for a larger page; its pictures are shown so many times smaller."""


def history(file: File, sweep: Sweep, objective: int) -> None:
    """Values by trial, and the best so far as a line."""
    _optuna(file, "plot_optimization_history", sweep, objective, 3.2)


def parallel(file: File, sweep: Sweep, parameters: Sequence[str], objective: int) -> None:
    """A line for each complete trial through its parameters to its value; dark is good."""
    _optuna(file, "plot_parallel_coordinate", sweep, objective, 3.6, params=list(parameters))


def slices(file: File, sweep: Sweep, parameters: Sequence[str], objective: int) -> None:
    """Values over each parameter; later trials are darker."""
    _optuna(file, "plot_slice", sweep, objective, 2.6, params=list(parameters))


def _optuna(file: File, name: str, sweep: Sweep, objective: int, height: float, **options: Any) -> None:
    """One of Optuna's pictures, without its title and grey ground, and with plain numbers on logarithmic axes."""
    import matplotlib
    from matplotlib.category import StrCategoryFormatter
    from optuna.visualization import matplotlib as visualization

    if "matplotlib.pyplot" not in sys.modules:  # else it is somebody's notebook, which keeps its own
        matplotlib.use("agg")
    from matplotlib import pyplot

    draw: Callable[..., Any] = getattr(visualization, name)
    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.simplefilter("ignore")  # its pictures are experimental, and its layout warns of long names
        draw(sweep.studies[objective], target_name=drawable(sweep.objectives[objective].name), **options)
        figure = pyplot.gcf()
        figure.set_size_inches(SCALE * WIDTH, SCALE * height)
        figure.suptitle("")
        for axes in figure.axes:
            axes.set_title("")
            if name != "plot_parallel_coordinate":
                axes.set_facecolor("white")
                axes.grid(color="#e3e3e3")
            for axis in (axes.xaxis, axes.yaxis):
                if axis.get_scale() == "log":
                    axis.set_major_formatter("{x:g}")
                    axis.set_minor_formatter("")
                elif isinstance(axis.get_major_formatter(), StrCategoryFormatter):
                    texts = [drawable(label.get_text().strip("'"), 14) for label in axis.get_ticklabels()]
                    axis.set_ticks(range(len(texts)), texts, rotation=25, ha="right")
        figure.savefig(file, format="png", dpi=DPI / SCALE, bbox_inches="tight", metadata={"Software": None})
        pyplot.close(figure)


def curves(file: File, sweep: Sweep, found: dict[int, Sequence[tuple[int, float]]], best: Sequence[int]) -> None:
    """The monitored value over the steps of each trial; the best ones in colour, pruned ones in orange.

    Args:
        file: the picture.
        sweep: all trials.
        found: steps and values by trial number.
        best: numbers of the best trials, the best first.
    """
    kinds = {trial.number: trial.kind for trial in sweep.trials}
    labelled: set[str] = set()
    maximise = sweep.objectives[0].maximise
    with drawing(file, 3.4) as (axes,):
        for number in sorted(found, key=lambda number: -best.index(number) if number in best else -len(found)):
            steps, values = np.array(found[number]).T
            if number in best:
                dash: Any = ("-", "--", "-.", ":", (0, (1, 1)))[best.index(number) % 5]
                axes.plot(steps, values, ".", linestyle=dash, color=BLUE, markersize=4, label=f"trial {number}")
                continue
            label, colour = ("pruned", ORANGE) if kinds[number] == "pruned" else ("other", "#bbbbbb")
            axes.plot(
                steps, values, ".-", color=colour, linewidth=0.7, markersize=3, markevery=[-1], alpha=0.7,
                label="" if label in labelled else label,
            )  # fmt: skip
            labelled.add(label)
        axes.margins(x=0.03)
        worst = worst_shown([value for points in found.values() for _, value in points], maximise)
        axes.set_ylim(**{} if worst is None else {"bottom" if maximise else "top": worst})
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(drawable(sweep.monitor or sweep.objectives[0].name))
        axes.grid(axis="y")
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)


def front(file: File, sweep: Sweep, best: Sequence[Trial], pair: tuple[int, int]) -> None:
    """Two of the objectives: complete trials, and those of the front in blue with their numbers."""
    numbers = {trial.number for trial in best}
    x, y = (sweep.drawn(place) for place in pair)
    points = [
        {"value": n if n in numbers else "", "front": n in numbers, "x": {"value": x[n]}, "y": {"value": y[n]}}
        for n in x
    ]
    chosen = zip("xy", (sweep.objectives[place] for place in pair), strict=True)
    axes = {axis: {"name": one.name, "rises": one.maximise} for axis, one in chosen}
    frontier.picture(file, {"by": sweep.name, "points": points, "axes": axes})


def pairs(sweep: Sweep) -> list[tuple[int, int]]:
    """The pairs of objectives that have a picture of the front."""
    return list(combinations(range(len(sweep.objectives)), 2))[:3]


def intervals(file: File, trials: Sequence[Trial], objective: Objective) -> None:
    """The best trials with the intervals of their values over rows, the best on top."""
    low, high = zip(*(trial.intervals[0] for trial in trials), strict=True)
    one = Series("value", [trial.values[0] for trial in trials], low, high)
    labels = [f"trial {trial.number}" for trial in trials]
    dots(file, labels, [(drawable(objective.name), [one])], (None,), percent=False)


def repeats(file: File, found: Sequence[Recipe], objective: Objective) -> None:
    """Recipes with the values of their seeds and folds as small dots and the mean with its t interval."""
    columns = zip(*((recipe.mean, recipe.low, recipe.high) for recipe in found), strict=True)
    one = Series("mean", *columns, points=[recipe.values for recipe in found])
    dots(file, [recipe.label for recipe in found], [(drawable(objective.name), [one])], (None,), percent=False)
