"""Metrics of several classifications of the same rows: of each head, and their means."""

import copy
import inspect
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.schema import closest
from arena.core.shapes import Int
from arena.core.types import UNLABELLED
from arena.metric.collection import BINARY, Metrics, Pairs
from arena.metric.rows import Array
from arena.stats.calibration import Gaps
from arena.stats.intervals import quotient

WEIGHTED = "weighted"
"""Before the name of a mean that counts each head by its rows."""


class HeadMetrics(Metrics):
    """Named metrics of T heads.

    A head's values are called `<head>/<name>` and `<head>/<name>/<label>`, see `arena.metric.collection.Metrics`. Rows
    that have no label of a head are left out of it. Each metric with one value for a head also gives two means over the
    heads: `<name>`, in which every head counts the same, and `weighted/<name>`, in which it counts by its labelled
    rows.

    A head without any labelled row in the split is in neither mean: which heads these are does not change from one
    validation to the next. Where a head that has rows is undefined (AUROC if a class has no row), both means are NaN: a
    mean over whichever heads happen to be defined could not be compared between two epochs.

    `metrics` make a metric of one head (`_partial_: true`), called with `num_classes` where they take that; a finished
    metric is copied for each head.
    """

    def __init__(self, labels: dict[str, list[str]], metrics: dict[str, Any]) -> None:
        self.heads = Heads(labels)
        super().__init__(self.heads.columns, {})
        self.labels = self.heads.classes
        self._parts = nn.ModuleList(
            Metrics(classes, {name: _metric(name, make, len(classes)) for name, make in metrics.items()})
            for classes in self.labels.values()
        )
        self._averaged = [name for name in self.of_heads()[self.heads.names[0]].names if "/" not in name]

    @property
    def names(self) -> list[str]:
        """The names of all values, in the order of `compute`: means first."""
        means = [*self._averaged, *(f"{WEIGHTED}/{name}" for name in self._averaged)]
        return means + [f"{head}/{name}" for head, part in self.of_heads().items() for name in part.names]

    @property
    def without_interval(self) -> list[str]:
        """The names of the values that resampling gives no interval, see `Metrics.without_interval`."""
        names = next(iter(self.of_heads().values())).without_interval
        return [*names, *(f"{start}/{name}" for start in (WEIGHTED, *self.heads.names) for name in names)]

    def of_heads(self) -> dict[str, Metrics]:
        """Return the metrics of each head by its name."""
        parts = [part for part in self._parts if isinstance(part, Metrics)]
        return dict(zip(self.heads.names, parts, strict=True))

    def higher_is_better(self, name: str) -> bool | None:
        if name not in self.names:
            raise UsageError(f"no metric {name!r}{closest(name, self.names)}")
        head, _, rest = name.partition("/")
        if name in self._averaged or head == WEIGHTED:
            head, rest = self.heads.names[0], rest or name
        return self.of_heads()[head].higher_is_better(rest)

    def calibration_gaps(
        self, probabilities: np.ndarray, target: np.ndarray, group: np.ndarray, drawn: np.ndarray
    ) -> dict[str, Gaps]:
        """Compute the gaps of the heads and of their means, see `Metrics.calibration_gaps`; `[N, C]` and `[N, T]`."""
        found: dict[str, Gaps] = {}
        own, rows = [], []
        for head, part, *columns in self._split(probabilities, target):
            gaps = part.calibration_gaps(*columns, group, drawn)
            found |= {f"{head}/{name}": each for name, each in gaps.items()}
            if gaps:
                own.append(gaps)
                rows.append((columns[1] != UNLABELLED).sum())
        for name in own[0] if own else ():
            each = [gaps[name] for gaps in own]
            found[name] = Gaps.mean(each, np.ones(len(each)))
            found[f"{WEIGHTED}/{name}"] = Gaps.mean(each, np.array(rows))
        return found

    def groups(self, target: np.ndarray, member: np.ndarray) -> dict[str, int]:
        """Count the groups of each value: with a label of the head; of a mean the fewest of a head, or, where heads
        count by their rows, with any label."""
        known = target != UNLABELLED
        own = {head: len(np.unique(member[known[:, t]])) for t, head in enumerate(self.heads.names)}
        fewest = min((each for each in own.values() if each), default=0)
        own[WEIGHTED] = len(np.unique(member[known.any(axis=1)]))
        return {name: own.get(name.partition("/")[0], fewest) for name in self.names}

    def measure(
        self, probabilities: Tensor, target: Int[Tensor, "N T"], weights: Array, left_out: Collection[str] = ()
    ) -> tuple[dict[str, Array], Pairs]:
        values: dict[str, dict[str, Array]] = {}
        counts: Pairs = {}
        for head, part, *columns in self._split(probabilities, target):
            values[head], own = part.measure(*columns, weights, left_out)
            counts |= {f"{head}/{name}": pair for name, pair in own.items()}
        known = (target != UNLABELLED).numpy(force=True)
        means = self._means(values, known.T @ weights.T, np.atleast_1d(known.any(axis=0)))
        return means | {f"{head}/{name}": value for head, own in values.items() for name, value in own.items()}, counts

    def _split(self, probabilities: Any, target: Any) -> Iterator[Any]:
        """Yield the name of each head, its metrics, probabilities `[N, K]` and targets `[N]`."""
        for t, (head, part) in enumerate(self.of_heads().items()):
            yield head, part, probabilities[:, self.heads.slices[head]], target[:, t]

    def _no_rows(self) -> tuple[Tensor, Tensor]:
        return torch.empty(0, self.heads.width), torch.empty(0, len(self.heads), dtype=torch.int64)

    def _means(self, values: dict[str, dict[str, Array]], rows: Array, labelled: np.ndarray) -> dict[str, Array]:
        """Average every metric over heads in both ways."""
        plain, weighted = {}, {}
        for name in self._averaged:
            each = np.array([values[head][name] for head in self.heads.names])
            plain[name] = each[labelled].mean(axis=0) if labelled.any() else np.full(rows.shape[1:], np.nan)
            total = np.multiply(rows, each, out=np.zeros_like(each), where=rows > 0).sum(axis=0)
            weighted[f"{WEIGHTED}/{name}"] = quotient(total, rows.sum(axis=0))
        return plain | weighted


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
