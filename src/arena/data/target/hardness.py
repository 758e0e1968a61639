"""Hardness of rows: a baseline's loss on each, from a file of its predictions."""

import math
from pathlib import Path

import numpy as np

from arena.data.split.provenance import IN_SAMPLE
from arena.data.target.predictions_file import PREFIXES, PredictionsFile
from arena.stats.scores import logarithm

NEEDS = (
    "it needs the columns id and loss, or id and one probability for each class (probability_<class>, winner_<class>)"
)


def row_losses(path: str | Path, ids: list[str], winners: list[str]) -> np.ndarray:
    """Loss of a baseline on each of M rows, nats, `[M]`.

    Args:
        path: csv, jsonl or parquet, as `arena.predict` and the run folder's `predictions/` hold it.
        ids: of the rows, `[M]`.
        winners: their classes, `[M]`.

    Raises:
        InputOutputError: there is no such file.
        DataError: wrong columns, a row without a prediction or predicted in sample, or a number that is none.
    """
    file = PredictionsFile(path, "data.hardness", NEEDS)
    wanted = [name for name in file.columns if name == "loss" or name.startswith(PREFIXES)]
    rows = file.rows(ids, [*wanted, IN_SAMPLE], "training rows")
    file.check_training(dict(zip(ids, rows, strict=True)), ids)
    losses = np.empty(len(ids))
    for place, (name, row, winner) in enumerate(zip(ids, rows, winners, strict=True)):
        column = next((prefix + winner for prefix in PREFIXES if prefix + winner in row), None)
        try:
            if row.get("loss") is not None:
                losses[place] = float(row["loss"])
            elif column is None:
                raise file.error(f"{NEEDS}; there is none for the class {winner}")
            else:
                losses[place] = -logarithm(float(row[column]))
        except (TypeError, ValueError):
            raise file.error(f"the prediction of id {name} is not a number") from None
        if not math.isfinite(losses[place]):
            raise file.error(f"the loss of id {name} is {losses[place]}")
    return losses
