"""Texts that an earlier run has labelled: they join the training rows with the labels of which that run was sure."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from arena.core.cache import file_fingerprint, key_of
from arena.core.heads import Heads
from arena.core.schema import InputPath, Positive, Share
from arena.core.types import UNLABELLED
from arena.data.source.head_reader import HeadReader
from arena.data.source.ingest import Rules
from arena.data.source.rows import Rows
from arena.data.target.predictions_file import PredictionsFile
from arena.data.target.pseudo import PART, Pseudo


class Labelled(NamedTuple):
    """Rows with the labels that a run gave them.

    Attributes:
        rows: all rows of the file.
        positions: of those with a label, `[M]`.
        target: their class in each head, `[M, T]` int64, `UNLABELLED` where the run was unsure.
        dropped: rows left out, by reason.
    """

    rows: Rows
    positions: np.ndarray
    target: np.ndarray
    dropped: dict[str, int]


@dataclass(frozen=True)
class HeadPseudo:
    """Rows to label and who labels them: the node `data.pseudo` of texts with several labels.

    Labels of the rows' own file are ignored.

    Attributes:
        path: the rows, or None for none.
        predictions: the probabilities of a run for them, as `arena.predict` writes them.
        confidence: a head whose largest probability is below this has no label; a row without any is left out.
        weight: factor of the weight that a row has in its file.
    """

    path: InputPath | None = None
    predictions: InputPath | None = None
    confidence: Share = 0.9
    weight: Positive = 1.0

    def check(self) -> "HeadPseudo":
        """The settings themselves. Raises a `UsageError` for rows without predictions, or predictions without rows."""
        Pseudo(self.path, self.predictions).check()
        return self

    def rows(self, reader: HeadReader, rules: Rules, cache: Path | None, heads: Heads) -> Labelled:
        """The rows with what the run says of them.

        Raises:
            InputOutputError, DataError: see the reader and `PredictionsFile`; a row without a prediction.
        """
        assert self.path is not None
        assert self.predictions is not None
        rows = reader.unlabelled(self.path, rules, cache)
        file = PredictionsFile(self.predictions, "data.pseudo_labels")
        columns = [column for head in heads.names for column in heads.probability_columns(head)]
        lacking = [column for column in columns if column not in file.columns]
        if lacking:
            raise file.error(f"it has no column {lacking[0]}; let a run with these heads predict the rows")
        told = file.rows(rows.facts["id"].to_pylist(), columns, "rows of data.pseudo_path")
        found = np.array([[float(row[column]) for column in columns] for row in told]).reshape(len(told), heads.width)
        parts = heads.split(found).values()
        target = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        target[np.stack([part.max(axis=1) < self.confidence for part in parts], axis=1)] = UNLABELLED
        sure = (target != UNLABELLED).any(axis=1)
        dropped = {"unsure": int((~sure).sum())} if not sure.all() else {}
        return Labelled(self._told(rows, target, heads), np.flatnonzero(sure), target[sure], dropped)

    def _told(self, rows: Rows, target: np.ndarray, heads: Heads) -> Rows:
        """The rows with their weights and ids of their own."""
        facts = rows.facts
        named = [
            [None if index < 0 else labels[index] for index, labels in zip(row, heads.classes.values(), strict=True)]
            for row in target.tolist()
        ]
        told = {
            "id": pa.array([f"{PART}:{name}" for name in facts["id"].to_pylist()]),
            "weight": pa.array((facts["weight"].to_numpy() * self.weight).astype(np.float32)),
            "labels": pa.array(named, facts.schema.field("labels").type),
        }
        for name, values in told.items():
            facts = facts.set_column(facts.column_names.index(name), facts.schema.field(name), values)
        assert self.predictions is not None
        how = (file_fingerprint(Path(self.predictions).expanduser()), self.confidence, self.weight, heads.columns)
        return rows.with_facts(facts, key_of(rows.fingerprint, *how))
