"""The rows of a split as metrics need them: checked, on the host, and counted by target and prediction."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from arena.core.errors import DataError, DivergedError
from arena.core.shapes import Float, Target
from arena.core.types import UNLABELLED

Array = NDArray[np.float64]


class Rows:
    """The rows with a target, on the host, and their weights in each of R resamples.

    Attributes:
        tensors: Probabilities `[N, K]` and targets; `probabilities` is an array of the first.
        index: Class of each row, `[N]`; of a soft target its largest class (the first of equals).
        weights: `[R, N]`.
        confusion: Rows by target and predicted class, `[R, K, K]`; `support` has those of each class, `[R, K]`.
    """

    def __init__(self, probabilities: Float[Tensor, "N K"], target: Target, weights: Array, classes: int) -> None:
        probabilities, target = probabilities.cpu(), target.cpu()
        soft = target.is_floating_point()
        known = torch.isfinite(target.sum(-1)) & (target.sum(-1) > 0) if soft else target != UNLABELLED
        probabilities, target = probabilities[known], target[known]
        if len(target):
            _check_rows(probabilities, target, classes)
        # torchmetrics takes a batch for logits as soon as one value leaves [0, 1], be it by a rounding error.
        exact = probabilities if probabilities.dtype == torch.float64 else probabilities.float()
        self.tensors = exact.clamp(0, 1), target
        self.probabilities: NDArray = self.tensors[0].numpy()
        self.index: NDArray[np.int64] = (target.argmax(dim=-1) if soft else target).numpy()
        self.weights = weights[:, known.numpy()]
        self.confusion = confusion_of(self.index, self.probabilities.argmax(axis=1), classes, self.weights)
        self.support = self.confusion.sum(axis=2)

    def of_binary(self, metric: Metric, positive: int | None) -> Array:
        """Count rows by target and prediction of one class against the rest, `[R, 2, 2]`."""
        assert positive is not None, metric
        predicted = self.probabilities[:, positive] > getattr(metric, "threshold", 0.5)
        return confusion_of((self.index == positive).astype(np.int64), predicted, 2, self.weights)


def confusion_of(target: NDArray[np.int64], predicted: NDArray, classes: int, weights: Array) -> Array:
    """Count rows by target and prediction, `[R, K, K]`, from class indices `[N]` and weights `[R, N]`."""
    cell = target * classes + predicted
    counts = np.array([np.bincount(cell, each, classes**2) for each in weights], dtype=np.float64)
    return counts.reshape(-1, classes, classes)


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
