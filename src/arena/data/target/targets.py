"""What training rows are told to be: the winner, the shares of the votes, what a teacher says of them; and the offset.

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
    """What training learns from: the node `data.target`.

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

    def select(self, facts: pa.Table, positions: np.ndarray, labels: list[str], dropped: dict[str, int]) -> np.ndarray:
        """The positions without rows whose votes are all for a class that is not in `labels`; they count as ties.

        Args:
            facts: of all rows.
            positions: of the rows to choose from, `[M]`.
            labels: names of the classes.
            dropped: rows left out by reason; counts them.

        Raises:
            DataError: there are such rows and they are an error.
        """
        if self.source == "winner":
            return positions
        chosen = facts.take(pa.array(positions))
        lost = pc.is_valid(chosen["probability"]).to_numpy() & np.isnan(votes(chosen, labels)[:, 0])  # pyright: ignore[reportAttributeAccessIssue]
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
        self, facts: pa.Table, labels: list[str], index: np.ndarray, train: np.ndarray, guessed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The targets that training serves, and what the teacher says.

        Args:
            facts: the R rows in use.
            labels: names of the K classes.
            index: class index of each row, `[R]`.
            train: positions of the training rows.
            guessed: which rows are pseudo-labelled, `[R]` bool. Where a probability is known of them, it is their
                target; the teacher is not asked for them.

        Returns:
            Class indices `[R]`, or probabilities `[R, K]` float32 where there is a row that is told shares; and
            probabilities `[R, K]` float32, NaN where nobody was asked, or None without a teacher.

        Raises:
            InputOutputError, DataError: see `PredictionsFile`; a training row that the teacher has no prediction for.
        """
        told = pc.is_valid(facts["probability"]).to_numpy() & (guessed | (self.source == "votes"))  # pyright: ignore[reportAttributeAccessIssue]
        target = index
        if told.any():
            target = np.eye(len(labels), dtype=np.float32)[index]
            target[told] = votes(facts, labels)[told]
        if self.teacher is None:
            return target, None
        asked = train[~guessed[train]]
        ids = facts["id"].take(pa.array(asked)).to_pylist()
        teacher = np.full((facts.num_rows, len(labels)), np.nan, dtype=np.float32)
        file = PredictionsFile(self.teacher, "data.teacher")
        teacher[asked] = file.probabilities(ids, labels, "training rows")
        return target, teacher

    def offsets(self, facts: pa.Table, labels: list[str], train: Sequence[int] | np.ndarray = ()) -> np.ndarray | None:
        """Log probabilities of the offset for R rows, `[R, K]` float32; None without one. `train`: positions of the
        training rows among them.

        Raises:
            InputOutputError, DataError: see `arena.data.target.offset.log_probabilities`.
        """
        return None if self.offset is None else log_probabilities(self.offset, facts["id"].to_pylist(), labels, train)


def votes(facts: pa.Table, labels: list[str]) -> np.ndarray:
    """Shares of the votes for `labels` among the votes for these classes, `[R, K]`; NaN where there are none."""
    shares = np.full((facts.num_rows, len(labels)), np.nan)
    known = pc.is_valid(facts["probability"]).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    flat = pc.list_flatten(facts["probability"]).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    chosen = flat.reshape(-1, len(WINNERS))[:, [WINNERS.index(label) for label in labels]]
    total = chosen.sum(axis=1, keepdims=True)
    shares[known] = np.divide(chosen, total, out=np.full_like(chosen, np.nan), where=total > 0)
    return shares
