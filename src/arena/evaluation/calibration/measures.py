"""What a calibration is judged by, of one head.

Shape legend: N rows, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from arena.stats.calibration import (
    Gaps,
    calibration_error,
    classwise_error,
    classwise_gaps,
    equal_mass,
    equal_width,
    top,
)
from arena.stats.classification import macro_f1
from arena.stats.scores import brier_score, log_loss

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
    """Compute the values of `MEASURES`; NaN without rows.

    Args:
        probabilities: `[N, K]`.
        predicted: class that each row is given, `[N]`.
        target: class indices, `[N]`.
        bins: number of bins of the calibration errors.
    """
    if not len(target):
        return np.full(len(MEASURES), np.nan)
    confidence, right = top(probabilities, target)
    return np.array(
        [
            log_loss(probabilities, target).mean(),
            brier_score(probabilities, target).mean(),
            calibration_error(confidence, right, equal_width(confidence, bins)),
            calibration_error(confidence, right, equal_mass(confidence, bins)),
            classwise_error(probabilities, target, bins),
            (predicted == target).mean(),
            macro_f1(predicted, target, probabilities.shape[1]),
        ]
    )


def gaps(probabilities: Array, target: Classes, bins: int, group: Classes, drawn: Classes) -> dict[str, Gaps]:
    """Compute the gaps of each of `CALIBRATION_ERRORS`; arguments as in `measure` and `Gaps.of`."""
    confidence, right = top(probabilities, target)
    found = [
        Gaps.of(confidence, right, equal_width(confidence, bins), group, drawn),
        Gaps.of(confidence, right, equal_mass(confidence, bins), group, drawn),
        classwise_gaps(probabilities, target, bins, group, drawn),
    ]
    return dict(zip(CALIBRATION_ERRORS, found, strict=True))
