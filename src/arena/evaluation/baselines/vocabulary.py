"""TF-IDF of hashed words and character pieces."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from scipy.sparse import csr_array, hstack

from arena.evaluation.baselines.grams import BUCKETS, Characters, piece_counts, word_counts

LARGEST = 100_000
"""Columns at most, the most frequent ones."""


class Vocabulary:
    r"""Which hashed columns count, and how much.

    The weight of a column in a text is $(1 + \ln \text{count}) \cdot \text{idf}$ with $\text{idf} =
    \ln\frac{1 + n}{1 + n_\text{with}} + 1$, and the words and the pieces of a text are each brought to length 1
    (scikit-learn's `TfidfVectorizer(sublinear_tf=True)`).

    Args:
        columns: columns in use, increasing, of `2 * BUCKETS`: first words, then pieces; `[F]` int64.
        weight: idf of each, `[F]` float32.
    """

    def __init__(self, columns: np.ndarray, weight: np.ndarray) -> None:
        self.columns, self.weight = columns, weight
        self._words = int(np.searchsorted(columns, BUCKETS))

    @classmethod
    def learn(cls, batches: Iterable[list[str]], rarest: int) -> Self:
        """Count in how many texts each column occurs.

        Args:
            batches: a thousand texts at a time.
            rarest: texts in which a column must occur.
        """
        found, number = np.zeros((2, BUCKETS), np.int64), 0
        for texts in batches:
            characters = Characters(texts)
            for row, counts in zip(found, (word_counts(characters), piece_counts(characters)), strict=True):
                row += np.bincount(counts.indices, minlength=BUCKETS)
            number += len(texts)
        found = found.ravel()
        common = np.argsort(-found, kind="stable")[:LARGEST]
        columns = np.sort(common[found[common] >= rarest])
        weight = np.log((1 + number) / (1 + found[columns])) + 1
        return cls(columns, weight.astype(np.float32))

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
