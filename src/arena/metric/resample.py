"""The metrics of many resamples at once: a resample is a row of weights, and most metrics are sums over weighted rows.

Two hundred resamples of ten classifications are two thousand evaluations of every metric. One by one they take minutes
on a processor; as products of the weights with what each row counts they take a second.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAUROC,
    MulticlassMatthewsCorrCoef,
    MulticlassStatScores,
)

from arena.metric.collection import COUNTS, SHARES, Metrics
from arena.metric.probability import RowMean
from arena.metric.rates import averaged, fraction_of, is_per_class, is_rate


def resampled(metrics: Metrics, probabilities: Tensor, target: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Every value of `metrics` by name for each resample, `[R]` float64: what `compute` gives for the repeated rows,
    and NaN for what has no interval (`Metrics.without_interval`).

    Metrics that are no known function of weighted rows are computed resample by resample.

    Args:
        metrics: what to compute; its own rows stay.
        probabilities: `[N, K]`.
        target: class indices `[N]`, all of them known.
        weights: how often each row is in each resample, `[R, N]`.
    """
    probabilities = probabilities.float().clamp(0, 1)
    weights = weights.double()
    classes = len(metrics.labels)
    cell = torch.nn.functional.one_hot(target * classes + probabilities.argmax(dim=1), classes**2)
    confusion = (weights @ cell.double()).reshape(-1, classes, classes)
    values: dict[str, Tensor] = {}
    for name, metric in metrics.metrics.items():
        assert isinstance(metric, Metric)
        if name in metrics.without_interval:
            found = torch.full((len(weights),), torch.nan)
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
    rows = confusion.sum(dim=(1, 2))
    for share, count, margin in zip(SHARES, COUNTS, (confusion.sum(dim=2), confusion.sum(dim=1)), strict=True):
        for k, label in enumerate(metrics.labels):
            values[f"{share}/{label}"], values[f"{count}/{label}"] = margin[:, k] / rows, margin[:, k]
    return {name: values[name] for name in metrics.names}


Weighted = Callable[[Metric, Tensor, Tensor, Tensor, Tensor], Tensor]


def _weighted(metric: Metric) -> Weighted | None:
    """The function that computes a metric from weighted rows, where there is one."""
    plain = getattr(metric, "ignore_index", None) is None
    if isinstance(metric, RowMean):
        return _row_mean
    if isinstance(metric, MulticlassMatthewsCorrCoef) and plain:
        return _matthews
    if isinstance(metric, MulticlassAUROC) and plain and metric.thresholds is None and metric.average != "weighted":
        return _auroc
    return None


def _rate(metric: Metric, confusion: Tensor) -> Tensor:
    tp = confusion.diagonal(dim1=1, dim2=2)
    support, predicted = confusion.sum(dim=2), confusion.sum(dim=1)
    fp, fn = predicted - tp, support - tp
    tn = support.sum(dim=1, keepdim=True) - tp - fp - fn
    return averaged(metric, *fraction_of(metric, tp, fp, tn, fn), support)


def _row_mean(metric: Metric, probabilities: Tensor, target: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    assert isinstance(metric, RowMean)
    return weights @ metric.rows(probabilities, target).double() / weights.sum(dim=1)


def _matthews(_: Metric, __: Tensor, ___: Tensor, ____: Tensor, confusion: Tensor) -> Tensor:
    """Gorodkin's correlation for K classes; 0/0, and so NaN, with one class only among targets or predictions."""
    support, predicted = confusion.sum(dim=2), confusion.sum(dim=1)
    rows = support.sum(dim=1)
    together = confusion.diagonal(dim1=1, dim2=2).sum(dim=1) * rows - (support * predicted).sum(dim=1)
    spread = (rows**2 - support.square().sum(dim=1)) * (rows**2 - predicted.square().sum(dim=1))
    return together / spread.sqrt()


def _auroc(metric: Metric, probabilities: Tensor, target: Tensor, weights: Tensor, _: Tensor) -> Tensor:
    """Area under each class's curve by the trapezoids between its distinct probabilities; NaN without both kinds."""
    areas = []
    for k in range(probabilities.shape[1]):
        score, order = probabilities[:, k].sort(descending=True)
        last = torch.cat([score[1:] != score[:-1], torch.ones(min(1, len(score)), dtype=torch.bool)])
        is_class = (target[order] == k).double()
        drawn = weights[:, order]
        start = torch.zeros(len(weights), 1, dtype=torch.float64)
        right = torch.cat([start, (drawn * is_class).cumsum(dim=1)[:, last]], dim=1)
        wrong = torch.cat([start, (drawn * (1 - is_class)).cumsum(dim=1)[:, last]], dim=1)
        areas.append(torch.trapezoid(right, wrong, dim=1) / (right[:, -1] * wrong[:, -1]))
    found = torch.stack(areas, dim=1)
    return found if is_per_class(metric) else found.mean(dim=1)


def _one_by_one(metrics: Metrics, name: str, probabilities: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    metric = copy.deepcopy(metrics.metrics[name])
    assert isinstance(metric, Metric)
    positive = None if metrics.positive is None else metrics.labels[metrics.positive]
    alone = Metrics(metrics.labels, {name: metric}, positive)
    found = []
    for weight in weights:
        rows = torch.arange(len(target)).repeat_interleave(weight.long())
        alone.reset()
        alone.update(probabilities[rows], target[rows])
        values = alone.compute()
        found.append([value for key, value in values.items() if key.partition("/")[0] == name])
    made = torch.tensor(found, dtype=torch.float64)
    return made if is_per_class(metric) else made[:, 0]
