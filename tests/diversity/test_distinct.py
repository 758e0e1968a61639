"""Distinct n-grams against values by hand and against counting with sets."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.diversity.counts import count, tokens
from arena.diversity.ngrams import distinct_of_sets, expectation_adjusted

SETS = st.lists(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=5), max_size=4)


def distinct(texts, order: int) -> float:
    given = tokens([texts])
    return float(distinct_of_sets(given, count(given, order)[-1])[0])


def by_sets(texts, order: int) -> float:
    grams = [tuple(text[i : i + order]) for text in texts for i in range(len(text) - order + 1)]
    return len(set(grams)) / len(grams) if grams else math.nan


def test_pooled_over_the_set():
    """Of a b a b | a b c: 3 of 7 words, 3 of 5 pairs; the means of single texts would be .75 and .8333."""
    texts = ["a b a b", "a b c"]
    assert distinct(texts, 1) == pytest.approx(3 / 7)
    assert distinct(texts, 2) == pytest.approx(3 / 5)


def test_expectation_adjusted():
    assert expectation_adjusted(np.array([3, 50]), np.array([7, 100]), 10)[0] == pytest.approx(0.5750397113)
    assert expectation_adjusted(np.array([50]), np.array([100]), 1000)[0] == pytest.approx(0.5251667639)
    assert np.isnan(expectation_adjusted(np.array([0]), np.array([0]))[0])
    assert expectation_adjusted(np.array([100]), np.array([100]), 50)[0] > 1


def test_not_defined_without_such_n_grams():
    assert math.isnan(distinct([], 1))
    assert math.isnan(distinct(["", "  "], 1))
    assert math.isnan(distinct(["one", "two"], 2))
    assert distinct(["one"], 1) == 1


@given(SETS, st.integers(1, 4))
def test_many_sets_equal_counting_each_with_sets(sets, order):
    found = tokens(sets)
    grams = count(found, order)[-1]
    expected = [by_sets(texts, order) for texts in sets]
    np.testing.assert_allclose(distinct_of_sets(found, grams), expected)
    per_text = [max(0, len(text) - order + 1) for texts in sets for text in texts]
    assert grams.total.tolist() == per_text


def test_counts_of_long_random_texts():
    """Every (set, n-gram, text) with its count, against a dictionary."""
    draw = random.Random(0)
    sets = [[[draw.choice("abcde") for _ in range(draw.randrange(40))] for _ in range(5)] for _ in range(20)]
    for order, grams in enumerate(count(tokens(sets), 3), start=1):
        expected: dict[tuple, int] = {}
        for s, texts in enumerate(sets):
            for t, text in enumerate(texts):
                for i in range(len(text) - order + 1):
                    key = (s, 5 * s + t, *text[i : i + order])
                    expected[key] = expected.get(key, 0) + 1
        pairs = zip(grams.group[grams.gram].tolist(), grams.text.tolist(), grams.count.tolist(), strict=True)
        assert sorted(pairs) == sorted((*key[:2], times) for key, times in expected.items())
        assert len(grams.group) == len({(key[0], *key[2:]) for key in expected})
