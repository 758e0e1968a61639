"""The metrics of many resamples at once: a resample is a row of weights, and most metrics are sums over weighted rows.

Two hundred resamples of ten classifications are two thousand evaluations of every metric. One by one they take minutes
on a processor; as products of the weights with what each row counts they take a second.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAUROC,
    MulticlassMatthewsCorrCoef,
    MulticlassStatScores,
)

from arena.metric.collection import COUNTS, SHARES, Metrics
from arena.metric.probability import RowMean
from arena.metric.rates import averaged, fraction_of, is_per_class, is_rate
from arena.stats.classification import auroc, mcc_of
from arena.stats.intervals import quotient


def resampled(
    metrics: Metrics, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute every value of `metrics` by name for each resample, `[R]`: what `compute` gives for the repeated rows,
    and NaN for what has no such interval (`Metrics.without_interval`).

    Metrics that are no known function of weighted rows are computed resample by resample.

    Args:
        metrics: what to compute; its own rows stay.
        probabilities: `[N, K]`.
        target: class indices `[N]`, all of them known.
        weights: how often each row is in each resample, `[R, N]`.
    """
    probabilities = probabilities.astype(np.float32).clip(0, 1)
    weights = weights.astype(np.float64)
    classes = len(metrics.labels)
    cell = np.eye(classes**2)[target * classes + probabilities.argmax(axis=1)]
    confusion = (weights @ cell).reshape(-1, classes, classes)
    values: dict[str, np.ndarray] = {}
    for name, metric in metrics.metrics.items():
        assert isinstance(metric, Metric)
        if name in metrics.without_interval:
            found = np.full(len(weights), np.nan)
        elif is_rate(metric) and isinstance(metric, MulticlassStatScores):
            found = _rate(metric, confusion)
        elif (function := _weighted(metric)) is not None:
            found = function(metric, probabilities, target, weights, confusion)
        else:
            found = _one_by_one(metrics, name, probabilities, target, weights)
        if is_per_class(metric):
            values |= {f"{name}/{label}": found[:, k] for k, label in enumerate(metrics.labels)}
        else:
            values[name] = found
    rows = confusion.sum(axis=(1, 2))
    for share, count, margin in zip(SHARES, COUNTS, (confusion.sum(axis=2), confusion.sum(axis=1)), strict=True):
        for k, label in enumerate(metrics.labels):
            values[f"{share}/{label}"], values[f"{count}/{label}"] = quotient(margin[:, k], rows), margin[:, k]
    return {name: values[name] for name in metrics.names}


Weighted = Callable[[Metric, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _weighted(metric: Metric) -> Weighted | None:
    """The function that computes a metric from weighted rows, where there is one."""
    plain = getattr(metric, "ignore_index", None) is None
    if isinstance(metric, RowMean):
        return _row_mean
    if isinstance(metric, MulticlassMatthewsCorrCoef) and plain:
        return lambda _, __, ___, ____, confusion: mcc_of(confusion)
    if isinstance(metric, MulticlassAUROC) and plain and metric.thresholds is None and metric.average != "weighted":
        return _auroc
    return None


def _rate(metric: Metric, confusion: np.ndarray) -> np.ndarray:
    counts = torch.from_numpy(confusion)
    tp = counts.diagonal(dim1=1, dim2=2)
    support, predicted = counts.sum(dim=2), counts.sum(dim=1)
    fp, fn = predicted - tp, support - tp
    tn = support.sum(dim=1, keepdim=True) - tp - fp - fn
    return averaged(metric, *fraction_of(metric, tp, fp, tn, fn), support).numpy()


def _row_mean(
    metric: Metric, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray, _: np.ndarray
) -> np.ndarray:
    assert isinstance(metric, RowMean)
    scores = metric.rows(torch.from_numpy(probabilities), torch.from_numpy(target)).numpy().astype(np.float64)
    return quotient(weights @ scores, weights.sum(axis=1))


def _auroc(
    metric: Metric, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray, _: np.ndarray
) -> np.ndarray:
    found = np.stack([auroc(column, target == k, weights) for k, column in enumerate(probabilities.T)], axis=1)
    return found if is_per_class(metric) else found.mean(axis=1)


def _one_by_one(
    metrics: Metrics, name: str, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    metric = copy.deepcopy(metrics.metrics[name])
    assert isinstance(metric, Metric)
    positive = None if metrics.positive is None else metrics.labels[metrics.positive]
    alone = Metrics(metrics.labels, {name: metric}, positive)
    found = []
    for weight in weights:
        rows = np.repeat(np.arange(len(target)), weight.astype(np.int64))
        alone.reset()
        alone.update(torch.from_numpy(probabilities[rows]), torch.from_numpy(target[rows]))
        values = alone.compute()
        found.append([value for key, value in values.items() if key.partition("/")[0] == name])
    made = np.array(found, dtype=np.float64)
    return made if is_per_class(metric) else made[:, 0]
