"""The features of some rows, as the reference models read them."""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, vstack

from arena.core.heads import Labels, several
from arena.data.source.rows import Rows
from arena.evaluation.baselines import structure
from arena.evaluation.baselines.logistic import Matrix
from arena.evaluation.baselines.structure import Sided, chunks
from arena.evaluation.baselines.vocabulary import Vocabulary

EXTREME = 6.0
"""Standard deviations beyond which a feature says no more: one strange text must not decide."""
AT_ONCE = 1024


class Features:
    """What members read of comparisons; each kind is computed when it is first asked for.

    Args:
        rows: where facts and texts are.
        positions: which rows, increasing, `[N]`; all by default.
    """

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.rows = rows
        self.positions = np.arange(rows.num_rows) if positions is None else positions

    @cached_property
    def length(self) -> Sided:
        """See `arena.evaluation.baselines.structure.of_lengths`."""
        return structure.of_lengths(self.rows, self.positions)

    @cached_property
    def structure(self) -> Sided:
        """See `arena.evaluation.baselines.structure.of_texts`."""
        return structure.of_texts(self.rows, self.positions)

    def vocabulary(self) -> Vocabulary:
        """The words of the answers; one must occur in 3 of them, the others cannot repeat what they taught."""
        read = chunks(self.rows, self.positions, "words of %d of %d training rows counted")
        return Vocabulary.learn((side for _, *sides in read for side in sides), rarest=3)

    def words(self, vocabulary: Vocabulary) -> tuple[csr_array, csr_array]:
        """Signed and absolute differences of TF-IDF weights, each `[N, F]` float32; they share their indices."""
        read = chunks(self.rows, self.positions, "words of %d of %d rows weighed")
        parts = [vocabulary.weigh(a) - vocabulary.weigh(b) for _, a, b in read]
        signed = csr_array(vstack([vocabulary.weigh([]), *parts], format="csr"))
        even = csr_array((np.abs(signed.data), signed.indices, signed.indptr), shape=signed.shape)
        return signed, even


class Words:
    """What members read of single texts, once for all heads: their words.

    Args: as `Features`.
    """

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.positions = np.arange(rows.num_rows) if positions is None else positions
        texts = [
            "\n".join(part for turns in row for part in turns or [] if part)  # text and context as one
            for batch in rows.texts(positions)
            for row in zip(*(batch.column(name).to_pylist() for name in ("text", "context")), strict=True)
        ]
        self.batches = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]

    def vocabulary(self) -> Vocabulary:
        """The words that occur in two texts or more."""
        return Vocabulary.learn(self.batches, rarest=2)

    def words(self, vocabulary: Vocabulary) -> csr_array:
        """TF-IDF weights, `[N, F]` float32."""
        return csr_array(vstack([vocabulary.weigh(texts) for texts in [[], *self.batches]], format="csr"))


def features_of(labels: Labels, rows: Rows, positions: np.ndarray | None = None) -> Features | Words:
    """What the reference models for these labels read of some rows."""
    return (Words if several(labels) else Features)(rows, positions)


class Scaling:
    """Brings `Sided` features to a common scale and appends the constant 1 to the even ones.

    Signed features are only divided: they have mean 0 over both orders, and subtracting anything else would tell the
    orders apart.

    Args:
        signed: root mean square of each signed feature, `[S]`.
        mean: of each even feature, `[E]`.
        spread: standard deviation of each even feature, `[E]`.
    """

    def __init__(self, signed: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> None:
        self.signed, self.mean, self.spread = signed, mean, spread

    @classmethod
    def learn(cls, features: Sided) -> "Scaling":
        """From training rows; a feature that never differs stays 0."""
        signed, spread = np.sqrt((features.signed**2).mean(axis=0)), features.even.std(axis=0)
        return cls(_or_one(signed), features.even.mean(axis=0), _or_one(spread))

    def __call__(self, features: Sided) -> tuple[Matrix, Matrix]:
        """`[N, S]` and `[N, E + 1]`."""
        signed = np.clip(features.signed / self.signed, -EXTREME, EXTREME)
        even = np.clip((features.even - self.mean) / self.spread, -EXTREME, EXTREME)
        return signed, np.concatenate([even, np.ones((len(even), 1))], axis=1)


def _or_one(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 1e-9, scale, 1.0)
