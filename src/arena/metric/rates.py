"""Rates as numerator over denominator, read from what torchmetrics counted, and which values do not exist.

torchmetrics gives 0 for an empty denominator (a negative predictive value without negative predictions looks like a
bad one), leaves absent classes out of macro averages without a word, and gives 0 for the area under a curve that has
one class only. Here all of these are NaN, but for macro F scores (`arena.stats.classification.macro_f`).
"""

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryFBetaScore,
    BinaryMatthewsCorrCoef,
    BinaryNegativePredictiveValue,
    BinaryPrecision,
    BinaryRecall,
    BinarySpecificity,
    BinaryStatScores,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassFBetaScore,
    MulticlassMatthewsCorrCoef,
    MulticlassNegativePredictiveValue,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassSpecificity,
    MulticlassStatScores,
)

from arena.stats.classification import macro_f

RATES = (
    BinaryAccuracy,
    MulticlassAccuracy,
    BinaryPrecision,
    MulticlassPrecision,
    BinaryRecall,
    MulticlassRecall,
    BinarySpecificity,
    MulticlassSpecificity,
    BinaryNegativePredictiveValue,
    MulticlassNegativePredictiveValue,
    BinaryFBetaScore,
    MulticlassFBetaScore,
)
"""The torchmetrics classes whose value is a fraction of counts; F1 is a subclass of FBeta."""


def is_per_class(metric: Metric) -> bool:
    """Whether the metric has one value for each class (`average: none`) and not one for all."""
    return getattr(metric, "average", "all") in (None, "none")


def is_rate(metric: Metric) -> bool:
    """Whether `fraction` can say the metric's numerator and denominator."""
    plain = getattr(metric, "multidim_average", "") == "global" and getattr(metric, "ignore_index", None) is None
    return isinstance(metric, RATES) and plain and getattr(metric, "top_k", 1) == 1


def fraction(metric: Metric) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of a rate, float64 on the host: `[K]` for each class, or scalars (binary and micro).

    | metric | numerator | denominator |
    |---|---|---|
    | accuracy, two classes | tp + tn | tp + fp + tn + fn |
    | accuracy, K classes; recall | tp | tp + fn |
    | precision | tp | tp + fp |
    | specificity | tn | tn + fp |
    | negative predictive value | tn | tn + fn |
    | F-beta | (1 + beta^2) tp | (1 + beta^2) tp + beta^2 fn + fp |
    """
    assert isinstance(metric, BinaryStatScores | MulticlassStatScores)
    states = ("tp", "fp", "tn", "fn")
    return fraction_of(metric, *(torch.as_tensor(getattr(metric, name)).detach().cpu().double() for name in states))


def fraction_of(metric: Metric, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> tuple[Tensor, Tensor]:
    """The same from counts at hand, `[..., K]` for metrics of K classes (micro averages: `[...]`)."""
    if getattr(metric, "average", None) == "micro":
        tp, fp, tn, fn = tp.sum(dim=-1), fp.sum(dim=-1), tn.sum(dim=-1), fn.sum(dim=-1)
    match metric:
        case BinaryAccuracy():
            return tp + tn, tp + fp + tn + fn
        case BinaryPrecision() | MulticlassPrecision():
            return tp, tp + fp
        case BinarySpecificity() | MulticlassSpecificity():
            return tn, tn + fp
        case BinaryNegativePredictiveValue() | MulticlassNegativePredictiveValue():
            return tn, tn + fn
        case BinaryFBetaScore() | MulticlassFBetaScore():
            square = metric.beta**2
            return (1 + square) * tp, (1 + square) * tp + square * fn + fp
    return tp, tp + fn


def averaged(metric: Metric, numerator: Tensor, denominator: Tensor, support: Tensor) -> Tensor:
    """The rate or rates of a metric: 0/0 is NaN, and so is every average that contains it, but for a macro F score,
    which leaves out the classes that occur nowhere (`arena.stats.classification.macro_f`).

    Args:
        metric: its `average` decides: `macro` (every class counts the same), `weighted` (by support; classes without
            any are left out), or anything else (the rates as they are).
        numerator: `[..., K]`, or without classes.
        denominator: like the numerator.
        support: rows of each class, `[..., K]`.
    """
    average = getattr(metric, "average", None)
    if average == "macro" and isinstance(metric, MulticlassFBetaScore):
        return torch.from_numpy(np.asarray(macro_f(numerator.numpy(), denominator.numpy())))
    rate = numerator / denominator
    if average == "macro":
        return rate.mean(dim=-1)
    if average == "weighted":
        share = support.double() / support.sum(dim=-1, keepdim=True)
        return torch.where(share > 0, share * rate, 0.0).sum(dim=-1)
    return rate


def undefined(metric: Metric, confusion: Tensor, positive: int | None) -> Tensor:
    """Where a metric that is not a rate does not exist: a bool for all, or `[K]` for each class.

    - Area under the ROC curve of a class: it has no rows, or all of them. Average precision: it has no rows.
    - Matthews' correlation: one class only among the targets, or among the predictions: 0/0 by its formula.
      (torchmetrics gives 0 for three classes, and for two a number that depends on its epsilon.)

    Args:
        metric: any metric; an unknown one is never undefined.
        confusion: rows by target and prediction, `[K, K]`.
        positive: class index that binary metrics call positive.
    """
    support = confusion.sum(dim=1)
    if isinstance(metric, BinaryMatthewsCorrCoef | MulticlassMatthewsCorrCoef):
        if isinstance(metric, BinaryMatthewsCorrCoef):
            confusion = metric.confmat.cpu()
        margins = torch.stack([confusion.sum(dim=0), confusion.sum(dim=1)])
        return ((margins > 0).sum(dim=1) < 2).any()
    if isinstance(metric, BinaryAUROC | MulticlassAUROC):
        absent = (support == 0) | (support == support.sum())
    elif isinstance(metric, BinaryAveragePrecision | MulticlassAveragePrecision):
        absent = support == 0
    else:
        return torch.tensor(False)
    if positive is not None and isinstance(metric, BinaryAUROC | BinaryAveragePrecision):
        return absent[positive]
    if getattr(metric, "average", None) == "weighted":
        absent = absent & (support > 0)
    return absent if is_per_class(metric) else absent.any()
