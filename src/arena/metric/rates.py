"""Rates as numerator over denominator of weighted rows, and which values do not exist.

torchmetrics gives 0 for an empty denominator (a negative predictive value without negative predictions looks like a
bad one), leaves absent classes out of macro averages without a word, and gives 0 for the area under a curve that has
one class only. Here all of these are NaN, but for macro F scores (`arena.stats.classification.macro_f`).

Shape legend: N rows, K classes, R resamples.
"""

import numpy as np
from numpy.typing import NDArray
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryFBetaScore,
    BinaryNegativePredictiveValue,
    BinaryPrecision,
    BinaryRecall,
    BinarySpecificity,
    BinaryStatScores,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassFBetaScore,
    MulticlassNegativePredictiveValue,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassSpecificity,
)

from arena.metric.rows import Array
from arena.stats.classification import macro_f
from arena.stats.intervals import quotient

AREAS = (BinaryAUROC, MulticlassAUROC)


def is_per_class(metric: Metric) -> bool:
    """Whether the metric has one value for each class (`average: none`) and not one for all."""
    return getattr(metric, "average", "all") in (None, "none")


def is_rate(metric: Metric) -> bool:
    """Whether `fraction` can say the metric's numerator and denominator."""
    plain = getattr(metric, "multidim_average", "") == "global" and getattr(metric, "ignore_index", None) is None
    return plain and getattr(metric, "top_k", 1) == 1 and _fraction(metric, *np.zeros((4, 1))) is not None


def fraction(metric: Metric, confusion: Array) -> tuple[Array, Array]:
    """Numerator and denominator of a rate, `[R, K]` for each class, or `[R]` (binary and micro).

    | metric | numerator | denominator |
    |---|---|---|
    | accuracy, two classes | tp + tn | tp + fp + tn + fn |
    | accuracy, K classes; recall | tp | tp + fn |
    | precision | tp | tp + fp |
    | specificity | tn | tn + fp |
    | negative predictive value | tn | tn + fn |
    | F-beta | (1 + beta^2) tp | (1 + beta^2) tp + beta^2 fn + fp |

    Args:
        metric: one that `is_rate`.
        confusion: `[R, K, K]`; of a binary metric `[R, 2, 2]`, its positive class behind.
    """
    tp = np.diagonal(confusion, axis1=1, axis2=2)
    fp, fn = confusion.sum(axis=1) - tp, confusion.sum(axis=2) - tp
    tn = confusion.sum(axis=(1, 2))[:, None] - tp - fp - fn
    counts = np.stack([tp, fp, tn, fn])
    if isinstance(metric, BinaryStatScores):
        counts = counts[..., 1]
    elif getattr(metric, "average", None) == "micro":
        counts = counts.sum(axis=-1)
    found = _fraction(metric, *counts)
    assert found is not None, metric
    return found


def _fraction(metric: Metric, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array] | None:
    match metric:
        case BinaryAccuracy():
            return tp + tn, tp + fp + tn + fn
        case MulticlassAccuracy() | BinaryRecall() | MulticlassRecall():
            return tp, tp + fn
        case BinaryPrecision() | MulticlassPrecision():
            return tp, tp + fp
        case BinarySpecificity() | MulticlassSpecificity():
            return tn, tn + fp
        case BinaryNegativePredictiveValue() | MulticlassNegativePredictiveValue():
            return tn, tn + fn
        case BinaryFBetaScore() | MulticlassFBetaScore():
            square = metric.beta**2
            return (1 + square) * tp, (1 + square) * tp + square * fn + fp
    return None


def averaged(metric: Metric, numerator: Array, denominator: Array, support: Array) -> Array:
    """The rate or rates of a metric: 0/0 is NaN, and so is every average that contains it, but for a macro F score,
    which leaves out the classes that occur nowhere (`arena.stats.classification.macro_f`).

    Args:
        metric: its `average` decides: `macro` (every class counts the same), `weighted` (by support; classes without
            any are left out), or anything else (the rates as they are).
        numerator: `[R, K]`, or without classes.
        denominator: like the numerator.
        support: rows of each class, `[R, K]`.
    """
    average = getattr(metric, "average", None)
    if average == "macro" and isinstance(metric, MulticlassFBetaScore):
        return macro_f(numerator, denominator)
    rate = quotient(numerator, denominator)
    if average == "macro":
        return rate.mean(axis=-1)
    if average == "weighted":
        share = quotient(support, support.sum(axis=-1, keepdims=True))
        return np.where(share == 0, 0, share * rate).sum(axis=-1)
    return rate


def undefined(metric: Metric, support: Array, positive: int | None) -> NDArray[np.bool_]:
    """Where the area under a ROC curve (a class has no rows, or all of them) or the average precision (it has no rows)
    does not exist: a bool for all, or `[K]` for each class. Any other metric is never undefined.

    Args:
        metric: what torchmetrics computes.
        support: rows of each class, `[K]`.
        positive: class index that binary metrics call positive.
    """
    if not isinstance(metric, (*AREAS, BinaryAveragePrecision, MulticlassAveragePrecision)):
        return np.zeros((), dtype=bool)
    absent = (support == 0) | (isinstance(metric, AREAS) & (support == support.sum()))
    if positive is not None and isinstance(metric, BinaryAUROC | BinaryAveragePrecision):
        return absent[positive]
    if getattr(metric, "average", None) == "weighted":
        absent = absent & (support > 0)
    return absent if is_per_class(metric) else absent.any()
