"""Learning curves of one training, from its `metrics.csv`."""

import math
from pathlib import Path
from typing import Any

from arena.core.files import replacing
from arena.core.run import RunFolder
from arena.logger import journal
from arena.reporting.figures import BLUE, GREY, INK, ORANGE, count_axis, drawable, drawing

FILE = Path("report") / "curves.png"
MAX_DOTS = 60
"""Points of a curve that are marked; of more there is only the line."""
Points = list[tuple[int, float]]


def draw(run: RunFolder) -> Path | None:
    """Draw loss, monitored value and learning rate over optimiser steps into `RUN/report/curves.png`.

    Returns:
        The file; None where nothing was logged.

    Raises:
        InputOutputError: the journal cannot be read or the file not written.
    """
    rows = journal.read(run.metrics) if run.metrics.is_file() else []
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        if math.isfinite(row["value"]):
            curves.setdefault(journal.full_name(row), {})[row["step"]] = row["value"]
    found = {name: sorted(points.items()) for name, points in curves.items()}
    monitor = run.read_result().get("monitor") or {}
    panels = _panels(found, str(monitor.get("name")))
    if not panels:
        return None
    file = run.path / FILE
    heights = [2.0 if "learning rate" not in title else 1.0 for title in panels]
    with replacing(file) as partial, drawing(partial, 0.6 + sum(heights), 1, heights) as all_axes:
        for axes, (title, names) in zip(all_axes, panels.items(), strict=True):
            _panel(axes, title, {name: found[name] for name in names}, monitor)
        count_axis(all_axes[-1].xaxis)
        all_axes[-1].set_xlabel("optimiser step")
    return file


def _panels(found: dict[str, Points], monitor: str) -> dict[str, list[str]]:
    """The axis titles, with the curves of each."""
    losses = [name for name in ("train/loss", "val/loss") if name in found]
    losses += ["val/log_loss"] * ("val/loss" not in found and "val/log_loss" in found)
    rate = next((name for name in found if name.startswith("train/") and "learning_rate" in name), None)
    panels = {"loss": losses, monitor: [monitor] * (monitor in found), "learning rate": [rate] if rate else []}
    return {title: names for title, names in panels.items() if names}


def _panel(axes: Any, title: str, curves: dict[str, Points], monitor: dict[str, Any]) -> None:
    """One axis with its curves; validations are dots, and the best step of the monitor is marked."""
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        colour = GREY if name.startswith("train/") else BLUE
        dots = 3.5 if len(steps) <= MAX_DOTS else 0
        axes.plot(steps, values, "o-", color=colour, lw=1.2, markersize=dots, label=drawable(name, 40))
    if monitor.get("name") in curves and None not in (monitor.get("value"), monitor.get("step")):
        axes.axvline(monitor["step"], color=ORANGE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.7)
        best = f"best, step {monitor['step']:,}: {monitor['value']:.4g}"
        axes.plot(monitor["step"], monitor["value"], "o", color=ORANGE, markersize=6, label=best)
    axes.set_ylabel(drawable(title, 24), color=INK)
    axes.grid(axis="y")
    if title != "learning rate":
        axes.legend(loc="best", fontsize=8)
