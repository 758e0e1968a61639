"""TF-IDF of hashed words and character pieces, as the difference between the two answers."""

import logging
from typing import Self

import numpy as np
from scipy.sparse import csr_array, hstack, vstack

from arena.data.source.rows import Rows
from arena.evaluation.baselines.grams import BUCKETS, Characters, piece_counts, word_counts
from arena.evaluation.baselines.structure import chunks

log = logging.getLogger("arena")

RAREST = 3
"""A column must occur in this many training answers: the others cannot repeat what they taught."""
LARGEST = 100_000
"""Columns at most, the most frequent ones."""


class Vocabulary:
    r"""Which hashed columns count, and how much.

    The weight of a column in an answer is $(1 + \ln \text{count}) \cdot \text{idf}$ with $\text{idf} =
    \ln\frac{1 + n}{1 + n_\text{with}} + 1$, and the words and the pieces of an answer are each brought to length 1
    (scikit-learn's `TfidfVectorizer(sublinear_tf=True)`).

    Args:
        columns: columns in use, increasing, of `2 * BUCKETS`: first words, then pieces; `[F]` int64.
        weight: idf of each, `[F]` float32.
    """

    def __init__(self, columns: np.ndarray, weight: np.ndarray) -> None:
        self.columns, self.weight = columns, weight
        self._words = int(np.searchsorted(columns, BUCKETS))

    @classmethod
    def learn(cls, rows: Rows, positions: np.ndarray, rarest: int = RAREST, largest: int = LARGEST) -> Self:
        """Count in how many answers of these rows (increasing positions) each column occurs."""
        found, answers = np.zeros(2 * BUCKETS, np.int64), 2 * len(positions)
        for done, (_, *sides) in chunks(rows, positions):
            for texts in sides:
                characters = Characters(texts)
                for first, counts in ((0, word_counts(characters)), (BUCKETS, piece_counts(characters))):
                    found[first : first + BUCKETS] += np.bincount(counts.indices, minlength=BUCKETS)
            if done % 10_240 == 0:
                log.info("words of %d of %d training rows counted", done, len(positions))
        return cls.of_counts(found, answers, rarest, largest)

    @classmethod
    def of_counts(cls, found: np.ndarray, texts: int, rarest: int = RAREST, largest: int = LARGEST) -> Self:
        """From the number of texts in which each column occurs, `[2 * BUCKETS]`."""
        common = np.argsort(-found, kind="stable")[:largest]
        columns = np.sort(common[found[common] >= rarest])
        weight = np.log((1 + texts) / (1 + found[columns])) + 1
        return cls(columns, weight.astype(np.float32))

    def differences(self, rows: Rows, positions: np.ndarray) -> csr_array:
        """Weights of answer A minus those of answer B, `[N, F]` float32; exchanging A and B only changes the sign."""
        parts = []
        for done, (_, *sides) in chunks(rows, positions):
            a, b = (self.weigh(texts) for texts in sides)
            parts.append(csr_array(a - b))
            if done % 10_240 == 0:
                log.info("words of %d of %d rows weighed", done, len(positions))
        empty = csr_array((0, len(self.columns)), dtype=np.float32)
        return csr_array(vstack(parts, format="csr")) if parts else empty

    def weigh(self, texts: list[str]) -> csr_array:
        """The weights of each text, `[T, F]` float32."""
        characters = Characters(texts)
        kinds = (word_counts(characters), piece_counts(characters))
        bounds = ((0, 0, self._words), (BUCKETS, self._words, len(self.columns)))
        parts = []
        for counts, (first, low, high) in zip(kinds, bounds, strict=True):
            chosen = csr_array(counts[:, self.columns[low:high] - first])
            chosen.data = (1 + np.log(chosen.data)) * self.weight[low:high][chosen.indices]
            owner = np.repeat(np.arange(len(texts)), np.diff(chosen.indptr))
            length = np.sqrt(np.bincount(owner, chosen.data.astype(np.float64) ** 2, minlength=len(texts)))
            chosen.data /= np.maximum(length, 1e-12)[owner].astype(np.float32)
            parts.append(chosen)
        return csr_array(hstack(parts, format="csr"))
