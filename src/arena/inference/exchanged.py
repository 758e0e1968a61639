"""Rows with their two answers exchanged, without a copy of the texts."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows

PAIRS = (("response_a", "response_b"), ("model_a", "model_b"), ("response_a_characters", "response_b_characters"))
OUTCOMES = ("winner", "probability", "true_probability")


class Exchanged(Rows):
    """The same rows with answers A and B, and what is known of them, exchanged. Their outcome is not carried over.

    Args:
        rows: the rows as they are.
    """

    def __init__(self, rows: Rows) -> None:
        other = {name: pair[1 - pair.index(name)] for pair in PAIRS for name in pair}
        known = rows.metadata
        kept = {name: known[other.get(name, name)] for name in known.column_names if name not in OUTCOMES}
        masked = [name for name in OUTCOMES if name in known.column_names]
        nulls = {name: pa.nulls(rows.num_rows, known[name].type) for name in masked}
        table = pa.table(kept | nulls).select(known.column_names)
        super().__init__(table, [rows], rows.statistics, f"{rows.fingerprint}-exchanged", rows.rejects)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """As `Rows.texts`, with the answers exchanged."""
        for batch in super().texts(positions):
            prompt, a, b = (batch.column(name) for name in PAIR.texts)
            yield pa.RecordBatch.from_arrays([prompt, b, a], names=list(PAIR.texts))
