"""The metrics of several classifications of the same rows: of each head, and their means."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from torch import Tensor, nn
from torchmetrics import Metric

from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.schema import closest
from arena.core.types import UNLABELLED
from arena.metric.collection import BINARY, Metrics
from arena.stats.intervals import quotient

WEIGHTED = "weighted"
"""Before the name of a mean that counts each head by its rows."""


class HeadMetrics(nn.Module):
    """Named metrics of T heads for one split; every value is a host float under a flat name.

    A head's values are called `<head>/<name>` and `<head>/<name>/<label>`, see `arena.metric.collection.Metrics`, of
    which there is one for each head. Rows that have no label of a head are left out of it. Each metric with one value
    for a head also gives two means over the heads: `<name>`, in which every head counts the same, and
    `weighted/<name>`, in which it counts by its labelled rows.

    A head without any labelled row in the split is in neither mean: which heads these are does not change from one
    validation to the next. Where a head that has rows is undefined (AUROC if a class has no row), both means are NaN: a
    mean over whichever heads happen to be defined could not be compared between two epochs. Log loss and Brier score
    are always defined: watch one of those.

    Args:
        labels: classes of each head.
        metrics: by name, what makes a metric of one head (`_partial_: true` in a configuration): it is called with
            `num_classes` where it takes that. A finished metric that does not is copied for each head.

    Raises:
        UsageError: heads that cannot be (`arena.core.heads.Heads`), a binary metric, or a name that is taken.
    """

    required_outputs = ("probabilities", "target")

    def __init__(self, labels: dict[str, list[str]], metrics: dict[str, Any]) -> None:
        super().__init__()
        self.heads = Heads(labels)
        self.labels = self.heads.classes
        self.parts = nn.ModuleList(
            Metrics(classes, {name: _metric(name, make, len(classes)) for name, make in metrics.items()})
            for classes in self.labels.values()
        )
        first = self._part(self.heads.names[0])
        self.averaged = [name for name in first.names if "/" not in name]
        """The metrics that have a mean."""

    @property
    def names(self) -> list[str]:
        """The names of all values, in the order of `compute`: means first."""
        means = [*self.averaged, *(f"{WEIGHTED}/{name}" for name in self.averaged)]
        return means + [f"{head}/{name}" for head in self.heads.names for name in self._part(head).names]

    @property
    def without_interval(self) -> list[str]:
        """The names of the values that resampling gives no interval, see `Metrics.without_interval`."""
        names = self._part(self.heads.names[0]).without_interval
        return [
            f"{start}{name}" for start in ("", f"{WEIGHTED}/", *(f"{h}/" for h in self.heads.names)) for name in names
        ]

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add rows.

        Args:
            probabilities: `[N, C]`, the heads side by side, each summing to 1.
            target: class index within each head, `[N, T]`; `UNLABELLED` where a head has none.
        """
        for t, (head, where) in enumerate(self.heads.slices.items()):
            self._part(head).update(probabilities[:, where], target[:, t])

    def compute(self) -> dict[str, float]:
        """Every value by name; what is undefined is NaN.

        Raises:
            DataError, DivergedError: as `Metrics.compute`.
        """
        values = {head: self._part(head).compute() for head in self.heads.names}
        rows = np.array([_rows(values[head]) for head in values])
        means = {name: float(value) for name, value in self._means(values, rows, rows > 0).items()}
        return means | {f"{head}/{name}": value for head, each in values.items() for name, value in each.items()}

    def counts(self) -> dict[str, tuple[float, float]]:
        """Numerator and denominator of every rate and share of a head by name; means have none."""
        found = ((head, self._part(head).counts()) for head in self.heads.names)
        return {f"{head}/{name}": pair for head, counts in found for name, pair in counts.items()}

    def of_heads(self) -> dict[str, Metrics]:
        """Return the metrics of each head by its name."""
        return {head: self._part(head) for head in self.heads.names}

    def resampled(self, probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Compute every value by name for each resample of the rows, `[R]`: see `Metrics.resampled`.

        Args:
            probabilities, target: as in `update`, on the host.
            weights: how often each row is in each resample, `[R, N]`.
        """
        values, rows, labelled = {}, [], []
        for t, (head, where) in enumerate(self.heads.slices.items()):
            known = target[:, t] != UNLABELLED
            values[head] = self._part(head).resampled(probabilities[:, where], target[:, t], weights)
            rows.append(weights[:, known].sum(axis=1).astype(np.float64))
            labelled.append(bool(known.any()))
        means = self._means(values, np.array(rows), np.array(labelled))
        return means | {f"{head}/{name}": value for head, each in values.items() for name, value in each.items()}

    def higher_is_better(self, name: str) -> bool | None:
        """Whether larger values of a metric are better, None where neither is.

        Raises:
            UsageError: no metric has this name.
        """
        if name not in self.names:
            raise UsageError(f"no metric {name!r}{closest(name, self.names)}")
        head, _, rest = name.partition("/")
        if name in self.averaged or head == WEIGHTED:
            head, rest = self.heads.names[0], rest or name
        return self._part(head).higher_is_better(rest)

    def reset(self) -> None:
        """Forget all rows."""
        for head in self.heads.names:
            self._part(head).reset()

    def fresh(self) -> Self:
        """An independent copy without rows, for another split."""
        other = copy.deepcopy(self)
        other.reset()
        return other

    def _part(self, head: str) -> Metrics:
        part = self.parts[self.heads.names.index(head)]
        assert isinstance(part, Metrics)
        return part

    def _means(
        self, values: Mapping[str, Mapping[str, Any]], rows: np.ndarray, labelled: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Average every metric over heads in both ways.

        Args:
            values: of each head and metric, `[...]`.
            rows: labelled rows of each head, `[T, ...]`.
            labelled: whether the split has any label of a head, `[T]`; where it has, a resample without one is NaN.
        """
        plain, weighted = {}, {}
        for name in self.averaged:
            each = np.array([np.asarray(values[head][name], dtype=np.float64) for head in self.heads.names])
            plain[name] = each[labelled].mean(axis=0) if labelled.any() else np.full(rows.shape[1:], np.nan)
            total = np.multiply(rows, each, out=np.zeros_like(each), where=rows > 0).sum(axis=0)
            weighted[f"{WEIGHTED}/{name}"] = quotient(total, rows.sum(axis=0))
        return plain | weighted


def _rows(values: Mapping[str, float]) -> float:
    """Labelled rows of a head."""
    return sum(value for name, value in values.items() if name.startswith("count_target/"))


def _metric(name: str, make: Metric | Callable[..., Metric], classes: int) -> Metric:
    if isinstance(make, Metric):
        made = copy.deepcopy(make)
    else:
        known = inspect.signature(make).parameters
        given = getattr(make, "keywords", {})
        made = make(num_classes=classes) if "num_classes" in known and "num_classes" not in given else make()
    if isinstance(made, BINARY):
        raise UsageError(f"metric.metrics.{name} is binary: several heads need its class for K classes (Multiclass...)")
    return made
