"""The model before its first step as a reference: what training added, and what was there already."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from arena.callback.predictions import write_predictions
from arena.core.files import read_parquet
from arena.core.heads import PROBABILITY, Heads
from arena.core.run import RunFolder
from arena.evaluation.baselines.evaluation import log_loss_of, splits_of, table_of, write_table

log = logging.getLogger("arena")
NAME = "untrained"


class Untrained:
    """Predictions of the untrained model for the judged splits, kept in `predictions/untrained/`.

    A resumed run reads them there: its model is no longer untrained.

    Args:
        task: the task before its first step.
        trainer: one that only evaluates.
        data: the data module after `setup`.
        run: the run folder.

    Attributes:
        probabilities: of the rows of each split in the order of `data.rows(split)`, `[M, K]`; of a language model the
            log loss of each reply, nats a token, `[M]`.
    """

    def __init__(self, task: Any, trainer: Any, data: Any, run: RunFolder) -> None:
        began = time.time()
        self.probabilities = {}
        for split in splits_of(data):
            path = run.path / "predictions" / NAME / f"{split}.parquet"
            if not path.is_file():
                evaluate = trainer.validate if split == "val" else trainer.test
                evaluate(task, dataloaders=data.evaluation_loader(split), verbose=False)
                self._write(path, data, split, task.predictions[split])
            self.probabilities[split] = self._read(path, data)
        if "val" in self.probabilities and data.labels:
            loss = log_loss_of(data, "val", self.probabilities["val"])
            log.info("untrained: validation log loss %.4f, %.1f s", loss, time.time() - began)

    @staticmethod
    def _write(path: Path, data: Any, split: Any, predictions: Any) -> None:
        if data.labels:
            write_table(path, table_of(data, split, predictions.probabilities.double().numpy()))
        else:
            write_predictions(path, predictions, data.covariates(split), [], None)

    @staticmethod
    def _read(path: Path, data: Any) -> np.ndarray:
        if not data.labels:
            return read_parquet(path, ["log_loss"])["log_loss"].to_numpy().astype(np.float64)
        table = read_parquet(path, [PROBABILITY + column for column in Heads(data.labels).columns])
        return np.stack([column.to_numpy().astype(np.float64) for column in table.columns], axis=1)
