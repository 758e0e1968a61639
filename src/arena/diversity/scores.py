"""How diverse a set of texts is, as one number that training can reward.

A score D(S) says something of a whole set. What one text adds to it is D(S) - D(S without it); these differences are
an unbiased credit for the gradient of the expected score, whatever the score (arXiv 2602.01062). A text without words
is no part of a set: it adds nothing and takes nothing away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.schema import Count, Positive
from arena.diversity import vectors
from arena.diversity.counts import Tokens, count, tokens
from arena.diversity.encoder import Encoder
from arena.diversity.ngrams import distinct_of_sets
from arena.diversity.self_bleu import Smoothing, bleu, mean_of_sets
from arena.diversity.words import words

Rewards = Sequence[np.ndarray] | None
"""How good each text of each set is, `[n]` each; None where diversity alone counts."""


class SetScore:
    """The diversity of a set of texts; more is more diverse.

    Attributes:
        least: texts with words in the smallest set that it is defined on. Credits need one more.
    """

    least = 1

    def __call__(self, texts: Sequence[str]) -> float:
        """D(S); NaN where it is not defined."""
        return self.many([texts])[0][0]

    def many(self, sets: Sequence[Sequence[str]]) -> list[tuple[float, np.ndarray]]:
        """D(S) and D(S without each) of many sets, all counted or encoded in one go."""
        raise NotImplementedError


def _by_set(sets: Sequence[Sequence[str]], values: np.ndarray, without: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """D of each set `[S]`, and of each text's set without it `[N]`, set by set."""
    parts = np.split(without, np.cumsum([len(texts) for texts in sets])[:-1]) if sets else []
    return [(float(value), part) for value, part in zip(values, parts, strict=True)]


class _Counted(SetScore):
    """A score of n-grams."""

    def many(self, sets: Sequence[Sequence[str]]) -> list[tuple[float, np.ndarray]]:
        cut = [[words(text) for text in texts] for texts in sets]
        values = self._of(tokens([*cut, *(texts[:i] + texts[i + 1 :] for texts in cut for i in range(len(texts)))]))
        return _by_set(sets, values[: len(cut)], values[len(cut) :])

    def _of(self, given: Tokens) -> np.ndarray:
        """D of each set, `[S]`."""
        raise NotImplementedError


class Distinct(_Counted):
    """Distinct-n: different n-grams over all n-grams of the set, between 0 and 1.

    Args:
        n: words of an n-gram.
    """

    def __init__(self, n: Count = 2) -> None:
        self.n = n

    def _of(self, given: Tokens) -> np.ndarray:
        return distinct_of_sets(given, count(given, self.n)[-1])


class SelfBleu(_Counted):
    """1 - mean self-BLEU, between 0 and 1.

    Args:
        order: longest n-grams; texts of few words call for 2 or 3.
        smoothing: `method1` or `exp`, see `arena.diversity.self_bleu.self_bleu`.
    """

    least = 2

    def __init__(self, order: Count = 2, smoothing: Literal["method1", "exp"] = "method1") -> None:
        self.order = order
        self.smoothing: Smoothing = (
            smoothing  # the annotation above is read by arena.core.schema, which follows no names
        )

    def _of(self, given: Tokens) -> np.ndarray:
        return 1 - mean_of_sets(given, bleu(given, count(given, self.order), self.smoothing))


class _Embedded(SetScore):
    """A score of embeddings."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def many(self, sets: Sequence[Sequence[str]]) -> list[tuple[float, np.ndarray]]:
        texts = [text for some in sets for text in some]
        filled = np.flatnonzero([bool(words(text)) for text in texts])
        group = np.repeat(np.arange(len(sets)), [len(some) for some in sets])
        values = np.full(len(sets), np.nan)
        without = np.full(len(filled), np.nan)
        embeddings = self.encoder.encode([texts[i] for i in filled])
        for which, rows, stack in vectors.stacks(embeddings, np.bincount(group[filled], minlength=len(sets))):
            n = stack.shape[1]
            if n >= self.least:
                values[which] = self._of(stack)
            if n > self.least:
                without[rows] = np.stack([self._of(np.delete(stack, i, axis=1)) for i in range(n)], axis=1)
        everywhere = values[group]  # a set is the same without a text that was no part of it
        everywhere[filled] = without
        return _by_set(sets, values, everywhere)

    def _of(self, stack: np.ndarray) -> np.ndarray:
        """D of sets of one size, `[B, n, d]` -> `[B]`."""
        raise NotImplementedError


class CosineDistance(_Embedded):
    """Mean of 1 - cos over all pairs, between 0 and n / (n - 1); two clusters can satisfy it.

    Args:
        encoder: texts to vectors.
    """

    least = 2

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.cosine_distances(stack)


class LogDet(_Embedded):
    """log det(K + I) in nats, between log(1 + n) for copies and n log 2; copies are worth little, but never nothing.

    Args:
        encoder: texts to vectors.
    """

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.log_det(vectors.kernel(stack))


class Vendi(_Embedded):
    """Vendi score: how many different texts there are in effect, between 1 and n.

    Args:
        encoder: texts to vectors.
        order: of the Renyi entropy; 1 is Shannon's.
    """

    def __init__(self, encoder: Encoder, order: Positive = 1.0) -> None:
        super().__init__(encoder)
        self.order = order

    def _of(self, stack: np.ndarray) -> np.ndarray:
        return vectors.vendi(vectors.kernel(stack), self.order)


@dataclass
class Credits:
    """What training learns of S sets of n texts each.

    Attributes:
        value: D(S), `[S]`, times the mean reward where there are rewards; NaN where no text of the set could be judged.
        credit: D(S) - D(S without i), `[S, n]`.
        undefined: whether D(S), or D(S without i) of some i, was not defined, `[S]` bool.
    """

    value: np.ndarray
    credit: np.ndarray
    undefined: np.ndarray


def credits_of(score: SetScore, sets: Sequence[Sequence[str]], rewards: Rewards = None) -> Credits:
    """Score sets for training: no set is left out for what its texts say.

    A set with fewer texts with words than a score needs (self-BLEU: two) holds no diversity: 0. To leave it out would
    be to choose sets by what was sampled, which is another gradient than that of the expected score.

    With rewards it is f(S) = mean(r) D(S), the polychromic objective (arXiv 2509.25424): diversity of bad texts is
    worth nothing, and so is one good text many times. Texts without words count in the mean. A reward that is not known
    is 0 for the same reason as above; where none of a set is known, which is the prompt's doing, the set is left out.

    Args:
        score: D.
        sets: texts, as many in each set.
        rewards: how good each text is, from 0 to 1, NaN where it could not be judged; None for D alone.
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
