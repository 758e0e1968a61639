"""Pseudo-labels: rows that an earlier run has labelled join the training rows where that run was sure.

A row is left out where the run was unsure, and where it shares its group (prompt, session, near duplicates) with a
validation or test row: what is learned from such a row would be tested on its copy. The labelled rows are grouped and
split before, as if there were no others: the same seed gives the same validation and test rows with pseudo-labels
and without, so the run that made the labels has not seen them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from arena.core.cache import file_fingerprint, key_of
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.schema import InputPath, Positive, Share
from arena.core.types import UNLABELLED
from arena.data.source.examples import WINNERS
from arena.data.source.rows import Rows
from arena.data.split.prepare import Chosen
from arena.data.target.predictions_file import PredictionsFile


@dataclass(frozen=True)
class PseudoLabels:
    """Rows to label and the run that labels them; labels of the rows' own file are ignored.

    Attributes:
        path: the rows, or None for none.
        predictions: the run's probabilities for them.
        confidence: labels whose largest probability is below this are left out.
        weight: factor of the weight that a row has in its file.
    """

    path: InputPath | None = None
    predictions: InputPath | None = None
    confidence: Share = 0.8
    weight: Positive = 1.0

    def check(self) -> Self:
        """The settings themselves. Raises a `UsageError` for rows without predictions, or predictions without rows."""
        if self.path is not None and self.predictions is None:
            needs = "data.pseudo_labels=FILE, the predictions of a run for its rows"
            raise UsageError(f"data.pseudo_path={self.path} needs {needs}")
        if self.predictions is not None and self.path is None:
            needs = "data.pseudo_path=FILE, the rows that were predicted"
            raise UsageError(f"data.pseudo_labels={self.predictions} needs {needs}")
        return self

    def labels(self, file: PredictionsFile, ids: list[str], classes: Any) -> tuple[np.ndarray, dict[str, list]]:
        """Tell which of some rows the run was sure of, `[M]` bool, and give the columns of their labels."""
        raise NotImplementedError

    def join(
        self, chosen: Chosen, rows: Rows, classes: Any, dropped: dict[str, int], near: float | None, cache: Path | None
    ) -> Chosen:
        """Add pseudo-labelled rows to the training rows.

        Args:
            chosen: the labelled rows. Those that leak count too: a row near to them is near to what they leak into.
            rows: those of `path`.
            classes: names of the classes, by head where there are several.
            dropped: rows left out by reason; counts those that the run was unsure of.
            near, cache: as in `arena.data.split.prepare.grouped`.

        Raises:
            InputOutputError, DataError: see `PredictionsFile`; a row without a prediction.
        """
        assert self.predictions is not None
        ids, first = rows.metadata["id"].to_pylist(), chosen.rows.num_rows
        sure, columns = self.labels(PredictionsFile(self.predictions, "data.pseudo_labels"), ids, classes)
        if not sure.all():
            dropped["unsure"] = int((~sure).sum())
        taken = set(chosen.rows.metadata["id"].to_pylist())
        columns["id"] = [f"pseudo:{name}" if name in taken else name for name in ids]
        columns["weight"] = (rows.metadata["weight"].to_numpy() * self.weight).astype(np.float32)
        labelled = rows.metadata
        for name, values in columns.items():
            field = labelled.schema.field(name)
            labelled = labelled.set_column(labelled.column_names.index(name), field, pa.array(values, field.type))
        # Grouped without the labels: they make no difference, and the cache knows the groups.
        joined = chosen.added(Rows.concatenate([chosen.rows, rows]), first + np.flatnonzero(sure), near, cache)
        settings = [value for name, value in vars(self).items() if name not in ("path", "predictions")]
        key = key_of(joined.rows.fingerprint, file_fingerprint(Path(self.predictions).expanduser()), *settings, classes)
        metadata = pa.concat_tables([chosen.rows.metadata, labelled], promote_options="default")
        return replace(joined, rows=joined.rows.with_metadata(metadata, key))


@dataclass(frozen=True)
class Pseudo(PseudoLabels):
    """Pseudo-labels of comparisons: the node `data.pseudo`.

    Attributes:
        soft: the target is the probabilities and not the most probable class.
    """

    soft: bool = False

    def labels(self, file: PredictionsFile, ids: list[str], classes: Any) -> tuple[np.ndarray, dict[str, list]]:
        """See `PseudoLabels.labels`: winner, and with `soft` its probability."""
        probabilities = file.probabilities(ids, classes, "rows of data.pseudo_path")
        of_winners = np.zeros((len(ids), len(WINNERS)))
        of_winners[:, [WINNERS.index(label) for label in classes]] = probabilities
        columns = {"winner": [classes[best] for best in probabilities.argmax(axis=1)]}
        columns["probability"] = of_winners.tolist() if self.soft else [None] * len(ids)
        return probabilities.max(axis=1) >= self.confidence, columns


@dataclass(frozen=True)
class HeadPseudo(PseudoLabels):
    """Pseudo-labels of texts with several labels: the node `data.pseudo`. A head that the run is unsure of has no
    label; a row without any is left out."""

    confidence: Share = 0.9

    def labels(self, file: PredictionsFile, ids: list[str], classes: Any) -> tuple[np.ndarray, dict[str, list]]:
        """See `PseudoLabels.labels`: the class of each head, from the columns that `arena.predict` writes."""
        heads = Heads(classes)
        columns = [column for head in heads.names for column in heads.probability_columns(head)]
        if lacking := [column for column in columns if column not in file.columns]:
            raise file.error(f"it has no column {lacking[0]}; let a run with these heads predict the rows")
        rows = file.rows(ids, columns, "rows of data.pseudo_path")
        found = np.array([[float(row[column]) for column in columns] for row in rows]).reshape(len(rows), heads.width)
        parts = heads.split(found).values()
        index = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        index[np.stack([part.max(axis=1) < self.confidence for part in parts], axis=1)] = UNLABELLED
        names = list(heads.classes.values())
        labels = [
            [None if place < 0 else labels[place] for place, labels in zip(row, names, strict=True)]
            for row in index.tolist()
        ]
        return (index != UNLABELLED).any(axis=1), {"labels": labels}
