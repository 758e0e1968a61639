"""Training targets: the winner, the shares of the votes, a teacher's probabilities; and the offset.

Only training learns from shares. Which class a row has for stratification, sampling, class shares, validation and test
is always its winner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arena.core.errors import DataError
from arena.core.schema import InputPath
from arena.data.source.examples import WINNERS
from arena.data.target.offset import log_probabilities
from arena.data.target.predictions_file import PredictionsFile


@dataclass(frozen=True)
class Targets:
    """Training targets: the node `data.target`.

    Attributes:
        source: the winner, or the shares of the votes (the column `probability`) where they are known. Validation and
            test are judged on the winner.
        teacher: another model's predictions for all labelled training rows (csv, jsonl or parquet with id and one
            `probability_<label>` or `winner_<label>` for each class), for a loss that learns from them.
        offset: another model's predictions for every row in use, as `teacher`, or several such files, or the run folder
            of `arena.baseline`: their logarithms are added to the logits, in training and ever after.
        on_tie: what to do with ties where there is no class for them.
    """

    source: Literal["winner", "votes"] = "winner"
    teacher: InputPath | None = None
    offset: InputPath | list[InputPath] | None = None
    on_tie: Literal["error", "drop"] = "error"

    def select(
        self, metadata: pa.Table, positions: np.ndarray, labels: list[str], dropped: dict[str, int]
    ) -> np.ndarray:
        """The positions, `[M]`, without rows whose votes are all for a class that is not in `labels`; they count as
        ties in `dropped` (rows left out by reason).

        Raises:
            DataError: there are such rows and they are an error.
        """
        if self.source == "winner":
            return positions
        chosen = metadata.take(pa.array(positions))
        lost = _voted(chosen) & np.isnan(votes(chosen, labels)[:, 0])
        if not lost.any():
            return positions
        if self.on_tie == "error":
            raise DataError(
                f"{lost.sum()} of {len(positions)} rows have no votes for data.labels={labels} (first: id "
                f"{chosen['id'][int(lost.argmax())]}); leave them out (data.on_tie=drop) or use data.target=winner"
            )
        dropped["tie"] = dropped.get("tie", 0) + int(lost.sum())
        return positions[~lost]

    def build(
        self, metadata: pa.Table, labels: list[str], index: np.ndarray, train: np.ndarray, pseudo: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Training targets, and the teacher's probabilities, of R rows and K classes.

        Args:
            index: class index of each row, `[R]`.
            train: positions of the training rows.
            pseudo: rows that are pseudo-labelled, `[R]` bool. Where a probability is known of them, it is their
                target; the teacher is not asked for them.

        Returns:
            Class indices `[R]`, or probabilities `[R, K]` float32 where a row has shares; and probabilities `[R, K]`
            float32, NaN where the teacher was not asked, or None without a teacher.

        Raises:
            InputOutputError, DataError: see `PredictionsFile`; a training row that the teacher has no prediction for.
        """
        soft = _voted(metadata) & (pseudo | (self.source == "votes"))
        target = index
        if soft.any():
            target = np.eye(len(labels), dtype=np.float32)[index]
            target[soft] = votes(metadata, labels)[soft]
        if self.teacher is None:
            return target, None
        labelled = train[~pseudo[train]]
        ids = metadata["id"].take(pa.array(labelled)).to_pylist()
        teacher = np.full((metadata.num_rows, len(labels)), np.nan, dtype=np.float32)
        teacher[labelled] = PredictionsFile(self.teacher, "data.teacher").probabilities(ids, labels, "training rows")
        return target, teacher

    def offsets(
        self, metadata: pa.Table, labels: list[str], train: Sequence[int] | np.ndarray = ()
    ) -> np.ndarray | None:
        """Log probabilities of the offset, `[R, K]` float32, or None; see `arena.data.target.offset`."""
        ids = metadata["id"].to_pylist()
        return None if self.offset is None else log_probabilities(self.offset, ids, labels, train)


def votes(metadata: pa.Table, labels: list[str]) -> np.ndarray:
    """Shares of the votes for `labels` among the votes for these classes, `[R, K]`; NaN where there are none."""
    shares = np.full((metadata.num_rows, len(labels)), np.nan)
    flat = pc.list_flatten(metadata["probability"]).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    chosen = flat.reshape(-1, len(WINNERS))[:, [WINNERS.index(label) for label in labels]]
    total = chosen.sum(axis=1, keepdims=True)
    shares[_voted(metadata)] = np.divide(chosen, total, out=np.full_like(chosen, np.nan), where=total > 0)
    return shares


def _voted(metadata: pa.Table) -> np.ndarray:
    return pc.is_valid(metadata["probability"]).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
