"""The picture of the confusion matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from arena.core.files import replacing
from arena.reporting.figures import DPI, GREY, INK, STYLE, WIDTH, drawable

ACROSS = 3
"""Panels side by side."""


def draw(path: Path, classes: Mapping[str, Sequence[str]], confusions: Mapping[str, np.ndarray]) -> None:
    """One panel for each head: labels down, predictions across, each cell with its share of the label's rows and, in
    small print, its rows. The file appears in one step.

    Args:
        path: the file.
        classes: names of the classes of each head.
        confusions: rows by label and prediction, `[K, K]` of each head.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(ACROSS, len(classes))
    down = -(-len(classes) // across)
    most = max(map(len, classes.values()))
    side = WIDTH / 2 if across == 1 else WIDTH / across
    height = 0.75 + max(0.72 * side, 0.3 * most)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(side * across + 0.6, height * down), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        panels = figure.subplots(down, across, squeeze=False).reshape(-1)
        for panel in panels[len(classes) :]:
            panel.set_axis_off()
        for panel, (head, labels) in zip(panels, classes.items(), strict=False):
            _panel(panel, head, labels, confusions[head])
        with replacing(path) as partial:
            figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _panel(axes, head: str, labels: Sequence[str], counts: np.ndarray) -> None:
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    from matplotlib import colormaps

    axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad="#f3f3f3"), vmin=0, vmax=1)
    size = len(labels)
    large, small = (8, 6.5) if size <= 4 else (6.5, 5.5)
    for i in range(size):
        for j in range(size):
            known = rows[i, 0] > 0
            ink = GREY if not known else "white" if shares[i, j] > 0.55 else INK
            texts = [(f"{counts[i, j]:,}", small)]
            if known:
                texts.insert(0, (f"{100 * shares[i, j]:.0f}%", large))
            for (text, points), lift in zip(texts, (4, -5) if known else (0,), strict=True):
                axes.annotate(
                    text, (j, i), (0, lift), textcoords="offset points", ha="center", va="center", fontsize=points,
                    color=ink,
                )  # fmt: skip
    names = [drawable(label, 18) for label in labels]
    tilted = sum(map(len, names)) > 24
    axes.set_xticks(range(size), names, fontsize=7.5, rotation=35 if tilted else 0, ha="right" if tilted else "center")
    axes.set_yticks(range(size), names, fontsize=7.5)
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    axes.set_xlabel(f"predicted ({int(counts.sum()):,} rows)", fontsize=8)
    axes.set_ylabel("label", fontsize=8)
    axes.set_title(drawable(head, 26) if head else "", fontsize=9)
