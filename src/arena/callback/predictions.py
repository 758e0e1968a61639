"""`predictions/<split>.parquet`: predicted values of every row, the one source of every table and plot."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.files import replacing
from arena.core.heads import LOG_PROBABILITY, LOSS, PROBABILITY, Heads, Labels
from arena.core.schema import OutputPath

TRUE_PROBABILITY = "true_probability_"


class PredictionWriter(Callback):
    """Writes the validation predictions of the best weights, and the test predictions.

    Columns: id, `probability_<label>` and its logarithm `log_probability_<label>` (float64) for each class, target
    (label name), loss (nats, the training loss of the row), the row's covariates, and `true_probability_<label>` where
    the truth is known. Several heads have `probability_<head>_<label>` and `target_<head>` each.
    """

    def __init__(self, folder: OutputPath, labels: list[str] | dict[str, list[str]]) -> None:
        self.folder, self.labels = Path(folder), labels

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the predictions of the best weights; this comes before the checkpoint callback notes the best value."""
        if not trainer.sanity_checking and self._is_best(trainer, pl_module.monitor):
            self._write(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module, "test")

    @staticmethod
    def _is_best(trainer: Trainer, monitor: Any) -> bool:
        callback: Any = trainer.checkpoint_callback
        value = trainer.callback_metrics.get(monitor)
        return callback is None or (value is not None and callback.would_improve(float(value)))

    def _write(self, trainer: Trainer, module: Any, split: str) -> None:
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # pyright: ignore
        path = self.folder / f"{split}.parquet"
        covariates, truth = data.covariates(split), data.true_probabilities(split)
        write_predictions(path, module.predictions[split], covariates, self.labels, truth)


def write_predictions(
    path: Path, predictions: Any, covariates: pa.Table, labels: Labels, true_probabilities: np.ndarray | None
) -> Path:
    """Write the predictions file of a split (`arena.task.module.Predictions`) and return its path.

    Without classes (`labels` empty) every output of the loss becomes a column.
    """
    row = predictions.row.numpy()
    outputs = {name: each.numpy() for name, each in predictions.outputs.items()}
    if labels:
        probabilities, target, loss = (outputs[name] for name in ("probabilities", "target", "loss"))
        logs = outputs.get("log_probabilities")
        table = prediction_table(covariates, labels, row, probabilities, target, loss, true_probabilities, logs)
        write_table(path, table)
    else:
        covariates = covariates.take(pa.array(_places(covariates, row)))
        rest = {n: covariates.column(n) for n in covariates.column_names if n not in ("id", "row", *outputs)}
        write_table(path, pa.table({"id": covariates.column("id"), **outputs, **rest}))
    return path


def prediction_table(
    covariates: pa.Table,
    labels: Labels,
    row: np.ndarray,
    probabilities: np.ndarray,
    target: np.ndarray,
    loss: np.ndarray,
    true_probabilities: np.ndarray | None = None,
    log_probabilities: np.ndarray | None = None,
) -> pa.Table:
    """Join predictions to their rows by the column `row` of the covariates.

    Args:
        covariates: id and everything else that describes a row; its column `row` holds positions in the data table.
        labels: names of the K classes, or those of each of T heads, C in all.
        row: positions, `[N]`, increasing.
        probabilities: `[N, K]` or `[N, C]`.
        target: class indices `[N]` (negative: unknown) or probabilities `[N, K]`, whose largest entry names the target;
            of several heads class indices `[N, T]`.
        loss: nats, `[N]`.
        true_probabilities: `[M, K]` or `[M, C]` in the order of `covariates`, or None.
        log_probabilities: as `probabilities`, float64; None: only the probabilities are known.
    """
    take = _places(covariates, row)
    covariates = covariates.take(pa.array(take))
    heads = Heads(labels)
    one = target if target.ndim == 1 else target.argmax(1)
    index = target if heads.named else one[:, None]
    columns: dict[str, Any] = {"id": covariates.column("id")}
    columns |= {PROBABILITY + name: probabilities[:, k] for k, name in enumerate(heads.columns)}
    if log_probabilities is not None:
        columns |= {LOG_PROBABILITY + name: log_probabilities[:, k] for k, name in enumerate(heads.columns)}
    for t, (head, classes) in enumerate(heads.classes.items()):
        named = [classes[i] if i >= 0 else None for i in index[:, t]]
        columns[heads.target_column(head)] = pa.array(named, pa.string())
    columns[LOSS] = loss
    columns |= {name: covariates.column(name) for name in covariates.column_names if name not in ("id", "row")}
    if true_probabilities is not None:
        columns |= {TRUE_PROBABILITY + name: true_probabilities[take, k] for k, name in enumerate(heads.columns)}
    return pa.table(columns)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file in one step: a reader sees the old or the new one."""
    with replacing(path) as partial:
        pq.write_table(table, partial)


def _places(covariates: pa.Table, row: np.ndarray) -> np.ndarray:
    order = {int(position): i for i, position in enumerate(covariates.column("row").to_pylist())}
    return np.array([order[int(position)] for position in row], dtype=np.int64)
