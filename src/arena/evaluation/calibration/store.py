"""`calibration.json` in a run folder, written by `arena.calibrate` and applied by `arena.predict`.

Nothing heavy is imported at the top: a calibration of other weights is refused before numpy is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.checkpoints import digest
from arena.core.errors import DataError, InputOutputError
from arena.core.heads import Heads, Labels, column
from arena.core.paths import quote_path
from arena.core.run import RunFolder

if TYPE_CHECKING:
    import numpy as np

NAME = "calibration.json"
PREDICTED = "predicted"


@dataclass(frozen=True)
class HeadCalibration:
    r"""Calibration of one head, $p = \mathrm{softmax}(w \odot z + b)$, and its decision rule.

    Attributes:
        method: one of `arena.evaluation.calibration.scaling.METHODS`.
        weight, bias: $w$ (with temperature scaling each is $1 / T$) and $b$ (of mean 0), `[K]` each.
        decision: added to the logarithms of the calibrated probabilities before the largest is called, `[K]`; None: the
            likeliest class is called.
    """

    method: str
    weight: list[float]
    bias: list[float]
    decision: list[float] | None = None

    @property
    def temperature(self) -> float:
        """$T$ of temperature scaling, 1 of bias scaling, NaN of vector scaling."""
        return 1 / self.weight[0] if self.method != "vector" else float("nan")

    def logarithms(self, z: "np.ndarray") -> "np.ndarray":
        """Logarithms of the calibrated probabilities, `[N, K]`, of logits or log probabilities $z$."""
        from scipy.special import log_softmax

        return log_softmax(z * self.weight + self.bias, axis=1)

    def probabilities(self, z: "np.ndarray") -> "np.ndarray":
        """Calibrated probabilities of logits or log probabilities, `[N, K]`."""
        import numpy as np

        return np.exp(self.logarithms(z))

    def __str__(self) -> str:
        scaled = self.method == "temperature"
        return f"temperature {self.temperature:.4f}" if scaled else f"{self.method} scaling"


@dataclass(frozen=True)
class Calibration:
    """A calibration of some or all heads of the model whose checkpoint has this hash."""

    labels: Heads
    heads: Mapping[str, HeadCalibration]
    sha256: str

    def apply(self, probabilities: "np.ndarray", logs: "np.ndarray | None" = None) -> "np.ndarray":
        """Calibrate probabilities `[N, C]`, heads side by side; those of heads without a calibration stay.

        `logs` are their logarithms, where these are known better than by `probabilities`.
        """
        import numpy as np

        from arena.stats.scores import logarithm

        found = np.array(probabilities, dtype=np.float64)
        z = logarithm(found) if logs is None else logs
        for name, head in self.heads.items():
            where = self.labels.slices[name]
            found[:, where] = head.probabilities(z[:, where])
        return found

    def decide(self, probabilities: "np.ndarray") -> dict[str, list[str]]:
        """Decide the class of each row by column (`predicted_<head>`) from calibrated probabilities `[N, C]`, for the
        heads with a decision rule."""
        from arena.evaluation.calibration.decision import decide

        found = {}
        for name, head in self.heads.items():
            if head.decision is not None:
                classes = self.labels.classes[name]
                chosen = decide(probabilities[:, self.labels.slices[name]], head.decision)
                found[column(PREDICTED, name)] = [classes[k] for k in chosen]
        return found

    def __str__(self) -> str:
        return ", ".join(f"{name} by {head}" if name else f"by {head}" for name, head in self.heads.items())


def read(run: RunFolder, labels: Labels, checkpoint: Path) -> Calibration | None:
    """Read the calibration of a run with these classes and the weights in use; None where it has none.

    An `InputOutputError` where the file is damaged, a `DataError` where it belongs to other weights or classes.
    """
    path = run.path / NAME
    if not path.is_file():
        return None
    way = f"calibrate again (python -m arena.calibrate run={quote_path(run.path)}) or give calibrated=false"
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        heads = {
            name: HeadCalibration(**{key: each[key] for key in ("method", "weight", "bias", "decision")})
            for name, each in known["heads"].items()
        }
        found = Calibration(Heads(known["labels"]), heads, known["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputOutputError(f"{path}: damaged ({type(error).__name__}: {error}); {way}") from error
    if found.labels.classes != Heads(labels).classes or not set(heads) <= set(found.labels.classes):
        raise DataError(f"{path}: it is for other classes ({', '.join(found.labels.columns)}) than the run has; {way}")
    if found.sha256 != digest(checkpoint):
        raise DataError(f"{path}: it was fitted for other weights than {checkpoint}; {way}")
    return found
