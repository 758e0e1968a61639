"""The pictures of a sweep: those of Optuna where it has the picture, else our own.

Values of an objective are on a linear axis that may leave out a few very bad ones (`Sweep.drawn`).
"""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from arena.reporting import figures, frontier
from arena.reporting.figures import BLUE, ORANGE, File, Series, count_axis, dots, drawable, drawing
from arena.reporting.study.measures import Recipe
from arena.reporting.study.trials import Objective, Sweep, Trial, axis_limit

MAX_AXES, MAX_LINES = 10, 300
SCALE = 1.3
"""Optuna draws for a larger page; its pictures are shown so many times smaller."""


def optuna(file: File, name: str, sweep: Sweep, objective: int, height: float, **options: Any) -> None:
    """Draw one of Optuna's pictures, without its title and grey ground, and with plain numbers on the axes.

    Args:
        file: the picture.
        name: of the function in `optuna.visualization.matplotlib`.
        sweep: all trials.
        objective: number of the objective.
        height: in inches.
        options: of the function.
    """
    import matplotlib
    from optuna.visualization import matplotlib as visualization

    if "matplotlib.pyplot" not in sys.modules:  # else it is somebody's notebook, which keeps its own
        matplotlib.use("agg")
    from matplotlib import pyplot

    with warnings.catch_warnings(), matplotlib.rc_context(fname=figures.STYLE):
        warnings.simplefilter("ignore")  # its pictures are experimental, and its layout warns of long names
        draw = getattr(visualization, name)
        draw(sweep.studies[objective], target_name=drawable(sweep.objectives[objective].name), **options)
        figure = pyplot.gcf()
        figure.set_size_inches(SCALE * figures.WIDTH, SCALE * height)
        figure.suptitle("")
        whole = [key for key in options.get("params", ()) if type(sweep.parameters[key]).__name__ == "IntDistribution"]
        for place, axes in enumerate(figure.axes):
            axes.set_title("")
            if name == "plot_parallel_coordinate":  # axes of the objective, its colours, and the parameters
                counted = [axes.yaxis] * (place > 1 and options["params"][place - 2] in whole)
            else:
                axes.set_facecolor("white")
                axes.grid(color="#e3e3e3")
                counted = [axes.xaxis] * (name == "plot_optimization_history" or axes.get_xlabel() in whole)
            _plain_ticks(axes, counted)
        figure.savefig(file, format="png", dpi=figures.DPI / SCALE, bbox_inches="tight", metadata={"Software": None})
        pyplot.close(figure)


def _plain_ticks(axes: Any, counted: Sequence[Any]) -> None:
    """No powers on logarithmic axes, short names of categories, and whole numbers on axes that count."""
    from matplotlib.category import StrCategoryFormatter
    from matplotlib.ticker import FixedLocator

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        elif isinstance(axis.get_major_formatter(), StrCategoryFormatter):
            texts = [drawable(label.get_text().strip("'"), 14) for label in axis.get_ticklabels()]
            axis.set_ticks(range(len(texts)), texts, rotation=90 if sum(map(len, texts)) > 12 else 0)
        elif axis is axes.yaxis and isinstance(axis.get_major_locator(), FixedLocator):
            axis.set_ticklabels([drawable(label.get_text(), 16) for label in axis.get_ticklabels()])
        elif axis in counted:
            count_axis(axis)


def curves(file: File, sweep: Sweep, found: dict[int, Sequence[tuple[int, float]]], best: Sequence[int]) -> None:
    """Draw the monitored value over the steps of each trial; the best ones in blue, pruned ones in orange.

    Args:
        file: the picture.
        sweep: all trials.
        found: steps and values by trial number.
        best: numbers of the best trials, the best first.
    """
    pruned = {trial.number for trial in sweep.trials if trial.kind == "pruned"}
    maximise = sweep.objectives[0].maximise
    with drawing(file, 3.4) as (axes,):
        for number in sorted(found, key=lambda number: -best.index(number) if number in best else -len(found)):
            steps, values = np.array(found[number]).T
            if number in best:
                dash: Any = ("-", "--", "-.", ":", (0, (1, 1)))[best.index(number) % 5]
                axes.plot(steps, values, ".", linestyle=dash, color=BLUE, markersize=4, label=f"trial {number}")
            else:
                axes.plot(steps, values, color=ORANGE if number in pruned else "#bbbbbb", linewidth=0.7, alpha=0.7)
                axes.plot(steps[-1], values[-1], ".", color=ORANGE if number in pruned else "#bbbbbb", markersize=3)
        axes.margins(x=0.03)
        limit = axis_limit([value for points in found.values() for _, value in points], maximise)
        axes.set_ylim(**{} if limit is None else {"bottom" if maximise else "top": limit})
        axes.set_xlabel("optimiser step")
        count_axis(axes.xaxis)
        axes.set_ylabel(drawable(sweep.monitor or sweep.objectives[0].name))
        axes.grid(axis="y")
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6)


def front(file: File, sweep: Sweep, best: Sequence[Trial]) -> None:
    """Draw the first two objectives: complete trials, and those of the front in blue with their numbers."""
    numbers = {trial.number for trial in best}
    x, y = sweep.drawn(0), sweep.drawn(1)
    points = [
        {"value": n if n in numbers else "", "front": n in numbers, "x": {"value": x[n]}, "y": {"value": y[n]}}
        for n in x
    ]
    chosen = zip("xy", sweep.objectives, strict=False)
    axes = {axis: {"name": one.name, "rises": one.maximise} for axis, one in chosen}
    frontier.picture(file, {"by": sweep.name, "points": points, "axes": axes})


def chosen(sweep: Sweep, importance: dict[str, float]) -> list[str]:
    """The varied parameters that have an axis, the most important first."""
    varied = [name for name in sweep.searched if any(name in trial.params for trial in sweep.complete)]
    return sorted(varied, key=lambda name: -importance.get(name, 0.0))[:MAX_AXES]


def intervals(file: File, trials: Sequence[Trial], objective: Objective) -> None:
    """Draw the best trials with the intervals of their values over rows, the best on top."""
    low, high = zip(*(trial.intervals[0] for trial in trials), strict=True)
    one = Series("value", [trial.values[0] for trial in trials], low, high)
    labels = [f"trial {trial.number}" for trial in trials]
    dots(file, labels, [(drawable(objective.name), [one])], (None,), percent=False)


def repeats(file: File, found: Sequence[Recipe], objective: Objective) -> None:
    """Draw recipes with the values of their seeds and folds as small dots and the mean with its t interval."""
    columns = zip(*((recipe.spread.mean, recipe.spread.low, recipe.spread.high) for recipe in found), strict=True)
    one = Series("mean", *columns, points=[recipe.values for recipe in found])
    dots(file, [recipe.label for recipe in found], [(drawable(objective.name), [one])], (None,), percent=False)
