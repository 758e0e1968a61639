"""Distinct n-grams against values by hand and against counting with sets."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.diversity import ngrams
from arena.diversity.words import words

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=5)


def distinct(texts, order: int) -> float:
    return ngrams.distinct(ngrams.count([words(text) for text in texts], order)[-1])


def by_sets(texts, order: int) -> float:
    grams = [tuple(text[i : i + order]) for text in texts for i in range(len(text) - order + 1)]
    return len(set(grams)) / len(grams) if grams else math.nan


def test_pooled_over_the_set():
    """Of a b a b | a b c: 3 of 7 words, 3 of 5 pairs; the means of single texts would be .75 and .8333."""
    texts = ["a b a b", "a b c"]
    assert distinct(texts, 1) == pytest.approx(3 / 7)
    assert distinct(texts, 2) == pytest.approx(3 / 5)


def drawn(unique, total):
    """The pairs of a set: so many different ones among so many."""
    return [Counter({(str(i),): 1 for i in range(1, unique)}) + Counter({("0",): total - unique + 1})]


def test_expectation_adjusted():
    assert ngrams.expectation_adjusted(drawn(3, 7), 10) == pytest.approx(0.5750397113)
    assert ngrams.expectation_adjusted(drawn(50, 100), 1000) == pytest.approx(0.5251667639)
    assert math.isnan(ngrams.expectation_adjusted([]))
    assert ngrams.expectation_adjusted(drawn(100, 100), 50) > 1


def test_not_defined_without_such_n_grams():
    assert math.isnan(distinct([], 1))
    assert math.isnan(distinct(["", "  "], 1))
    assert math.isnan(distinct(["one", "two"], 2))
    assert distinct(["one"], 1) == 1


@given(TEXTS, st.integers(1, 4))
def test_equals_counting_with_sets(texts, order):
    grams = ngrams.count(texts, order)[-1]
    np.testing.assert_allclose(ngrams.distinct(grams), by_sets(texts, order))
    assert [each.total() for each in grams] == [max(0, len(text) - order + 1) for text in texts]
