"""The features of some rows, each kind computed when it is first asked for and then kept."""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from arena.data.source.rows import Rows
from arena.evaluation.baselines import structure
from arena.evaluation.baselines.logistic import Matrix
from arena.evaluation.baselines.structure import Sided
from arena.evaluation.baselines.vocabulary import Vocabulary

EXTREME = 6.0
"""Standard deviations beyond which a feature says no more: one strange text must not decide."""


class Features:
    """What members read of some rows.

    Args:
        rows: where facts and texts are.
        positions: which rows, increasing, `[N]`; all by default.
    """

    def __init__(self, rows: Rows, positions: np.ndarray | None = None) -> None:
        self.rows = rows
        self.positions = np.arange(rows.num_rows) if positions is None else positions
        self._differences: tuple[Vocabulary, csr_array] | None = None

    @cached_property
    def length(self) -> Sided:
        """See `arena.evaluation.baselines.structure.of_lengths`."""
        return structure.of_lengths(self.rows, self.positions)

    @cached_property
    def structure(self) -> Sided:
        """See `arena.evaluation.baselines.structure.of_texts`."""
        return structure.of_texts(self.rows, self.positions)

    def words(self, vocabulary: Vocabulary) -> tuple[csr_array, csr_array]:
        """Signed and absolute differences of TF-IDF weights, each `[N, F]` float32; they share their indices."""
        if self._differences is None or self._differences[0] is not vocabulary:
            self._differences = vocabulary, vocabulary.differences(self.rows, self.positions)
        signed = self._differences[1]
        even = csr_array((np.abs(signed.data), signed.indices, signed.indptr), shape=signed.shape)
        return signed, even


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
