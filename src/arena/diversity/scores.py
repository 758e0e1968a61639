"""How diverse a set of texts is, as one number that training can reward.

A score D(S) says something of a whole set. What one text adds to it is D(S) - D(S without it); these differences are
an unbiased credit for the gradient of the expected score, whatever the score (arXiv 2602.01062). A text without words
is no part of a set: it adds nothing and takes nothing away.

Shape legend: S sets, N texts of all sets together, n texts of one set, B sets of one size, d embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.schema import Count, Positive
from arena.diversity import vectors
from arena.diversity.encoder import Encoder
from arena.diversity.ngrams import Grams, count, distinct, self_bleu
from arena.diversity.words import words

Rewards = Sequence[np.ndarray] | None
"""How good each text of each set is, `[n]` each; None where diversity alone counts."""
Scored = list[tuple[float, np.ndarray]]
"""D(S), and D(S without each text) `[n]`, of each set."""


class SetScore:
    """The diversity of a set of texts; more is more diverse.

    Attributes:
        min_texts: texts with words in the smallest set that it is defined on. Credits need one more.
    """

    min_texts = 1

    def __call__(self, texts: Sequence[str]) -> float:
        """Compute D(S); NaN where it is not defined."""
        return self.many([texts])[0][0]

    def many(self, sets: Sequence[Sequence[str]]) -> Scored:
        """Compute D(S) and D(S without each) of many sets."""
        raise NotImplementedError


class _Counted(SetScore):
    """A score of n-grams of lengths up to `order`."""

    order: int

    def many(self, sets: Sequence[Sequence[str]]) -> Scored:
        found = []
        for texts in sets:
            grams = count([words(text) for text in texts], self.order)
            without = [self._of([each[:i] + each[i + 1 :] for each in grams]) for i in range(len(texts))]
            found.append((self._of(grams), np.array(without, dtype=np.float64)))
        return found

    def _of(self, grams: Sequence[Grams]) -> float:
        """D of a set."""
        raise NotImplementedError


class Distinct(_Counted):
    """Distinct-n: different n-grams of `n` words over all n-grams of the set, between 0 and 1."""

    def __init__(self, n: Count = 2) -> None:
        self.order = n

    def _of(self, grams: Sequence[Grams]) -> float:
        return distinct(grams[-1])


class SelfBleu(_Counted):
    """1 - mean self-BLEU, between 0 and 1; see `arena.diversity.ngrams.self_bleu`. Texts of few words call for an
    `order` of 2 or 3."""

    min_texts = 2

    def __init__(self, order: Count = 2, smoothing: Literal["method1", "exp"] = "method1") -> None:
        self.order = order
        self.smoothing: Literal["method1", "exp"] = smoothing

    def _of(self, grams: Sequence[Grams]) -> float:
        return 1 - mean_defined(self_bleu(grams, self.smoothing))


def mean_defined(values: np.ndarray) -> float:
    """Average the values that are defined; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


class _Embedded(SetScore):
    """A score of embeddings."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def many(self, sets: Sequence[Sequence[str]]) -> Scored:
        texts = [text for some in sets for text in some]
        filled = np.flatnonzero([bool(words(text)) for text in texts])
        group = np.repeat(np.arange(len(sets)), [len(some) for some in sets])
        values = np.full(len(sets), np.nan)
        without = np.full(len(filled), np.nan)
        embeddings = self.encoder.encode([texts[i] for i in filled])
        for which, rows, stack in vectors.stacks(embeddings, np.bincount(group[filled], minlength=len(sets))):
            n = stack.shape[1]
            if n >= self.min_texts:
                values[which] = self._of(stack)
            if n > self.min_texts:
                without[rows] = np.stack([self._of(np.delete(stack, i, axis=1)) for i in range(n)], axis=1)
        everywhere = values[group]  # a set is the same without a text that was no part of it
        everywhere[filled] = without
        return [(float(value), everywhere[group == i]) for i, value in enumerate(values)]

    def _of(self, stack: np.ndarray) -> np.ndarray:
        """D of sets of one size, `[B, n, d]` -> `[B]`."""
        raise NotImplementedError


class CosineDistance(_Embedded):
    """Mean of 1 - cos over all pairs, between 0 and n / (n - 1); two clusters can satisfy it."""

    min_texts = 2

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.cosine_distances(stack)


class LogDet(_Embedded):
    """log det(K + I) in nats, between log(1 + n) for copies and n log 2; copies are worth little, but never nothing."""

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.log_det(vectors.kernel(stack))


class Vendi(_Embedded):
    """Vendi score: different texts in effect, between 1 and n; see `arena.diversity.vectors.vendi`."""

    def __init__(self, encoder: Encoder, order: Positive = 1.0) -> None:
        super().__init__(encoder)
        self.order = order

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.vendi(vectors.kernel(stack), self.order)


@dataclass
class Credits:
    """Scores of S sets of n texts each for training.

    Attributes:
        value: D(S), `[S]`, times the mean reward where there are rewards; NaN where no text of the set could be judged.
        credit: D(S) - D(S without i), `[S, n]`.
        undefined: D(S), or D(S without i) of some i, was not defined, `[S]` bool.
    """

    value: np.ndarray
    credit: np.ndarray
    undefined: np.ndarray


def credits_of(score: SetScore, sets: Sequence[Sequence[str]], rewards: Rewards = None) -> Credits:
    """Score sets of equally many texts for training: no set is left out for what its texts say.

    A set with fewer texts with words than a score needs (self-BLEU: two) holds no diversity: 0. To leave it out would
    be to choose sets by what was sampled, which is another gradient than that of the expected score.

    With rewards it is f(S) = mean(r) D(S), the polychromic objective (arXiv 2509.25424): diversity of bad texts is
    worth nothing, and so is one good text many times. Texts without words count in the mean. A reward (0 to 1) that is
    NaN is 0 for the same reason as above; where all of a set are, which is the prompt's doing, the set is left out.
    """
    found = score.many(sets)
    value, without = np.array([one for one, _ in found]), np.stack([each for _, each in found])
    undefined = ~(np.isfinite(value) & np.isfinite(without).all(axis=1))
    value, without = np.nan_to_num(value), np.nan_to_num(without)
    if rewards is not None:
        given = np.stack(rewards)
        judged = np.isfinite(given).any(axis=1)
        reward, n = np.nan_to_num(given), given.shape[1]
        value = np.where(judged, reward.mean(axis=1) * value, np.nan)
        # Summed anew for each: a difference of sums would leave a rounding behind.
        others = np.stack([np.delete(reward, i, axis=1).mean(axis=1) for i in range(n)], axis=1)
        without = others * without
    return Credits(value, value[:, None] - without, undefined)
