"""Options of a calibration."""

from dataclasses import dataclass
from typing import Literal

from arena.config.options import option
from arena.core.schema import Count, WholeNumber


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """The calibration itself takes:"""

    method: Literal["temperature", "vector", "bias", "auto"] = option(
        "temperature: softmax(z / T), one number; keeps every prediction\n"
        "vector: softmax(w * z + b), 2K numbers, on the logarithms of the probabilities\n"
        "bias: softmax(z + b), for a model trained on other shares of the classes than it meets\n"
        "auto: vector where the rarest class has 200 validation rows and its log loss is shown to be lower, otherwise "
        "temperature",
        default="temperature",
    )
    decision: Literal["none", "bias", "thresholds"] = option(
        "none: the likeliest class is predicted\n"
        "bias: argmax(log p + b), tuned for macro-F1 of all classes together\n"
        "thresholds: argmax(p / t), each t tuned for the F1 of its class against the others",
        default="none",
    )
    heads: list[str] | None = option("heads to calibrate: [HEAD,HEAD]; null for all", default=None)
    bins: Count = option("of the calibration errors and the diagram", default=15)
    resamples: WholeNumber = option(
        "bootstrap resamples behind each interval; the change of a calibration error has none", default=200
    )
    seed: WholeNumber = option("of the bootstrap and the folds", default=0)
