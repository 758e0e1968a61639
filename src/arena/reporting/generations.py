"""What sampled replies are like: a table of every measure, the curves over k, and the prompts behind the means."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arena.core.console import say
from arena.evaluation.printing import number, print_table
from arena.reporting.figures import BLUE, COLOURS, INK, MARKS, drawable, drawing, percent_axis

CURVES = ("pass@k", "pass^k", "max@k")
ACROSS = 3
"""Histograms side by side."""
BINS = 20
HEADER = ["measure", "value", "95% interval", "reference replies", "prompts"]


def shown(judged: Mapping[str, Any]) -> list[str]:
    """The measures of the table: all without a k, and of each curve the first and the last."""
    ends = set()
    for name, curve in _curves(judged).items():
        stem = name[:-1]
        ends |= {f"{stem}{k}" for k in (curve["k"][0], curve["k"][-1]) if not (stem == "pass^" and k == 1)}
    return [name for name in judged["measures"] if name in ends or name.startswith("cover@") or not _of_k(name)]


def _curves(judged: Mapping[str, Any]) -> dict[str, Any]:
    """The curves; max@k only where it is not pass@k."""
    found = {name: judged["curves"][name] for name in CURVES if name in judged["curves"]}
    if found and np.allclose(found["pass@k"]["value"], found["max@k"]["value"], equal_nan=True):
        del found["max@k"]
    return found


def _of_k(name: str) -> bool:
    return name.startswith(("pass@", "pass^", "max@"))


def rows_of(judged: Mapping[str, Any]) -> list[list[str]]:
    """Lines of the table: measure, value, 95% interval, that of the data's own replies, prompts where defined."""
    found = [HEADER]
    for name in shown(judged):
        entry = judged["measures"][name]
        known = not math.isnan(entry["low"])
        interval = f"{number(entry['low'])} to {number(entry['high'])}" if known else ""
        found.append([name, number(entry["value"]), interval, number(entry.get("reference")), f"{entry['prompts']:,}"])
    return found


def printed(title: str, judged: Mapping[str, Any]) -> None:
    """Print the table, why a measure is not defined everywhere, and the alarms."""
    groups = f", {judged['groups']:,} groups" if judged["groups"] != judged["prompts"] else ""
    facts = f"{judged['prompts']:,} prompts{groups}, {judged['samples']:,} replies each"
    print_table(f"{title}: {facts}", rows_of(judged))
    reasons: dict[str, list[str]] = {}
    for name in shown(judged):
        if reason := judged["measures"][name].get("reason"):
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        say(f"not defined everywhere: {', '.join(names)} ({reason})")
    for alarm in judged["alarms"]:
        say(f"caution: {alarm}")


def curves(path: Path, title: str, judged: Mapping[str, Any]) -> None:
    """pass@k, pass^k and max@k over the number of tries k, with bands of 95%; max@k only where it is not pass@k."""
    found = _curves(judged)
    with drawing(path, 3.4) as (axes,):
        most = max(found["pass@k"]["k"])
        for (name, curve), colour, mark in zip(found.items(), COLOURS, MARKS, strict=False):
            k, value, low, high = (np.asarray(curve[part], dtype=float) for part in ("k", "value", "low", "high"))
            axes.fill_between(k, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(k, value, mark + "-", color=colour, markersize=4 if most <= 32 else 0, linewidth=1.2, label=name)
        axes.set_xlim(0.5, most + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("k, replies to a prompt")
        axes.set_ylabel("mean over prompts")
        axes.set_title(drawable(title, 70))
        axes.grid(axis="y")
        percent_axis(axes.yaxis)
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(found))


def distributions(path: Path, judged: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> None:
    """A histogram over prompts for each measure that is not the same for all, and a dashed line at the mean.

    Args:
        path: the file.
        judged: see `arena.evaluation.generation.evaluation.evaluate_generations`.
        columns: name of a measure -> its value for each prompt, `[P]`.
    """
    names = [name for name in shown(judged) if not name.startswith("cover@") and _spread(columns[name]) > 1e-9]
    lines = max(1, math.ceil(len(names) / ACROSS))
    with drawing(path, 0.3 + 1.25 * lines, ACROSS, (1,) * lines, shared=False) as axes:
        for name, one in zip(names, axes, strict=False):
            values = columns[name][np.isfinite(columns[name])]
            counts, edges = np.histogram(values, BINS)
            one.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.4)
            one.axvline(values.mean(), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            one.set_title(name, fontsize=8)
            one.tick_params(labelsize=7)
            one.xaxis.get_major_locator().set_params(nbins=4)
            one.yaxis.get_major_locator().set_params(integer=True, nbins=3)
        for one in axes[len(names) :]:
            one.set_visible(False)
        for one in axes[::ACROSS]:
            one.set_ylabel("prompts", fontsize=7)


def _spread(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if len(known) else 0.0
