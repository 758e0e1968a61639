"""Rates as numerator over denominator of weighted rows, and values that do not exist.

torchmetrics gives 0 for an empty denominator (a negative predictive value without negative predictions looks like a
bad one), leaves absent classes out of macro averages without a word, and gives 0 for the area under a curve that has
one class only. Here all of these are NaN, but for macro F scores (`arena.stats.classification.macro_f`).

Shape legend: N rows, K classes, R resamples.
"""

import numpy as np
from numpy.typing import NDArray
from torchmetrics import Metric
from torchmetrics import classification as kinds

from arena.metric.rows import Array
from arena.stats.classification import macro_f
from arena.stats.intervals import quotient

AREAS = (kinds.BinaryAUROC, kinds.MulticlassAUROC)
AVERAGE_PRECISIONS = (kinds.BinaryAveragePrecision, kinds.MulticlassAveragePrecision)


def is_per_class(metric: Metric) -> bool:
    """Check for a metric with one value for each class (`average: none`)."""
    return getattr(metric, "average", "all") in (None, "none")


def is_rate(metric: Metric) -> bool:
    """Check for a metric that has a `fraction`."""
    plain = getattr(metric, "multidim_average", "") == "global" and getattr(metric, "ignore_index", None) is None
    return plain and getattr(metric, "top_k", 1) == 1 and _fraction(metric, *np.zeros((4, 1))) is not None


def fraction(metric: Metric, confusion: Array) -> tuple[Array, Array]:
    """Compute numerator and denominator of a rate, `[R, K]` for each class, or `[R]` (binary and micro)."""
    tp = np.diagonal(confusion, axis1=1, axis2=2)
    fp, fn = confusion.sum(axis=1) - tp, confusion.sum(axis=2) - tp
    tn = confusion.sum(axis=(1, 2))[:, None] - tp - fp - fn
    counts = np.stack([tp, fp, tn, fn])
    if isinstance(metric, kinds.BinaryStatScores):
        counts = counts[..., 1]
    elif getattr(metric, "average", None) == "micro":
        counts = counts.sum(axis=-1)
    found = _fraction(metric, *counts)
    assert found is not None, metric
    return found


def _fraction(metric: Metric, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array] | None:
    match metric:
        case kinds.BinaryAccuracy():
            return tp + tn, tp + fp + tn + fn
        case kinds.MulticlassAccuracy() | kinds.BinaryRecall() | kinds.MulticlassRecall():
            return tp, tp + fn
        case kinds.BinaryPrecision() | kinds.MulticlassPrecision():
            return tp, tp + fp
        case kinds.BinarySpecificity() | kinds.MulticlassSpecificity():
            return tn, tn + fp
        case kinds.BinaryNegativePredictiveValue() | kinds.MulticlassNegativePredictiveValue():
            return tn, tn + fn
        case kinds.BinaryFBetaScore() | kinds.MulticlassFBetaScore():
            square = metric.beta**2
            return (1 + square) * tp, (1 + square) * tp + square * fn + fp
    return None


def averaged(metric: Metric, numerator: Array, denominator: Array, support: Array) -> Array:
    """Compute the rate or rates of a metric from numerators and denominators `[R, K]` or `[R]`; 0/0 is NaN.

    A macro mean that contains it is NaN too, but that of an F score leaves out the classes that occur nowhere
    (`arena.stats.classification.macro_f`). A weighted mean leaves out classes without `support` `[R, K]`.
    """
    average = getattr(metric, "average", None)
    if average == "macro" and isinstance(metric, kinds.MulticlassFBetaScore):
        return macro_f(numerator, denominator)
    rate = quotient(numerator, denominator)
    if average == "macro":
        return rate.mean(axis=-1)
    if average == "weighted":
        share = quotient(support, support.sum(axis=-1, keepdims=True))
        return np.where(share == 0, 0, share * rate).sum(axis=-1)
    return rate


def undefined(metric: Metric, support: Array, positive: int | None) -> NDArray[np.bool_] | np.bool_:
    """Find values that do not exist, one bool, or `[K]` for each class, from the rows of each class `[K]`.

    They are the area under a ROC curve of a class with no rows or all of them, and the average precision of a class
    with no rows.
    """
    if not isinstance(metric, (*AREAS, *AVERAGE_PRECISIONS)):
        return np.zeros((), dtype=bool)
    absent = (support == 0) | (isinstance(metric, AREAS) & (support == support.sum()))
    if positive is not None and isinstance(metric, kinds.BinaryAUROC | kinds.BinaryAveragePrecision):
        return absent[positive]
    if getattr(metric, "average", None) == "weighted":
        absent = absent & (support > 0)
    return absent if is_per_class(metric) else absent.any()
