"""How hard each row was for a baseline, from a file of its predictions."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from arena.errors import DataError, InputOutputError

PREFIXES = ("probability_", "winner_")
USAGE = (
    "it needs the columns id and loss, or id and one probability for each class (probability_<class>, winner_<class>)"
)


def row_losses(path: str | Path, ids: list[str], winners: list[str]) -> np.ndarray:
    """What a baseline lost on each row, nats, `[M]`.

    Args:
        path: csv or parquet, as `arena.predict` and the run folder's `predictions/` hold it.
        ids: of the rows, `[M]`.
        winners: their classes, `[M]`.

    Raises:
        InputOutputError: there is no such file.
        DataError: wrong columns, a row without a prediction, or a number that is none.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputOutputError(f"data.hardness={path}: no such file")
    known = {str(row["id"]): row for row in _rows(path)}
    missing = [name for name in ids if name not in known]
    if missing:
        raise DataError(
            f"data.hardness={path}: {len(missing)} of {len(ids)} training rows have no prediction there (first: id "
            f"{missing[0]}); let a baseline predict the training file first (arena.predict)"
        )
    losses = [_loss(path, known[name], winner) for name, winner in zip(ids, winners, strict=True)]
    return np.array(losses)


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    else:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if rows and "id" not in rows[0]:
        raise DataError(f"data.hardness={path}: {USAGE}")
    return rows


def _loss(path: Path, row: dict[str, Any], winner: str) -> float:
    try:
        if row.get("loss") is not None:
            loss = float(row["loss"])
        else:
            probability = next(float(row[prefix + winner]) for prefix in PREFIXES if prefix + winner in row)
            loss = -math.log(max(probability, 1e-15))
    except StopIteration:
        raise DataError(f"data.hardness={path}: {USAGE}; there is none for the class {winner}") from None
    except (TypeError, ValueError):
        raise DataError(f"data.hardness={path}: the prediction of id {row['id']} is not a number") from None
    if not math.isfinite(loss):
        raise DataError(f"data.hardness={path}: the loss of id {row['id']} is {loss}")
    return loss
