"""Hashed counts against scikit-learn's, which keeps the words themselves."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from arena.evaluation.baselines.grams import Characters, piece_counts, word_counts

TEXTS = ["The tide,  the TIDE\nturns; 42 tides!", "", "one", "Ein Müller, the tide", "a b a b a b", "   \n "]


def test_words_and_pairs_are_counted():
    found = word_counts(Characters(TEXTS))
    known: Any = CountVectorizer(token_pattern=r"[^\W_]+", ngram_range=(1, 2)).fit_transform(TEXTS)
    assert found.nnz == known.nnz  # no two of these few words share a bucket
    np.testing.assert_array_equal(found.sum(axis=1), known.sum(axis=1).A1)
    np.testing.assert_array_equal((found @ found.T).toarray(), (known @ known.T).toarray())


def test_pieces_of_characters_are_counted():
    found = piece_counts(Characters(TEXTS), (3, 4))
    plain = [" ".join(text.lower().split()) for text in TEXTS]
    known: Any = CountVectorizer(analyzer="char", ngram_range=(3, 4)).fit_transform(plain)
    assert found.nnz == known.nnz
    np.testing.assert_array_equal((found @ found.T).toarray(), (known @ known.T).toarray())


def test_ideographs_are_words():
    """火山 and 山火 share both characters and no pair; kana count like Han characters, beside a Latin word."""
    counts = word_counts(Characters(["火山", "山火", "火山の mountain"]))
    np.testing.assert_array_equal((counts @ counts.T).toarray(), [[3, 2, 3], [2, 3, 2], [3, 2, 7]])


def test_weights_are_those_of_scikit_learn():
    from arena.evaluation.baselines.vocabulary import Vocabulary

    answers = TEXTS + TEXTS[::-1]
    weighed = Vocabulary.learn([TEXTS, TEXTS[::-1]], rarest=1).weigh(TEXTS)
    expected: Any = 0
    for how in (
        {"token_pattern": r"[^\W_]+", "ngram_range": (1, 2)},
        {"analyzer": "char", "ngram_range": (3, 4), "preprocessor": lambda text: " ".join(text.lower().split())},
    ):
        known: Any = TfidfVectorizer(sublinear_tf=True, **how).fit(answers).transform(TEXTS)
        expected = expected + (known @ known.T).toarray()
    np.testing.assert_allclose((weighed @ weighed.T).toarray(), expected, atol=1e-5)
