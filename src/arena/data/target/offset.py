"""Log probabilities of another model that are added to the logits (`data.offset`)."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arena.core.errors import DataError, InputOutputError
from arena.data.split.assignment import SPLITS
from arena.data.split.provenance import IN_SAMPLE
from arena.data.target.predictions_file import PredictionsFile

log = logging.getLogger("arena")
FLOOR = 1e-6
"""A smaller probability is read as this one: the logarithm of 0 would leave nothing to learn."""


def files_of(offset: str | list[str]) -> list[Path]:
    """The files of `data.offset`; of a run folder of `arena.baseline` those below its `predictions/`.

    Raises:
        InputOutputError: a folder without predictions.
    """
    found = []
    for given in [offset] if isinstance(offset, str) else offset:
        path = Path(given).expanduser()
        inside = [file for split in SPLITS if (file := path / "predictions" / f"{split}.parquet").is_file()]
        if path.is_dir() and not inside:
            raise InputOutputError(f"data.offset={given}: no predictions in this folder; name a run of arena.baseline")
        found += inside if path.is_dir() else [path]
    return found


def check(offset: str | list[str], labels: list[str]) -> None:
    """Check that the files are there and have these classes; reads their columns only.

    Raises:
        InputOutputError, DataError: a file cannot be found, or has other columns.
    """
    for path in files_of(offset):
        PredictionsFile(path, "data.offset").class_columns(labels)


def log_probabilities(
    offset: str | list[str], ids: list[str], labels: list[str], train: Sequence[int] | np.ndarray = ()
) -> np.ndarray:
    """Log probabilities of the K classes for each of R rows, `[R, K]` float32.

    Args:
        offset: files, or the run folder of a baseline.
        ids: of the rows, `[R]`.
        labels: names of the classes, `[K]`.
        train: positions of the training rows in `ids`, which must be predicted out of fold.

    Raises:
        InputOutputError, DataError: as `PredictionsFile`; an id in two files, or a row without a prediction.
    """
    known: dict[str, list[float]] = {}
    for path in files_of(offset):
        file = PredictionsFile(path, "data.offset")
        columns = file.class_columns(labels)
        rows = file.records([*columns, IN_SAMPLE])
        if len(train):
            file.check_training(rows, [ids[position] for position in train])
        for name, row in rows.items():
            if name in known:
                raise file.error(f"id {name} is in another file of data.offset too")
            known[name] = file.shares(name, [row[column] for column in columns])
    if missing := [name for name in ids if name not in known]:
        raise DataError(
            f"data.offset={offset}: {len(missing)} of {len(ids)} rows have no prediction there (first: id "
            f"{missing[0]}); make it for their file: python -m arena.predict run=BASELINE data.path=FILE "
            "output=FILE.parquet (training rows need those that arena.baseline writes to predictions/train.parquet)"
        )
    log.info("offset: the logits of %d rows start at the log probabilities of %s", len(ids), offset)
    found = np.array([known[name] for name in ids], dtype=np.float64).reshape(len(ids), len(labels))
    return np.log(np.maximum(found / found.sum(axis=1, keepdims=True), FLOOR)).astype(np.float32)
