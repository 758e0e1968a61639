"""Unlabelled rows that an earlier run has labelled: they join the training rows where that run was sure.

A row is left out where the run was unsure, and where it shares its group (prompt, session, near duplicates) with a
validation or test row: what is learned from such a row would be tested on its copy. The labelled rows are grouped and
divided before, as if there were no others: the same seed gives the same validation and test rows with pseudo-labels
and without, so the run that made the labels has not seen them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from arena.core.cache import file_fingerprint, key_of
from arena.core.errors import UsageError
from arena.core.schema import InputPath, Positive, Share
from arena.data.source.examples import PAIR, WINNERS
from arena.data.source.rows import Rows
from arena.data.split.prepare import Chosen
from arena.data.target.predictions_file import PredictionsFile

PART = "pseudo"
"""Name of the part of all rows that these are, see `arena.data.split.prepare.read_parts`; it is the last one."""


@dataclass(frozen=True)
class Pseudo:
    """Rows to label and who labels them: the node `data.pseudo` of comparisons.

    A winner that the rows' own file names is ignored: they are told what the run said.

    Attributes:
        path: the rows, or None for none.
        predictions: the run's probabilities for them.
        confidence: rows whose largest probability is below this are left out.
        weight: factor of the weight that a row has in its file.
        soft: the target is the probabilities and not the most probable class.
    """

    path: InputPath | None = None
    predictions: InputPath | None = None
    confidence: Share = 0.8
    weight: Positive = 1.0
    soft: bool = False

    def check(self) -> Self:
        """The settings themselves. Raises a `UsageError` for rows without predictions, or predictions without rows."""
        for key, other in (("path", "labels"), ("labels", "path")):
            here, there = (self.path, self.predictions) if key == "path" else (self.predictions, self.path)
            if here is not None and there is None:
                what = "the predictions of a run for its rows" if key == "path" else "the rows that were predicted"
                raise UsageError(f"data.pseudo_{key}={here} needs data.pseudo_{other}=FILE, {what}")
        return self

    def join(
        self, labelled: Chosen, labels: list[str], dropped: dict[str, int], near_duplicates: float | None,
        cache: Path | None, first: int,
    ) -> Chosen:  # fmt: skip
        """Add the pseudo-labelled rows to the training rows.

        Args:
            labelled: the rows of all parts with what was chosen of the labelled ones. Those that leak count too: who
                is near to them is near to what they leak into.
            labels: names of the classes.
            dropped: rows left out by reason; counts those that the run was unsure of.
            near_duplicates: as in `arena.data.split.groups.join_rows`.
            cache: as in `arena.data.split.prepare.grouped`.
            first: position of the first pseudo-labelled row.

        Raises:
            InputOutputError, DataError: see `PredictionsFile`; a row without a prediction.
        """
        if self.predictions is None or first == labelled.rows.num_rows:
            return labelled
        ids = labelled.rows.facts["id"].slice(first).to_pylist()
        file = PredictionsFile(self.predictions, "data.pseudo_labels")
        probabilities = file.probabilities(ids, labels, "rows of data.pseudo_path")
        sure = probabilities.max(axis=1) >= self.confidence
        if not sure.all():
            dropped["unsure"] = int((~sure).sum())
        added = first + np.flatnonzero(sure)
        told = self._told(labelled.rows, first, labels, probabilities)
        # Grouped by the rows without what they were told: it makes no difference, and the cache knows them.
        joined = labelled.added(labelled.rows, added, near_duplicates, cache)
        return replace(joined, rows=told)

    def _told(self, rows: Rows, first: int, labels: list[str], probabilities: np.ndarray) -> Rows:
        """The rows with winner, probability and weight of the pseudo-labelled ones, and no id twice."""
        head, tail = rows.facts.slice(0, first), rows.facts.slice(first)
        of_winners = np.zeros((len(probabilities), len(WINNERS)))
        of_winners[:, [WINNERS.index(label) for label in labels]] = probabilities
        taken = set(head["id"].to_pylist())
        told = {
            "id": [f"{PART}:{name}" if name in taken else name for name in tail["id"].to_pylist()],
            "winner": [labels[best] for best in probabilities.argmax(axis=1)],
            "probability": of_winners.tolist() if self.soft else [None] * len(probabilities),
            "weight": (tail["weight"].to_numpy() * self.weight).astype(np.float32),
        }
        for name, values in told.items():
            field = PAIR.fact_schema.field(name)
            tail = tail.set_column(tail.column_names.index(name), field, pa.array(values, field.type))
        assert self.predictions is not None
        how = (file_fingerprint(Path(self.predictions).expanduser()), self.confidence, self.weight, self.soft, labels)
        return rows.with_facts(pa.concat_tables([head, tail]), key_of(rows.fingerprint, *how))
