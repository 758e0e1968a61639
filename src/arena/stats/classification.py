"""Measures of a classification, each defined once for every command.

Shape legend: N rows, K classes.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]


def confusion_matrix(target: Classes, predicted: Classes, classes: int) -> Classes:
    """Count rows by target and prediction, `[K, K]`.

    Args:
        target: class indices, `[N]`.
        predicted: class indices, `[N]`.
        classes: K.
    """
    return np.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)


def macro_f1(predicted: Classes, target: Classes, classes: int) -> float:
    """Compute macro-F1 of class indices `[N]`; see `macro_f`."""
    return float(macro_f1_of(confusion_matrix(target, predicted, classes)))


def macro_f1_of(confusion: NDArray) -> Array:
    """Compute macro-F1 of confusion matrices `[..., K, K]`; see `macro_f`."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return macro_f(2 * hits, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def macro_f(numerator: NDArray, denominator: NDArray) -> Array:
    r"""Compute the mean F score over the classes that occur, $\frac{1}{|C|}\sum_{c \in C} n_c / d_c$, `[...]`.

    $C$ are the classes with $d_c > 0$, which occur among the targets or the predictions: one that occurs and is never
    predicted counts 0, one that occurs nowhere is left out. This is scikit-learn's `f1_score(average="macro")` over the
    labels that are there. NaN where no class occurs.

    Args:
        numerator: `[..., K]`, for F1 $2 TP$.
        denominator: `[..., K]`, for F1 $2 TP + FP + FN$.
    """
    occurs = denominator > 0
    scores = np.divide(numerator, denominator, out=np.zeros(occurs.shape), where=occurs).sum(axis=-1)
    number = occurs.sum(axis=-1)
    return np.divide(scores, number, out=np.full(number.shape, np.nan), where=number > 0)


def absent(confusion: NDArray) -> list[int]:
    """Return the indices of the classes that occur neither among the targets nor among the predictions."""
    return np.flatnonzero(confusion.sum(axis=-1) + confusion.sum(axis=-2) == 0).tolist()


def left_out(classes: list[str]) -> list[str]:
    """Return the line that says which classes macro-F1 leaves out; none where it leaves out none."""
    if not classes:
        return []
    what = "a class that occurs" if len(classes) == 1 else f"{len(classes)} classes that occur"
    return [f"macro_f1 leaves out {what} neither in the targets nor in the predictions: {', '.join(classes)}"]
