"""Texts that an earlier run has labelled: they join the training rows with the labels of which that run was sure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from arena.core.cache import file_fingerprint, key_of
from arena.core.heads import Heads
from arena.core.schema import InputPath, Positive, Share
from arena.core.types import UNLABELLED
from arena.data.source.head_reader import HeadReader
from arena.data.source.ingest import Rules
from arena.data.source.rows import Rows
from arena.data.split.prepare import Chosen
from arena.data.target.predictions_file import PredictionsFile
from arena.data.target.pseudo import PART, Pseudo


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

    def join(
        self, chosen: Chosen, reader: HeadReader, rules: Rules, heads: Heads, dropped: dict[str, int],
        near_duplicates: float | None, cache: Path | None,
    ) -> Chosen:  # fmt: skip
        """Add the rows with what the run says of them to the training rows.

        Args:
            chosen: the labelled rows that do not leak.
            reader, rules: how the rows are read.
            heads: names and classes.
            dropped: rows left out by reason; counts those that the run was unsure of.
            near_duplicates, cache: as in `arena.data.split.prepare.grouped`.

        Raises:
            InputOutputError, DataError: see the reader and `PredictionsFile`; a row without a prediction.
        """
        if self.path is None:
            return chosen
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
        if not sure.all():
            dropped["unsure"] = int((~sure).sum())
        first = chosen.rows.num_rows
        every = Rows.concatenate([chosen.rows, self._told(rows, target, heads)])
        return chosen.added(every, first + np.flatnonzero(sure), near_duplicates, cache)

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
