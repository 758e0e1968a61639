"""`calibration.json` in a run folder: what `arena.calibrate` found, as `arena.predict` applies it.

Nothing heavy is imported at the top: whether a calibration belongs to these weights is known before numpy is needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.checkpoints import digest
from arena.core.errors import DataError, InputOutputError
from arena.core.heads import Heads, Labels, column
from arena.core.paths import shown
from arena.core.run import RunFolder

if TYPE_CHECKING:
    import numpy as np

NAME = "calibration.json"
PREDICTED = "predicted"


@dataclass(frozen=True)
class HeadCalibration:
    """What is done to the probabilities of one head.

    Attributes:
        method: of the scaling (`arena.evaluation.calibration.scaling.METHODS`).
        weight, bias: of the scaling, `[K]` each.
        decision: what is added to the logarithms of the calibrated probabilities before the largest is called, `[K]`;
            None: the likeliest class is called.
    """

    method: str
    weight: list[float]
    bias: list[float]
    decision: list[float] | None = None


@dataclass(frozen=True)
class Calibration:
    """A calibration of some or all heads of a model.

    Attributes:
        labels: all heads of the model.
        heads: the calibrated ones by their names.
        sha256: of the checkpoint that it was fitted for.
    """

    labels: Heads
    heads: Mapping[str, HeadCalibration]
    sha256: str

    def apply(self, probabilities: "np.ndarray", logs: "np.ndarray | None" = None) -> "np.ndarray":
        """Calibrated probabilities `[N, C]` float64, those of each head summing to one; of heads without a calibration
        as they are.

        Args:
            probabilities: `[N, C]`, heads side by side in the order of `labels`.
            logs: their logarithms, where these are known better than by `probabilities`.
        """
        import numpy as np

        from arena.evaluation.calibration.scaling import Scaling
        from arena.stats.scores import logarithm

        found = np.array(probabilities, dtype=np.float64)
        z = logarithm(found) if logs is None else logs
        for name, head in self.heads.items():
            where = self.labels.slices[name]
            found[:, where] = Scaling(head.method, head.weight, head.bias).of_logits(z[:, where])
        return found

    def decide(self, probabilities: "np.ndarray") -> dict[str, list[str]]:
        """The class that each row is given, by column (`predicted_<head>`), for the heads with a decision rule.

        Args:
            probabilities: calibrated, `[N, C]`.
        """
        from arena.evaluation.calibration.decision import decide

        found = {}
        for name, head in self.heads.items():
            if head.decision is not None:
                classes = self.labels.classes[name]
                chosen = decide(probabilities[:, self.labels.slices[name]], head.decision)
                found[column(PREDICTED, name)] = [classes[k] for k in chosen]
        return found

    def __str__(self) -> str:
        return ", ".join(f"{name} by {said(head)}" if name else f"by {said(head)}" for name, head in self.heads.items())


def said(head: HeadCalibration) -> str:
    """The scaling in a few words."""
    return f"temperature {1 / head.weight[0]:.4f}" if head.method == "temperature" else f"{head.method} scaling"


def read(run: RunFolder, labels: Labels, checkpoint: Path) -> Calibration | None:
    """The calibration of a run; None where it has none.

    Args:
        run: its folder.
        labels: its classes.
        checkpoint: the weights in use.

    Raises:
        InputOutputError: the file is damaged.
        DataError: it belongs to other weights or other classes.
    """
    path = run.path / NAME
    if not path.is_file():
        return None
    way = f"calibrate again (python -m arena.calibrate run={shown(run.path)}) or give calibrated=false"
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
