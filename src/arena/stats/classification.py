"""Measures of a classification, each defined once for every command.

Shape legend: N rows, K classes.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]


def confusion_matrix(target: Classes, predicted: Classes, classes: int) -> Classes:
    """Count rows by target and prediction, class indices `[N]`, into `[K, K]`."""
    return np.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)


def macro_f1(predicted: Classes, target: Classes, classes: int) -> float:
    """Compute macro-F1 of class indices `[N]`; see `macro_f`."""
    return float(macro_f1_of(confusion_matrix(target, predicted, classes)))


def macro_f1_of(confusion: NDArray) -> Array:
    """Compute macro-F1 of confusion matrices `[..., K, K]`; see `macro_f`."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return macro_f(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f(numerator: NDArray, denominator: NDArray) -> Array:
    r"""Compute the mean F score over the classes that occur, $\frac{1}{|C|}\sum_{c \in C} n_c / d_c$, `[..., K]` ->
    `[...]`.

    For F1 $n = 2 TP$ and $d = 2 TP + FP + FN$. $C$ are the classes with $d_c > 0$, which occur among the targets or the
    predictions: one that occurs and is never predicted counts 0, one that occurs nowhere is left out. This is
    scikit-learn's `f1_score(average="macro")` over the labels that are there. NaN where no class occurs.
    """
    occurs = denominator > 0
    scores = np.divide(numerator, denominator, out=np.zeros(occurs.shape), where=occurs).sum(axis=-1)
    number = occurs.sum(axis=-1)
    return np.divide(scores, number, out=np.full(number.shape, np.nan), where=number > 0)


def mcc_of(confusion: NDArray) -> Array:
    """Compute Matthews' correlation of confusion matrices, `[..., K, K]` -> `[...]`.

    NaN where only one class is among the targets, or among the predictions: 0 / 0 by its formula. Source: Gorodkin
    2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    rows = support.sum(axis=-1)
    together = np.trace(confusion, axis1=-2, axis2=-1) * rows - (support * predicted).sum(axis=-1)
    spread = (rows**2 - (support**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    return np.divide(together, np.sqrt(spread), out=np.full(rows.shape, np.nan), where=spread > 0)


def auroc(scores: NDArray, positive: NDArray[np.bool_], weights: NDArray | None = None) -> Array:
    """Compute the area under the ROC curve of scores `[N]` by the trapezoids between distinct scores, `[R]` or `[]`.

    The share of pairs of a positive and a negative row in which the positive one has the higher score (Mann and Whitney
    1947), ties half; NaN where all rows are of one kind. `weights` `[R, N]`: how often each row counts in each of R
    resamples; None counts each once.
    """
    order = np.argsort(-scores, kind="stable")
    score, positive = scores[order], positive[order]
    drawn = np.ones((1, len(score))) if weights is None else np.asarray(weights, dtype=np.float64)[:, order]
    last = np.append(score[1:] != score[:-1], np.ones(min(1, len(score)), dtype=bool))
    start = np.zeros((len(drawn), 1))
    right = np.concatenate([start, (drawn * positive).cumsum(axis=1)[:, last]], axis=1)
    wrong = np.concatenate([start, (drawn * ~positive).cumsum(axis=1)[:, last]], axis=1)
    pairs = right[:, -1] * wrong[:, -1]
    found = np.full(len(drawn), np.nan)
    np.divide(np.trapezoid(right, wrong, axis=1), pairs, out=found, where=pairs > 0)
    return found[0] if weights is None else found


def cramers_v(first: Classes, second: Classes) -> float:
    """Compute Cramer's V of two classifications of the same rows, 0 (independent) to 1; NaN where one has one class."""
    from scipy.stats.contingency import association, crosstab

    if not len(first):
        return math.nan
    counts = np.asarray(crosstab(first, second)[1])
    return float(association(counts, method="cramer")) if min(counts.shape) > 1 else math.nan


def absent(confusion: NDArray) -> list[int]:
    """Return the indices of the classes that occur neither among the targets nor among the predictions."""
    return np.flatnonzero(confusion.sum(axis=-1) + confusion.sum(axis=-2) == 0).tolist()


def left_out(classes: list[str]) -> list[str]:
    """Return the line that says which classes macro-F1 leaves out; none where it leaves out none."""
    if not classes:
        return []
    what = "a class that occurs" if len(classes) == 1 else f"{len(classes)} classes that occur"
    return [f"macro_f1 leaves out {what} neither in the targets nor in the predictions: {', '.join(classes)}"]
