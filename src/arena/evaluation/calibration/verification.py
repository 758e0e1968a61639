"""What a calibration is fitted to and measured on: predictions that are proved to be those of the run's weights."""

from typing import Any

import numpy as np

from arena.config import build, restore
from arena.core.console import say
from arena.core.errors import DataError
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.evaluation.calibration.rows import Array, SplitRows, read_rows

SAME = 1e-4
"""How far a stored probability may be from what the weights say again: another batch, another order of sums."""


def verified(run: RunFolder, settings: build.Settings, heads: Heads) -> tuple[SplitRows, SplitRows | None, Array]:
    """The run's validation and test rows (None for a run without), and the training rows of each class, `[C]`.

    Raises:
        DataError: the weights do not reproduce the recorded validation loss, or the predictions are not theirs.
    """
    task = restore.rebuild(run, settings)
    data = build.data(settings)
    loss = restore.verify(run, settings, task, build.evaluation_trainer(settings, run, limited=True), data, way_on="")
    say(f"the model reproduces the recorded validation loss: {loss:.7f}")
    val = read_rows(run.predictions("val"), heads)
    check_validation(run, val, task.predictions["val"], data.covariates("val"))
    recorded = (run.read_result().get("test") or {}).get("loss", {}).get("value")
    if recorded is None:
        return val, None, data.class_counts("train")
    test = read_rows(run.predictions("test"), heads)
    if not abs(test.loss - recorded) <= restore.TOLERANCE:
        raise DataError(
            f"{run.predictions('test')}: its mean loss is {test.loss:.7f}, the run recorded {recorded:.7f}; these are "
            "not the predictions of that run"
        )
    return val, test, data.class_counts("train")


def check_validation(run: RunFolder, val: SplitRows, predictions: Any, covariates: Any) -> None:
    """Insist that the validation file says what the weights say.

    Args:
        run: the run.
        val: what the file says.
        predictions: what the weights just said.
        covariates: `id` and `row` of the validation rows.

    Raises:
        DataError: other rows, or probabilities that differ by more than `SAME`.
    """
    names = dict(zip(covariates.column("row").to_pylist(), covariates.column("id").to_pylist(), strict=True))
    said = {str(names[int(row)]): i for i, row in enumerate(predictions.row)}
    if len(said) != len(val.ids) or set(said) != set(val.ids):
        raise DataError(f"{run.predictions('val')}: it has other rows than the run's validation split")
    order = [said[name] for name in val.ids]
    apart = float(np.abs(predictions.probabilities.double().numpy()[order] - val.probabilities).max())
    if not apart <= SAME:
        raise DataError(
            f"{run.predictions('val')}: its probabilities are up to {apart:.4f} from what the weights say; these are "
            "not the predictions of that run"
        )
