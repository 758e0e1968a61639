"""All numbers of one split: configured torchmetrics, of probabilities, undefined values as NaN with counts."""

import copy
import math
import warnings
from collections.abc import Collection
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryCalibrationError,
    BinaryConfusionMatrix,
    BinaryHingeLoss,
    BinaryMatthewsCorrCoef,
    BinaryPrecisionRecallCurve,
    BinaryStatScores,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassFBetaScore,
    MulticlassMatthewsCorrCoef,
)

from arena.core.errors import UsageError
from arena.metric.probability import RowMean
from arena.metric.rates import averaged, fraction, is_per_class, is_rate, undefined
from arena.metric.rows import Array, Rows
from arena.stats.calibration import Gaps, equal_width, top
from arena.stats.classification import auroc, mcc_of
from arena.stats.intervals import quotient

BINARY = (
    BinaryStatScores,
    BinaryConfusionMatrix,
    BinaryPrecisionRecallCurve,
    BinaryCalibrationError,
    BinaryHingeLoss,
)
"""torchmetrics classes, with their subclasses, that want the probability of one class and not of all."""

CALIBRATION_ERRORS = (BinaryCalibrationError, MulticlassCalibrationError)

BELOW_ONE = 1 - 2**-24
"""The largest float32 below 1. torchmetrics gives confidences of exactly 1 a bin of their own, beside the last one."""

SHARES = ("share_target", "share_predicted")
COUNTS = ("count_target", "count_predicted")


class Metrics(nn.Module):
    """Named metrics over K classes for one split; every value is a host float under a flat name.

    A metric with one value for each class (`average: none`) is spread as `<name>/<label>`. Beside the configured ones
    there are always `share_target/<label>`, `share_predicted/<label>`, `count_target/<label>` and
    `count_predicted/<label>`: they show a model that has collapsed to one class before any rate does.

    `update` only keeps the rows (4 (K + 2) bytes each); `compute` sees them all at once: nothing waits for the device
    inside the loop, and the cut into batches cannot matter. Rates, Matthews' correlation, areas under ROC curves and
    means over rows are functions of weighted rows, so that many resamples cost a few sums; what else there is comes
    from torchmetrics, resample by resample.

    One object measures the rows that it was given, also where several processes train: whoever has several gathers the
    rows and drops the repeated ones first (`arena.task.module`). torchmetrics' own gathering is off; it would count
    gathered rows once per process, and wait for ever where only one process computes intervals.

    Args:
        labels: names of the K classes, in the order of the probabilities.
        metrics: torchmetrics by name; those for K classes get probabilities `[N, K]`, binary ones that of `positive`.
        positive: the class that binary metrics ask about; needed only with such metrics.

    Raises:
        UsageError: no such class, another number of classes, or a name that is taken.
    """

    required_outputs = ("probabilities", "target")

    def __init__(self, labels: list[str], metrics: dict[str, Metric], positive: str | None = None) -> None:
        super().__init__()
        self.labels = list(labels)
        self.metrics = nn.ModuleDict(metrics)
        self.positive = None if positive is None else _index(positive, self.labels)
        self._pending: list[tuple[Tensor, Tensor]] = []
        for name, metric in metrics.items():
            _check(name, metric, self.labels, self.positive)
            metric.distributed_available_fn = _alone

    @property
    def names(self) -> list[str]:
        """The names of all values, in the order of `compute`."""
        spread = [self._spread(name) if is_per_class(metric) else [name] for name, metric in self._items()]
        return [name for group in [*spread, *map(self._spread, SHARES + COUNTS)] for name in group]

    @property
    def without_interval(self) -> list[str]:
        """The names of the calibration errors, whose resamples give no interval (`arena.stats.calibration`)."""
        return [name for name, metric in self._items() if isinstance(metric, CALIBRATION_ERRORS)]

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add rows; those without a target are left out.

        Args:
            probabilities: `[N, K]`, never logits.
            target: class indices `[N]`, or probabilities `[N, K]`, which log loss and Brier score take as they are and
                the others by their largest class (the first of equals).
        """
        self._pending.append((probabilities.detach(), target.detach()))

    def compute(self) -> dict[str, float]:
        """Every value by name; what is undefined (0/0, see `arena.metric.rates`) is NaN, also inside a macro average
        (but for macro F scores, which leave out the classes that occur nowhere).

        Raises:
            DataError: rows that are no probabilities, or targets beyond the K classes.
            DivergedError: probabilities that are not finite.
        """
        return {name: float(value[0]) for name, value in self._table()[0].items()}

    def counts(self) -> dict[str, tuple[float, float]]:
        """Numerator and denominator of every rate and share by name, so that a table can show 0/0.

        Averages over classes have none of their own: look at the classes. But a macro F score has: the sum of the
        classes' scores, and how many classes occur.
        """
        return {name: (float(above[0]), float(below[0])) for name, (above, below) in self._table()[1].items()}

    def resampled(self, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> dict[str, Array]:
        """Compute every value by name for each resample, `[R]`: what `compute` gives for the repeated rows, and NaN for
        what has no such interval (`without_interval`).

        Args:
            probabilities, target: as in `update`, on the host; the rows of this object stay.
            weights: how often each row is in each resample, `[R, N]`.
        """
        rows = torch.from_numpy(probabilities), torch.from_numpy(target), weights.astype(np.float64)
        return self._measured(*rows, self.without_interval)[0]

    def higher_is_better(self, name: str) -> bool | None:
        """Whether larger values of a metric are better, None where neither is; `name` as in `compute` or `metrics`.

        Raises:
            UsageError: no metric has this name.
        """
        if name not in self.names and name not in self.metrics:
            raise UsageError(f"no metric {name!r}; there are {', '.join(self.names)}")
        key = name.partition("/")[0]
        if key not in self.metrics:
            return None
        metric = self.metrics[key]
        # torchmetrics leaves it open for specificity and negative predictive value.
        return True if isinstance(metric, Metric) and is_rate(metric) else getattr(metric, "higher_is_better", None)

    def calibration_gaps(
        self, probabilities: np.ndarray, target: np.ndarray, group: np.ndarray, drawn: np.ndarray
    ) -> dict[str, Gaps]:
        """Compute the gaps of every calibration error that is a sum over bins (`norm: l1`), by name.

        Args:
            probabilities: `[N, K]`.
            target: class indices, all known, `[N]`.
            group, drawn: as in `Gaps.of`.
        """
        found = {}
        for name, metric in self._items():
            if not isinstance(metric, CALIBRATION_ERRORS) or metric.norm != "l1":
                continue
            if isinstance(metric, BinaryCalibrationError):
                confidence, right = probabilities[:, self.positive], target == self.positive
            else:
                confidence, right = top(probabilities, target)
            found[name] = Gaps.of(confidence, right, equal_width(confidence, metric.n_bins), group, drawn)
        return found

    def reset(self) -> None:
        """Forget all rows."""
        self._pending.clear()

    def fresh(self) -> Self:
        """An independent copy without rows, for another split."""
        other = copy.deepcopy(self)
        other.reset()
        return other

    def _items(self) -> list[tuple[str, Metric]]:
        return [(name, metric) for name, metric in self.metrics.items() if isinstance(metric, Metric)]

    def _spread(self, name: str) -> list[str]:
        return [f"{name}/{label}" for label in self.labels]

    def _table(self) -> tuple[dict[str, Array], dict[str, tuple[Array, Array]]]:
        rows = self._pending or [(torch.empty(0, len(self.labels)), torch.empty(0, dtype=torch.int64))]
        probabilities, target = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return self._measured(probabilities, target, np.ones((1, len(target))))

    def _measured(
        self, probabilities: Tensor, target: Tensor, weights: Array, left_out: Collection[str] = ()
    ) -> tuple[dict[str, Array], dict[str, tuple[Array, Array]]]:
        """Every value by name, `[R]`, and numerator and denominator of every rate and share, of weights `[R, N]`; NaN
        for the metrics that are `left_out`."""
        rows = Rows(probabilities, target, weights, len(self.labels))
        values: dict[str, Array] = {}
        counts: dict[str, tuple[Array, Array]] = {}
        for name, metric in self._items():
            keys = self._spread(name) if is_per_class(metric) else [name]
            if name in left_out:
                values |= dict.fromkeys(keys, np.full(len(weights), math.nan))
                continue
            value, pair = self._value(name, metric, rows)
            values |= zip(keys, np.broadcast_to(value.T, (len(keys), len(weights))), strict=True)
            if pair is not None:
                counts |= zip(keys, zip(*(np.atleast_2d(part.T) for part in pair), strict=True), strict=True)
        total = rows.confusion.sum(axis=(1, 2))
        for share, count, margin in zip(SHARES, COUNTS, (rows.support, rows.confusion.sum(axis=1)), strict=True):
            for label, number in zip(self.labels, margin.T, strict=True):
                values[f"{share}/{label}"], values[f"{count}/{label}"] = quotient(number, total), number
                counts[f"{share}/{label}"] = number, total
        return {name: values[name] for name in self.names}, counts

    def _value(self, name: str, metric: Metric, rows: Rows) -> tuple[Array, tuple[Array, Array] | None]:
        """Value, and numerator and denominator of a rate: `[R]`, or `[R, K]` for each class."""
        average, plain = getattr(metric, "average", None), getattr(metric, "ignore_index", None) is None
        confusion = rows.of_binary(metric, self.positive) if isinstance(metric, BINARY) else rows.confusion
        if is_rate(metric):
            numerator, denominator = fraction(metric, confusion)
            rate = averaged(metric, numerator, denominator, rows.support)
            if average == "macro" and isinstance(metric, MulticlassFBetaScore):
                classes = (denominator > 0).sum(axis=1)
                return rate, (np.nan_to_num(rate) * classes, classes)
            return rate, None if average in ("macro", "weighted") else (numerator, denominator)
        if isinstance(metric, RowMean):
            return quotient(rows.weights @ metric.rows(*rows.tensors).numpy(), rows.weights.sum(axis=1)), None
        if isinstance(metric, BinaryMatthewsCorrCoef | MulticlassMatthewsCorrCoef) and plain:
            return mcc_of(confusion), None
        if isinstance(metric, MulticlassAUROC) and plain and metric.thresholds is None:
            classes = enumerate(rows.probabilities.T)
            areas = np.stack([auroc(each, rows.index == k, rows.weights) for k, each in classes], axis=1)
            return averaged(metric, areas, np.ones_like(areas), rows.support), None
        return np.array([self._of_torchmetrics(name, metric, rows, r) for r in range(len(rows.weights))]), None

    def _of_torchmetrics(self, name: str, metric: Metric, rows: Rows, resample: int) -> Array:
        """What torchmetrics says of the rows of a resample: one number, or one for each class `[K]`."""
        shape = (len(self.labels),) if is_per_class(metric) else ()
        support = rows.support[resample]
        missing = np.broadcast_to(undefined(metric, support, self.positive) | (support.sum() == 0), shape)
        if missing.all():
            return np.full(shape, math.nan)
        chosen = np.repeat(np.arange(len(rows.index)), rows.weights[resample].astype(np.int64))
        given, index = (torch.from_numpy(each[chosen]).to(metric.device) for each in (rows.probabilities, rows.index))
        if isinstance(metric, CALIBRATION_ERRORS):
            given = given.clamp(max=BELOW_ONE)
        if isinstance(metric, BINARY):
            given, index = given[:, self.positive], (index == self.positive).long()
        metric.reset()
        metric.update(given, index)
        with warnings.catch_warnings():
            # Said of an absent class: its value is NaN here, or (weighted averages) does not enter.
            warnings.filterwarnings("ignore", message="No (positive|negative) samples|Average precision score")
            value = torch.as_tensor(metric.compute()).detach().cpu().double().numpy()
        metric.reset()
        if value.shape != shape:
            raise UsageError(f"metric {name!r} gives shape {list(value.shape)}; only one number, or one for each class")
        return np.where(missing, math.nan, value)


def _alone() -> bool:
    return False


def _index(label: str, labels: list[str]) -> int:
    if label not in labels:
        raise UsageError(f"metric.positive: no class {label!r}; the classes are {', '.join(labels)}")
    return labels.index(label)


def _check(name: str, metric: Metric, labels: list[str], positive: int | None) -> None:
    if "/" in name or name in SHARES + COUNTS:
        raise UsageError(f"metric.metrics: {name!r} cannot be a name; choose one without '/' that is not reserved")
    classes = getattr(metric, "num_classes", None)
    if classes not in (None, len(labels)):
        raise UsageError(f"metric.metrics.{name}: num_classes is {classes} but there are {len(labels)} classes")
    if isinstance(metric, BINARY) and positive is None:
        raise UsageError(f"metric.metrics.{name} is binary: set metric.positive to one of {', '.join(labels)}")
