"""Features of comparisons and of single texts, each kind computed when it is first asked for."""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from arena.core.heads import Labels, several
from arena.data.source.rows import Rows
from arena.evaluation.baselines import structure, words
from arena.evaluation.baselines.structure import Sided

BATCH = 1024


class PairFeatures:
    """Features of comparisons: of all rows, or of those at increasing positions `[N]`."""

    rarest = 3
    """Answers in which a word must occur: rows that lack it learn nothing of it."""

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.rows = rows
        self.positions = np.arange(rows.num_rows) if positions is None else positions

    @cached_property
    def length(self) -> Sided:
        """Features of the lengths alone."""
        return structure.of_lengths(self.rows, self.positions)

    @cached_property
    def structure(self) -> Sided:
        """Features of lengths, format and overlap."""
        return structure.of_texts(self.rows, self.positions)

    @cached_property
    def counts(self) -> list[csr_array]:
        """`words.gram_counts` of answers A and B in turn, a thousand rows at a time."""
        read = structure.chunks(self.rows, self.positions, "words of %d of %d rows counted")
        return [words.gram_counts(side) for _, *sides in read for side in sides]

    def tfidf(self, columns: np.ndarray, idf: np.ndarray) -> Sided:
        """Signed and absolute differences of TF-IDF weights, each `[N, F]` float32; they share their indices."""
        a, b = (words.weigh(counts, columns, idf) for counts in (self.counts[::2], self.counts[1::2]))
        signed = csr_array(a - b)
        return Sided(signed, csr_array((np.abs(signed.data), signed.indices, signed.indptr), shape=signed.shape))


class TextFeatures:
    """Features of single texts, once for all heads; arguments as `PairFeatures`."""

    rarest = 2

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.positions = np.arange(rows.num_rows) if positions is None else positions
        texts = [
            "\n".join(part for turns in row for part in turns or [] if part)  # text and context as one
            for batch in rows.texts(positions)
            for row in zip(*(batch.column(name).to_pylist() for name in ("text", "context")), strict=True)
        ]
        starts = range(0, len(texts), BATCH)
        self.counts = [words.gram_counts(texts[start : start + BATCH]) for start in starts]

    def tfidf(self, columns: np.ndarray, idf: np.ndarray) -> csr_array:
        """TF-IDF weights, `[N, F]` float32."""
        return words.weigh(self.counts, columns, idf)


Features = PairFeatures | TextFeatures


def features_of(labels: Labels, rows: Rows, positions: np.ndarray | None = None) -> Features:
    """The features that the baselines for these labels read of some rows."""
    return (TextFeatures if several(labels) else PairFeatures)(rows, positions)
