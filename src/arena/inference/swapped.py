"""Rows with their two answers swapped, without a copy of the texts."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows

PAIRS = (("response_a", "response_b"), ("model_a", "model_b"), ("response_a_characters", "response_b_characters"))
OUTCOMES = ("winner", "probability", "true_probability")


class SwappedRows(Rows):
    """Rows with answers A and B, and their metadata, swapped. The outcomes are null."""

    def __init__(self, rows: Rows) -> None:
        other = {name: pair[1 - pair.index(name)] for pair in PAIRS for name in pair}
        columns = {
            name: pa.nulls(rows.num_rows, rows.metadata[name].type)
            if name in OUTCOMES
            else rows.metadata[other.get(name, name)]
            for name in rows.metadata.column_names
        }
        super().__init__(pa.table(columns), [rows], rows.statistics, f"{rows.fingerprint}-swapped", rows.rejects)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """Yield batches of texts (`Rows.texts`), with the answers swapped."""
        for batch in super().texts(positions):
            prompt, a, b = (batch.column(name) for name in PAIR.texts)
            yield pa.RecordBatch.from_arrays([prompt, b, a], names=list(PAIR.texts))
