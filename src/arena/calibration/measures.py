"""How far probabilities are from what happens.

Shape legend: N rows, K classes, B bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.calibration.scaling import CLIP
from arena.stats.classification import macro_f1

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
CALIBRATION_ERRORS = ("calibration_error", "calibration_error_equal_mass", "calibration_error_classwise")
MEASURES = (
    "log_loss",
    "brier_score",
    *CALIBRATION_ERRORS,
    "accuracy",
    "macro_f1",
)


def measure(probabilities: Array, predicted: Classes, target: Classes, bins: int) -> Array:
    """The values of `MEASURES`; NaN without rows.

    Args:
        probabilities: `[N, K]`.
        predicted: class that each row is given, `[N]`.
        target: class indices, `[N]`.
        bins: of the calibration errors.
    """
    if not len(target):
        return np.full(len(MEASURES), np.nan)
    confidence, right = top(probabilities, target)
    return np.array(
        [
            row_log_loss(probabilities, target).mean(),
            row_brier_score(probabilities, target).mean(),
            calibration_error(confidence, right, equal_width(confidence, bins)),
            calibration_error(confidence, right, equal_mass(confidence, bins)),
            classwise_error(probabilities, target, bins),
            (predicted == target).mean(),
            macro_f1(predicted, target, probabilities.shape[1]),
        ]
    )


def row_log_loss(probabilities: Array, target: Classes) -> Array:
    """-log p of the target of each row in nats, `[N]`; p clipped from below at `CLIP`."""
    return -np.log(np.clip(probabilities[np.arange(len(target)), target], CLIP, 1))


def row_brier_score(probabilities: Array, target: Classes) -> Array:
    r"""$\sum_c (p_c - [t = c])^2$ of each row, `[N]`, between 0 and 2 (Brier 1950)."""
    return ((probabilities - np.eye(probabilities.shape[1])[target]) ** 2).sum(axis=1)


def top(probabilities: Array, target: Classes) -> tuple[Array, NDArray[np.bool_]]:
    """The largest probability of each row and whether its class is the target, `[N]` each."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == target


def equal_width(confidence: Array, bins: int) -> Classes:
    """Bin of each row, `[N]`: `bins` of the same width from 0 to 1, lower edges included, as in torchmetrics."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="right")


def equal_mass(confidence: Array, bins: int) -> Classes:
    """Bin of each row, `[N]`: `bins` with the same number of rows, up to one row. Rows of one confidence stay in one
    bin, so that the order of the rows does not matter; there are fewer bins then."""
    ordered = np.sort(confidence)
    starts = [part[0] for part in np.array_split(ordered, bins) if len(part)]
    return np.searchsorted(np.unique(starts)[1:], confidence, side="right")


def calibration_error(confidence: Array, right: NDArray[np.bool_], member: Classes) -> float:
    r"""$\sum_b \frac{|B_b|}{N} |\mathrm{accuracy}_b - \mathrm{confidence}_b|$, a share from 0 to 1.

    It is never below 0, so noise only adds to it: a calibrated model has a positive error on few rows.

    Sources: Naeini, Cooper and Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (bins
    of equal width); Nixon et al. 2019, "Measuring Calibration in Deep Learning" (of equal mass).

    Args:
        confidence: probability of what is predicted, `[N]`.
        right: whether it happened, `[N]`.
        member: bin of each row, `[N]`.
    """
    return float(np.abs(np.bincount(member, weights=right - confidence)).sum() / len(confidence))


def classwise_error(probabilities: Array, target: Classes, bins: int) -> float:
    """Mean over the classes of the calibration error of that class's probability, bins of equal width (Kull et al.
    2019): the one of the three that sees a class which is never the likeliest."""
    errors = [
        calibration_error(column, target == k, equal_width(column, bins)) for k, column in enumerate(probabilities.T)
    ]
    return float(np.mean(errors))


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: how often what is predicted comes true, over how sure the model is.

    Attributes:
        confidence: mean confidence of each bin, `[B]`.
        accuracy: share of its rows that are right, `[B]`.
        rows: rows of it, `[B]`.
        low, high: Wilson's 95% interval of the accuracy, `[B]` each; it takes rows as independent.
    """

    confidence: Array
    accuracy: Array
    rows: Classes
    low: Array
    high: Array


def reliability(confidence: Array, right: NDArray[np.bool_], bins: int) -> Bins:
    """Bins of equal mass for the diagram.

    Args:
        confidence: `[N]`.
        right: `[N]`.
        bins: how many.
    """
    from arena.metric.interval import wilson

    member = equal_mass(confidence, bins)
    rows = np.bincount(member)
    hits = np.bincount(member, weights=right)
    ends = np.array([wilson(hit, n) for hit, n in zip(hits, rows, strict=True)]).reshape(-1, 2)
    return Bins(np.bincount(member, weights=confidence) / rows, hits / rows, rows, ends[:, 0], ends[:, 1])
