"""All numbers of one split: configured torchmetrics, fed with probabilities, undefined values as NaN with counts."""

import copy
import math
import warnings
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryCalibrationError,
    BinaryConfusionMatrix,
    BinaryHingeLoss,
    BinaryPrecisionRecallCurve,
    BinaryStatScores,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassFBetaScore,
)

from arena.core.errors import DataError, DivergedError, UsageError
from arena.core.types import UNLABELLED
from arena.metric.probability import RowMean
from arena.metric.rates import averaged, fraction, is_per_class, is_rate, undefined
from arena.stats.calibration import Gaps, equal_width, top

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

    `update` only keeps the rows (4 (K + 2) bytes each) and torchmetrics sees them in `compute`, all at once: nothing
    waits for the device inside the loop, and the cut into batches cannot matter. The metrics are never merged into
    torchmetrics' compute groups, which mix up metrics whose counts agree on the first batch.

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

    needs = ("probabilities", "target")

    def __init__(self, labels: list[str], metrics: dict[str, Metric], positive: str | None = None) -> None:
        super().__init__()
        self.labels = list(labels)
        self.metrics = nn.ModuleDict(metrics)
        self.positive = None if positive is None else _index(positive, self.labels)
        self._confusion = MulticlassConfusionMatrix(num_classes=len(self.labels), validate_args=False)
        self._pending: list[tuple[Tensor, Tensor]] = []
        for name, metric in metrics.items():
            _check(name, metric, self.labels, self.positive)
        for metric in (self._confusion, *metrics.values()):
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
        return self._table()[0]

    def counts(self) -> dict[str, tuple[float, float]]:
        """Numerator and denominator of every rate and share by name, so that a table can show 0/0.

        Averages over classes have none of their own: look at the classes. But a macro F score has: the sum of the
        classes' scores, and how many classes occur.
        """
        return self._table()[1]

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
        for metric in [self._confusion, *(metric for _, metric in self._items())]:
            metric.reset()

    def fresh(self) -> Self:
        """An independent copy without rows, for another split."""
        other = copy.deepcopy(self)
        other.reset()
        return other

    def _items(self) -> list[tuple[str, Metric]]:
        return [(name, metric) for name, metric in self.metrics.items() if isinstance(metric, Metric)]

    def _spread(self, name: str) -> list[str]:
        return [f"{name}/{label}" for label in self.labels]

    def _table(self) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        self._feed_pending_rows()
        confusion = self._confusion.confmat.cpu()
        values: dict[str, float] = {}
        counts: dict[str, tuple[float, float]] = {}
        for name, metric in self._items():
            keys = self._spread(name) if is_per_class(metric) else [name]
            value, pair = self._value(name, metric, confusion)
            values |= zip(keys, value.reshape(-1).tolist(), strict=True)
            if pair is not None:
                counts |= zip(keys, zip(*(part.reshape(-1).tolist() for part in pair), strict=True), strict=True)
        rows = float(confusion.sum())
        for share, count, margin in zip(SHARES, COUNTS, (confusion.sum(dim=1), confusion.sum(dim=0)), strict=True):
            for label, number in zip(self.labels, margin.tolist(), strict=True):
                values[f"{share}/{label}"] = number / rows if rows else math.nan
                values[f"{count}/{label}"] = float(number)
                counts[f"{share}/{label}"] = (float(number), rows)
        return {name: values[name] for name in self.names}, counts

    def _value(self, name: str, metric: Metric, confusion: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Value, and numerator and denominator of a rate: one number, or one for each class `[K]`."""
        average = getattr(metric, "average", None)
        if is_rate(metric):
            numerator, denominator = fraction(metric)
            rate = averaged(metric, numerator, denominator, confusion.sum(dim=1))
            if average == "macro" and isinstance(metric, MulticlassFBetaScore):
                classes = (denominator > 0).sum()
                return rate, (rate.nan_to_num() * classes, classes)
            return rate, None if average in ("macro", "weighted") else (numerator, denominator)
        shape = (len(self.labels),) if is_per_class(metric) else ()
        missing = (undefined(metric, confusion, self.positive) | (confusion.sum() == 0)).expand(shape)
        if missing.all():
            return torch.full(shape, math.nan), None
        with warnings.catch_warnings():
            # Said of an absent class: its value is NaN here, or (weighted averages) does not enter.
            warnings.filterwarnings("ignore", message="No (positive|negative) samples|Average precision score")
            value = torch.as_tensor(metric.compute()).detach().cpu().double()
        if value.shape != shape:
            raise UsageError(f"metric {name!r} gives shape {list(value.shape)}; only one number, or one for each class")
        return torch.where(missing, math.nan, value), None

    def _feed_pending_rows(self) -> None:
        if not self._pending:
            return
        device = self._confusion.device
        probabilities, target = (torch.cat(parts).to(device) for parts in zip(*self._pending, strict=True))
        self._pending.clear()
        soft = target.is_floating_point()
        known = torch.isfinite(target.sum(-1)) & (target.sum(-1) > 0) if soft else target != UNLABELLED
        probabilities, target = probabilities[known], target[known]
        if not len(target):
            return
        _check_rows(probabilities, target, len(self.labels))
        # torchmetrics takes a batch for logits as soon as one value leaves [0, 1], be it by a rounding error.
        probabilities = (probabilities if probabilities.dtype == torch.float64 else probabilities.float()).clamp(0, 1)
        index = target.argmax(dim=-1) if soft else target
        self._confusion.update(probabilities, index)
        for _, metric in self._items():
            given = probabilities.clamp(max=BELOW_ONE) if isinstance(metric, CALIBRATION_ERRORS) else probabilities
            if isinstance(metric, BINARY):
                metric.update(given[:, self.positive], (index == self.positive).long())
            else:
                metric.update(given, target if isinstance(metric, RowMean) else index)


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


def _check_rows(probabilities: Tensor, target: Tensor, classes: int) -> None:
    if probabilities.shape[-1] != classes:
        raise DataError(f"{probabilities.shape[-1]} probabilities per row for {classes} classes")
    broken = int((~torch.isfinite(probabilities)).any(dim=-1).sum())
    if broken:
        raise DivergedError(f"the probabilities of {broken} of {len(target)} rows are not finite: the model diverged")
    # bfloat16 probabilities of many classes miss 1 by up to a percent.
    if bool((probabilities < -1e-3).any()) or bool(((probabilities.float().sum(dim=-1) - 1).abs() > 0.02).any()):
        raise DataError("metrics need probabilities that sum to 1 in each row: pass loss.predict(logits), not logits")
    if not target.is_floating_point() and not bool(((target >= 0) & (target < classes)).all()):
        raise DataError(
            f"targets from {int(target.min())} to {int(target.max())} for {classes} classes (0 is the first)"
        )
