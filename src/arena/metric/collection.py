"""All metrics of one split: configured torchmetrics of probabilities, undefined values as NaN with counts."""

import math
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics import classification as kinds

from arena.core.errors import UsageError
from arena.core.shapes import Float
from arena.core.types import UNLABELLED
from arena.metric.probability import RowMean
from arena.metric.rates import averaged, fraction, is_per_class, is_rate, undefined
from arena.metric.rows import Array, Rows
from arena.stats.calibration import Gaps, equal_width, top
from arena.stats.classification import auroc, mcc_of
from arena.stats.intervals import quotient

CALIBRATION_ERRORS = (kinds.BinaryCalibrationError, kinds.MulticlassCalibrationError)
BINARY = (
    kinds.BinaryStatScores,
    kinds.BinaryConfusionMatrix,
    kinds.BinaryPrecisionRecallCurve,
    kinds.BinaryCalibrationError,
    kinds.BinaryHingeLoss,
)
"""torchmetrics classes, with their subclasses, that take the probability of one class and not of all."""
BELOW_ONE = 1 - 2**-24
"""The largest float32 below 1. torchmetrics gives confidences of exactly 1 a bin of their own, beside the last one."""
SHARES = ("share_target", "share_predicted")
COUNTS = ("count_target", "count_predicted")
Pairs = dict[str, tuple[Array, Array]]
"""Numerators and denominators by name, `[R]` each."""


class Metrics(nn.Module):
    """Named metrics over K classes of one split; every value has a flat name.

    A metric with one value for each class (`average: none`) is spread as `<name>/<label>`. Beside the configured ones
    there are always `share_target/<label>`, `share_predicted/<label>`, `count_target/<label>` and
    `count_predicted/<label>`: they show a model that has collapsed to one class before any rate does.

    `update` only keeps the rows, `compute` sees them all at once: nothing waits for the device, and the cut into
    batches cannot matter. Rates, Matthews' correlation, areas under ROC curves and means over rows are functions of
    weighted rows, so that many resamples cost a few sums; all else comes from torchmetrics, resample by resample.

    Whoever trains in several processes gathers the rows first (`arena.task.module`). torchmetrics' own gathering is
    off: it would count gathered rows once per process, and wait for ever where only one process computes intervals.

    Metrics for K classes get probabilities `[N, K]`, binary ones that of the class `positive`.
    """

    required_outputs = ("probabilities", "target")

    def __init__(self, labels: list[str], metrics: dict[str, Metric], positive: str | None = None) -> None:
        super().__init__()
        self.labels: Any = list(labels)
        if positive is not None and positive not in self.labels:
            raise UsageError(f"metric.positive: no class {positive!r}; the classes are {', '.join(labels)}")
        self.positive = None if positive is None else self.labels.index(positive)
        self.metrics = nn.ModuleDict(metrics)
        for name, metric in metrics.items():
            _check(name, metric, self.labels, positive)
            metric.distributed_available_fn = _alone
        self.reset()

    @property
    def names(self) -> list[str]:
        """The names of all values, in the order of `compute`."""
        return [each for name, metric in self._items() for each in self._keys(name, metric)] + [
            each for name in SHARES + COUNTS for each in self._spread(name)
        ]

    @property
    def without_interval(self) -> list[str]:
        """The names of the calibration errors, whose resamples give no interval (`arena.stats.calibration`)."""
        return [name for name, metric in self._items() if isinstance(metric, CALIBRATION_ERRORS)]

    def reset(self) -> None:
        """Forget all rows."""
        self._pending: list[tuple[Tensor, Tensor]] = []

    def update(self, probabilities: Float[Tensor, "N C"], target: Tensor) -> None:
        """Add rows; those without a target are left out.

        Targets are class indices `[N]`, those of each head `[N, T]`, or probabilities `[N, K]`: log loss and Brier
        score take these as they are, the others their largest class (the first of equals). Probabilities of several
        heads are side by side, each summing to 1.
        """
        self._pending.append((probabilities.detach(), target.detach()))

    def compute(self) -> dict[str, float]:
        """Compute every value by name; what is undefined is NaN (`arena.metric.rates`), also inside a macro average.

        Raises a `DataError` for rows that are no probabilities or targets beyond the K classes, and a `DivergedError`
        for probabilities that are not finite.
        """
        return {name: float(value[0]) for name, value in self._measure_pending()[0].items()}

    def counts(self) -> dict[str, tuple[float, float]]:
        """Compute numerator and denominator of every rate and share by name, so that a table can show 0/0.

        Of a macro F score they are the sum of the classes' scores and how many classes occur; other averages have none.
        """
        return {name: (float(above[0]), float(below[0])) for name, (above, below) in self._measure_pending()[1].items()}

    def resampled(self, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> dict[str, Array]:
        """Compute every value by name for each resample, `[R]`: what `compute` gives for the repeated rows, and NaN for
        what has no such interval (`without_interval`). See `measure`; the rows of this object stay."""
        rows = torch.from_numpy(probabilities), torch.from_numpy(target), weights.astype(np.float64)
        return self.measure(*rows, self.without_interval)[0]

    def higher_is_better(self, name: str) -> bool | None:
        """Return True where larger values are better, None where neither is; `name` as in `compute` or `metrics`."""
        if name not in self.names and name not in self.metrics:
            raise UsageError(f"no metric {name!r}; there are {', '.join(self.names)}")
        metric = dict(self._items()).get(name.partition("/")[0])
        # torchmetrics leaves it open for specificity and negative predictive value.
        return True if metric is not None and is_rate(metric) else getattr(metric, "higher_is_better", None)

    def calibration_gaps(
        self, probabilities: np.ndarray, target: np.ndarray, group: np.ndarray, drawn: np.ndarray
    ) -> dict[str, Gaps]:
        """Compute the gaps of every calibration error that is a sum over bins (`norm: l1`), by name, see `Gaps.of`.

        Probabilities are `[N, K]`, targets class indices `[N]`.
        """
        known = target != UNLABELLED
        probabilities, target, group = probabilities[known], target[known], group[known]
        found = {}
        for name, metric in self._items():
            if not isinstance(metric, CALIBRATION_ERRORS) or metric.norm != "l1" or not known.any():
                continue
            if isinstance(metric, kinds.BinaryCalibrationError):
                confidence, right = probabilities[:, self.positive], target == self.positive
            else:
                confidence, right = top(probabilities, target)
            found[name] = Gaps.of(confidence, right, equal_width(confidence, metric.n_bins), group, drawn)
        return found

    def groups(self, target: np.ndarray, member: np.ndarray) -> dict[str, int]:
        """Count the groups with rows of each value, by name; `member` is the group of each row, `[N]`."""
        return dict.fromkeys(self.names, len(np.unique(member)))

    def measure(
        self, probabilities: Float[Tensor, "N K"], target: Tensor, weights: Array, left_out: Collection[str] = ()
    ) -> tuple[dict[str, Array], Pairs]:
        """Compute every value by name, `[R]`, and numerator and denominator of every rate and share, of resamples.

        `weights` `[R, N]` are how often each row is in each resample; the metrics `left_out` are NaN.
        """
        rows = Rows(probabilities, target, weights, len(self.labels))
        values: dict[str, Array] = {}
        counts: Pairs = {}
        for name, metric in self._items():
            keys = self._keys(name, metric)
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

    def _measure_pending(self) -> tuple[dict[str, Array], Pairs]:
        rows = self._pending or [self._no_rows()]
        probabilities, target = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return self.measure(probabilities, target, np.ones((1, len(target))))

    def _no_rows(self) -> tuple[Tensor, Tensor]:
        return torch.empty(0, len(self.labels)), torch.empty(0, dtype=torch.int64)

    def _items(self) -> list[tuple[str, Metric]]:
        return [(name, metric) for name, metric in self.metrics.items() if isinstance(metric, Metric)]

    def _spread(self, name: str) -> list[str]:
        return [f"{name}/{label}" for label in self.labels]

    def _keys(self, name: str, metric: Metric) -> list[str]:
        return self._spread(name) if is_per_class(metric) else [name]

    def _value(self, name: str, metric: Metric, rows: Rows) -> tuple[Array, tuple[Array, Array] | None]:
        """Compute value, and numerator and denominator of a rate: `[R]`, or `[R, K]` for each class."""
        average, plain = getattr(metric, "average", None), getattr(metric, "ignore_index", None) is None
        confusion = rows.of_binary(metric, self.positive) if isinstance(metric, BINARY) else rows.confusion
        if is_rate(metric):
            numerator, denominator = fraction(metric, confusion)
            rate = averaged(metric, numerator, denominator, rows.support)
            if average == "macro" and isinstance(metric, kinds.MulticlassFBetaScore):
                classes = (denominator > 0).sum(axis=1, dtype=np.float64)
                return rate, (np.nan_to_num(rate) * classes, classes)
            return rate, None if average in ("macro", "weighted") else (numerator, denominator)
        if isinstance(metric, RowMean):
            return quotient(rows.weights @ metric.rows(*rows.tensors).numpy(), rows.weights.sum(axis=1)), None
        if isinstance(metric, kinds.BinaryMatthewsCorrCoef | kinds.MulticlassMatthewsCorrCoef) and plain:
            return mcc_of(confusion), None
        if isinstance(metric, kinds.MulticlassAUROC) and plain and metric.thresholds is None:
            classes = enumerate(rows.probabilities.T)
            areas = np.stack([auroc(each, rows.index == k, rows.weights) for k, each in classes], axis=1)
            return averaged(metric, areas, np.ones_like(areas), rows.support), None
        return np.array([self._of_torchmetrics(name, metric, rows, r) for r in range(len(rows.weights))]), None

    def _of_torchmetrics(self, name: str, metric: Metric, rows: Rows, resample: int) -> Array:
        """Compute one number, or one for each class `[K]`, from the rows of a resample."""
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
            # About an absent class: its value is NaN here, or (weighted averages) does not enter.
            warnings.filterwarnings("ignore", message="No (positive|negative) samples|Average precision score")
            value = torch.as_tensor(metric.compute()).detach().cpu().double().numpy()
        metric.reset()
        if value.shape != shape:
            raise UsageError(f"metric {name!r} gives shape {list(value.shape)}; only one number, or one for each class")
        return np.where(missing, math.nan, value)


def _alone() -> bool:
    return False


def _check(name: str, metric: Metric, labels: list[str], positive: str | None) -> None:
    if "/" in name or name in SHARES + COUNTS:
        raise UsageError(f"metric.metrics: {name!r} cannot be a name; choose one without '/' that is not reserved")
    classes = getattr(metric, "num_classes", None)
    if classes not in (None, len(labels)):
        raise UsageError(f"metric.metrics.{name}: num_classes is {classes} but there are {len(labels)} classes")
    if isinstance(metric, BINARY) and positive is None:
        raise UsageError(f"metric.metrics.{name} is binary: set metric.positive to one of {', '.join(labels)}")
