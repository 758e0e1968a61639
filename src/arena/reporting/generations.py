"""Measures of sampled replies: a table of every measure, the curves over k, and the prompts behind the means."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arena.core.console import echo
from arena.evaluation.printing import number, print_table
from arena.reporting import figures
from arena.reporting.figures import BLUE, COLOURS, INK, MARKS, count_axis, drawable, drawing

CURVES = ("pass@k", "pass^k", "max@k")
ACROSS = 3
"""Histograms side by side."""
BINS = 20
HEADER = ["measure", "value", "95% interval", "reference replies", "prompts"]
Results = Mapping[str, Any]
"""See `arena.evaluation.generation.evaluation`."""


def table_measures(results: Results) -> list[str]:
    """The measures of the table: all without a k, and of each curve the first and the last."""
    ends = set()
    for name, curve in _curves(results).items():
        stem = name[:-1]
        ends |= {f"{stem}{k}" for k in (curve["k"][0], curve["k"][-1]) if not (stem == "pass^" and k == 1)}
    of_k = ("pass@", "pass^", "max@")
    return [name for name in results["measures"] if name in ends or not name.startswith(of_k)]


def _curves(results: Results) -> dict[str, Any]:
    """The curves; max@k only where it is not pass@k."""
    found = {name: results["curves"][name] for name in CURVES if name in results["curves"]}
    if found and np.allclose(found["pass@k"]["value"], found["max@k"]["value"], equal_nan=True):
        del found["max@k"]
    return found


def rows_of(results: Results) -> list[list[str]]:
    """Lines of the table: measure, value, 95% interval, that of the data's own replies, prompts where defined."""
    found = [HEADER]
    for name in table_measures(results):
        entry = results["measures"][name]
        value, low, high, reference = (number(entry.get(part)) for part in ("value", "low", "high", "reference"))
        interval = "" if math.isnan(entry["low"]) else f"{low} to {high}"
        found.append([name, value, interval, reference, f"{entry['prompts']:,}"])
    return found


def printed(title: str, results: Results) -> None:
    """Print the table, why a measure is not defined everywhere, and the alarms."""
    groups = f", {results['groups']:,} groups" if results["groups"] != results["prompts"] else ""
    size = f"{results['prompts']:,} prompts{groups}, {results['samples']:,} replies each"
    print_table(f"{title}: {size}", rows_of(results))
    reasons: dict[str, list[str]] = {}
    for name in table_measures(results):
        if reason := results["measures"][name].get("reason"):
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        echo(f"not defined everywhere: {', '.join(names)} ({reason})")
    for alarm in results["alarms"]:
        echo(f"caution: {alarm}")


def curves(path: Path, title: str, results: Results) -> None:
    """Draw pass@k, pass^k and max@k over the number of tries k, with bands of 95%."""
    found = _curves(results)
    with drawing(path, 3.4) as (axes,):
        largest = max(found["pass@k"]["k"])
        for (name, curve), colour, mark in zip(found.items(), COLOURS, MARKS, strict=False):
            k, value, low, high = (np.asarray(curve[part], dtype=float) for part in ("k", "value", "low", "high"))
            axes.fill_between(k, low, high, color=colour, alpha=0.15, linewidth=0)
            size = 4 if largest <= 32 else 0
            axes.plot(k, value, mark + "-", color=colour, markersize=size, linewidth=1.2, label=name)
        axes.set_xlim(0.5, largest + 0.5)
        count_axis(axes.xaxis)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("k, replies to a prompt")
        axes.set_ylabel("mean over prompts")
        axes.set_title(drawable(title, 70))
        axes.grid(axis="y")
        figures.percent_axis(axes.yaxis)
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(found))


def distributions(path: Path, results: Results, columns: Mapping[str, np.ndarray]) -> None:
    """Draw a histogram over prompts for each measure that is not the same for all, and a dashed line at the mean.

    Args:
        path: the file.
        results: of the replies.
        columns: name of a measure -> its value for each prompt, `[P]`.
    """
    values = {name: columns[name][np.isfinite(columns[name])] for name in table_measures(results) if name in columns}
    values = {name: found for name, found in values.items() if len(found) and np.ptp(found) > 1e-9}
    values = {name: found for name, found in values.items() if not name.startswith("cover@")}
    lines = max(1, math.ceil(len(values) / ACROSS))
    with drawing(path, 0.3 + 1.5 * lines, ACROSS, (1,) * lines, shared=False) as all_axes:
        for (name, found), axes in zip(values.items(), all_axes, strict=False):
            axes.hist(found, BINS, color=BLUE, edgecolor="white", linewidth=0.4)
            axes.axvline(found.mean(), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.set_title(name, fontsize=8)
            axes.tick_params(labelsize=7)
            axes.xaxis.get_major_locator().set_params(nbins=4)
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
        for axes in all_axes[len(values) :]:
            axes.set_visible(False)
        for axes in all_axes[::ACROSS]:
            axes.set_ylabel("prompts", fontsize=7)
