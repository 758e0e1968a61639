"""The model before its first step as a reference: what training added, and what was there already."""

import logging
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from arena.heads import PROBABILITY, Heads
from arena.reference.evaluation import losses_of, splits_of, table_of, write_table
from arena.run import RunFolder

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
        probabilities: of the rows of each split in the order of `data.rows(split)`, `[M, K]`.
    """

    def __init__(self, task: Any, trainer: Any, data: Any, run: RunFolder) -> None:
        began = time.time()
        self.probabilities = {}
        for split in splits_of(data):
            path = run.path / "predictions" / NAME / f"{split}.parquet"
            if not path.is_file():
                evaluate = trainer.validate if split == "val" else trainer.test
                evaluate(task, dataloaders=data.evaluation_loader(split), verbose=False)
                write_table(path, table_of(data, split, task.predictions[split].probabilities.double().numpy()))
            table = pq.read_table(path, columns=[PROBABILITY + column for column in Heads(data.labels).columns])
            columns = [column.to_numpy().astype(np.float64) for column in table.columns]
            self.probabilities[split] = np.stack(columns, axis=1)
        if "val" in self.probabilities:
            loss = losses_of(data, "val", self.probabilities["val"]).mean()
            log.info("untrained: validation log loss %.4f, %.1f s", loss, time.time() - began)
