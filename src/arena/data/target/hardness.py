"""How hard each row was for a baseline, from a file of its predictions."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from arena.data.split.provenance import IN_SAMPLE
from arena.data.target.predictions_file import PREFIXES, PredictionsFile
from arena.stats.scores import logarithm

NEEDS = (
    "it needs the columns id and loss, or id and one probability for each class (probability_<class>, winner_<class>)"
)


def row_losses(path: str | Path, ids: list[str], winners: list[str]) -> np.ndarray:
    """What a baseline lost on each row, nats, `[M]`.

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
    return np.array([_loss(file, name, row, winner) for name, row, winner in zip(ids, rows, winners, strict=True)])


def _loss(file: PredictionsFile, name: str, row: dict[str, Any], winner: str) -> float:
    try:
        if row.get("loss") is not None:
            loss = float(row["loss"])
        else:
            probability = next(float(row[prefix + winner]) for prefix in PREFIXES if prefix + winner in row)
            loss = -float(logarithm(probability))
    except StopIteration:
        raise file.error(f"{NEEDS}; there is none for the class {winner}") from None
    except (TypeError, ValueError):
        raise file.error(f"the prediction of id {name} is not a number") from None
    if not math.isfinite(loss):
        raise file.error(f"the loss of id {name} is {loss}")
    return loss
