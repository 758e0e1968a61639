"""Files of predictions that another model, or an earlier run, made of some rows."""

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arena.core import tables
from arena.core.errors import DataError, InputOutputError
from arena.core.run import RunFolder
from arena.data.source.checks import format_cell, number, truth_value
from arena.data.source.files import read_columns, read_records
from arena.data.split.provenance import IN_SAMPLE

log = logging.getLogger("arena")

PREFIXES = ("probability_", "winner_")
"""Of the columns of probabilities: in a run folder's `predictions/`, and as `arena.predict` writes them."""
ROUNDING = 1e-3
"""Tolerance on the sum of a row's probabilities, which should be 1; files are written with few digits."""
NEEDS = "it needs the column id and one probability for each class (probability_<class>, winner_<class>)"


class PredictionsFile:
    """A csv, jsonl or parquet file with the column `id` and one row for each id.

    Args:
        path: the file.
        key: of the configuration, for messages.
        needs: what the file must have, for messages.

    Attributes:
        columns: names of the file's columns.

    Raises:
        InputOutputError: there is no such file.
        DataError: it is damaged, or has no column `id`.
    """

    def __init__(self, path: str | Path, key: str, needs: str = NEEDS) -> None:
        self.path, self.key, self.needs = Path(path).expanduser(), key, needs
        if not self.path.is_file():
            raise InputOutputError(f"{key}={path}: no such file")
        self.columns = read_columns(self.path)
        if "id" not in self.columns:
            raise self.error(needs)

    def error(self, what: str) -> DataError:
        """An error that names key and file."""
        return DataError(f"{self.key}={self.path}: {what}")

    def check_training(self, known: Mapping[str, Mapping[str, Any]], ids: Iterable[str]) -> None:
        """Refuse predictions of training rows by a model that was trained on these rows; warn where nobody knows.

        Args:
            known: rows of the file by their ids, with the column `in_sample` where the file has it.
            ids: of the training rows.

        Raises:
            DataError: the file says that a training row was predicted in sample.
        """
        if bad := [name for name in ids if name in known and truth_value(known[name].get(IN_SAMPLE))]:
            raise self.error(
                f"{len(bad)} training rows (first: id {bad[0]}) were predicted by a model that was trained on them, so "
                "these predictions are too good to learn from; take a run folder of arena.baseline, or the folds of "
                "several runs: python -m arena.predict run=FOLDS out_of_fold=true output=FILE.parquet"
            )
        # A run folder of arena.baseline holds predictions of its training rows that are out of fold.
        of_baseline = any(RunFolder(folder).is_baseline for folder in list(self.path.absolute().parents)[1:3])
        if "fold" not in self.columns and not of_baseline:
            log.warning(
                "%s=%s: nothing says that a model that had not seen them predicted the training rows (out of fold)",
                self.key, self.path,
            )  # fmt: skip

    def class_columns(self, labels: list[str]) -> list[str]:
        """The columns of the probabilities in the order of `labels`, `[K]`; a `DataError` where they are others."""
        for prefix in PREFIXES:
            found = [name.removeprefix(prefix) for name in self.columns if name.startswith(prefix)]
            if found and set(found) != set(labels):
                ours = f"data.labels has {len(labels)} ({', '.join(labels)})"
                raise self.error(f"it has {len(found)} classes ({', '.join(found)}), but {ours}")
            if found:
                return [prefix + label for label in labels]
        raise self.error(self.needs)

    def records(self, wanted: list[str]) -> dict[str, dict[str, Any]]:
        """The `wanted` columns of all rows by id; a `DataError` for a broken row, or an id that occurs twice."""
        known: dict[str, dict[str, Any]] = {}
        for record in read_records(self.path, ["id", *wanted]):
            if record.row is None or record.error is not None:
                raise self.error(f"row {record.number}: {record.error.reason if record.error else 'broken'}")
            name = tables.as_read(str(record.row.get("id")))
            if name in known:
                raise self.error(f"id {name} occurs twice")
            known[name] = {column: record.row.get(column) for column in wanted}
        return known

    def rows(self, ids: list[str], wanted: list[str], who: str) -> list[dict[str, Any]]:
        """The `wanted` columns of each id, in their order, `[M]`; `who` has these ids, for messages.

        Raises:
            DataError: as `records`, or an id that does not occur.
        """
        known = self.records(wanted)
        missing = [name for name in ids if name not in known]
        if missing:
            raise self.error(
                f"{len(missing)} of {len(ids)} {who} have no prediction there (first: id {missing[0]}); let a model "
                "predict their file first (arena.predict)"
            )
        return [known[name] for name in ids]

    def probabilities(self, ids: list[str], labels: list[str], who: str) -> np.ndarray:
        """Probabilities of the K classes for each id, `[M, K]` float64, each row's sum 1; see `rows`.

        Raises:
            DataError: as `class_columns`, `rows` and `shares`.
        """
        columns = self.class_columns(labels)
        rows = self.rows(ids, columns, who)
        found = [self.shares(name, [row[column] for column in columns]) for name, row in zip(ids, rows, strict=True)]
        shares = np.array(found, dtype=np.float64).reshape(len(ids), len(labels))
        return shares / shares.sum(axis=1, keepdims=True)

    def shares(self, name: str, cells: list[Any]) -> list[float]:
        """The probabilities of one row, `[K]`; a `DataError` unless their sum is 1 up to `ROUNDING`."""
        found = [share for cell in cells if (share := number(cell)) is not None]
        if len(found) < len(cells) or abs(math.fsum(found) - 1) > ROUNDING + 1e-9:
            listed = ", ".join(map(format_cell, cells))
            raise self.error(f"id {name} has {listed}, which are no probabilities: 0 or more, and 1 together")
        return found
