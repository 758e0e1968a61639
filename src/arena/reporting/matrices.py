"""Pictures of matrices of shares: model against model, and confusion matrices."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arena.core.files import replacing
from arena.reporting.figures import GREY, INK, WIDTH, File, drawable, drawing, percent_axis


def heat(path: File, names: Sequence[str], rates: np.ndarray, counts: np.ndarray, minimum: int) -> None:
    """Win rates of the row against the column, `[M, M]`, with the decided games `[M, M]` in small print.

    Cells with fewer games than `minimum` carry no colour, only their count.
    """
    with drawing(path, 1.6 + 0.42 * len(names)) as (axes,):
        image = cells(axes, np.where(counts >= minimum, rates, np.nan), counts, "PuOr", (7, 6))
        axes.set_aspect("auto")
        short = [drawable(name, 24) for name in names]
        axes.set_xticks(range(len(names)), short, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(len(names)), short, fontsize=8)
        bar = axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
        bar.set_label("row beats column")
        bar.outline.set_visible(False)
        percent_axis(bar.ax.yaxis)


def confusion(path: Path, classes: Mapping[str, Sequence[str]], confusions: Mapping[str, np.ndarray]) -> None:
    """One panel for each head: labels down, predictions across, each cell with its share of the label's rows and, in
    small print, its rows. The file appears in one step.

    Args:
        path: the file.
        classes: names of the classes of each head.
        confusions: rows by label and prediction, `[K, K]` of each head.
    """
    across = min(3, len(classes))
    down = math.ceil(len(classes) / across)
    side = WIDTH / max(2, across)
    height = 0.75 + max(0.72 * side, 0.3 * max(map(len, classes.values())))
    width = side * across + 0.6
    with replacing(path) as file, drawing(file, height * down, across, [1] * down, shared=False, width=width) as panels:
        for axes, (head, labels) in zip(panels, classes.items(), strict=False):
            counts = confusions[head]
            rows = counts.sum(axis=1, keepdims=True)
            shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
            cells(axes, shares, counts, "Blues", (8, 6.5) if len(labels) <= 4 else (6.5, 5.5))
            names = [drawable(label, 18) for label in labels]
            tilt: Any = {"rotation": 35, "ha": "right"} if sum(map(len, names)) > 24 else {}
            axes.set_xticks(range(len(names)), names, fontsize=7.5, **tilt)
            axes.set_yticks(range(len(names)), names, fontsize=7.5)
            axes.set_xlabel(f"predicted ({int(counts.sum()):,} rows)", fontsize=8)
            axes.set_ylabel("label", fontsize=8)
            axes.set_title(drawable(head, 26), fontsize=9)
        for axes in panels[len(classes) :]:
            axes.set_axis_off()


def cells(axes: Any, shares: np.ndarray, counts: np.ndarray, colours: str, sizes: tuple[float, float]) -> Any:
    """A matrix of shares as coloured cells, each with its percentage and, in small print, its count.

    Args:
        axes: to draw on.
        shares: `[M, N]`; a cell with NaN has no colour, and its count alone where that is not 0.
        counts: `[M, N]`.
        colours: name of the colour map.
        sizes: of the letters, in points.
    """
    from matplotlib import colormaps

    shades = colormaps[colours].with_extremes(bad="#f3f3f3")
    image = axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
    large, small = sizes
    for (row, column), share in np.ndenumerate(shares):
        count, known = counts[row, column], not math.isnan(share)
        texts = [(f"{100 * share:.0f}%", large, 4)] if known else []
        texts += [(f"{count:,}", small, -5 if known else 0)] if known or count else []
        dark = known and np.dot(shades(share)[:3], (0.3, 0.59, 0.11)) < 0.5
        for text, points, lift in texts:
            axes.annotate(
                text, (column, row), (0, lift), textcoords="offset points", ha="center", va="center", fontsize=points,
                color="white" if dark else INK if known else GREY,
            )  # fmt: skip
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
