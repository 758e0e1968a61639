"""Hashed counts against scikit-learn's, which keeps the words themselves."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from arena.evaluation.baselines.words import BUCKETS, gram_counts, learn_idf, weigh, word_counts

TEXTS = ["The tide,  the TIDE\nturns; 42 tides!", "", "one", "Ein Müller, the tide", "a b a b a b", "   \n "]


def test_words_pairs_and_pieces_are_counted():
    counts = gram_counts(TEXTS)
    plain = [" ".join(text.lower().split()) for text in TEXTS]
    for found, options in (
        (counts[:, :BUCKETS], {"token_pattern": r"[^\W_]+", "ngram_range": (1, 2)}),
        (counts[:, BUCKETS:], {"analyzer": "char", "ngram_range": (3, 4)}),
    ):
        known: Any = CountVectorizer(**options).fit_transform(plain)
        assert found.nnz == known.nnz  # no two of these few share a bucket
        np.testing.assert_array_equal((found @ found.T).toarray(), (known @ known.T).toarray())


def test_ideographs_are_words():
    """火山 and 山火 share both characters and no pair; kana count like Han characters, beside a Latin word."""
    counts = word_counts(["火山", "山火", "火山の mountain"], 2)
    np.testing.assert_array_equal((counts @ counts.T).toarray(), [[3, 2, 3], [2, 3, 2], [3, 2, 7]])


def test_weights_are_those_of_a_vectorizer_that_keeps_the_words():
    counts = gram_counts(TEXTS)
    weighed = weigh([counts], *learn_idf([counts, gram_counts(TEXTS[::-1])], rarest=1))
    expected: Any = 0
    for how in (
        {"token_pattern": r"[^\W_]+", "ngram_range": (1, 2)},
        {"analyzer": "char", "ngram_range": (3, 4), "preprocessor": lambda text: " ".join(text.lower().split())},
    ):
        known: Any = TfidfVectorizer(sublinear_tf=True, **how).fit(TEXTS + TEXTS[::-1]).transform(TEXTS)
        expected = expected + (known @ known.T).toarray()
    np.testing.assert_allclose((weighed @ weighed.T).toarray(), expected, atol=1e-5)
