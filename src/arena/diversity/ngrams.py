"""Distinct n-grams: how many of the n-grams of a set of texts are different ones.

distinct-n = unique n-grams / all n-grams, pooled over the set (Li et al. 2016, arXiv 1510.03055). The mean of the
ratios of single texts is another number and says nothing of texts that resemble each other. It falls with the number
and the length of texts, so only sets of like size compare; the expectation-adjusted form corrects for that in part.
"""

import numpy as np

from arena.diversity.counts import Grams, Tokens
from arena.stats.intervals import quotient

VOCABULARY = 30_522
"""Words that the expectation-adjusted form takes texts to be drawn from, unless told otherwise: BERT's vocabulary, as
its authors took it. Values for different vocabularies do not compare."""


def distinct_of_sets(given: Tokens, grams: Grams) -> np.ndarray:
    """Distinct-n of each set, `[S]`; NaN where a set has no such n-gram."""
    return quotient(np.bincount(grams.group, minlength=given.sets), given.per_set(grams.total))


def expectation_adjusted(unique: np.ndarray, total: np.ndarray, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Unique n-grams over how many different ones as many draws from `vocabulary` equally frequent ones would give.

    N / (V (1 - ((V - 1) / V)^C)) with N different ones of C (Liu et al. 2022, ACL, "Rethinking and Refining the
    Distinct Metric"). Can exceed 1. NaN where there is no n-gram.
    """
    total = np.asarray(total, dtype=np.float64)
    return quotient(unique, -vocabulary * np.expm1(total * np.log1p(-1 / vocabulary)))
