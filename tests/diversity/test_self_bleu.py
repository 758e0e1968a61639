"""Self-BLEU against published values, nltk and sacrebleu."""

import random
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.diversity import ngrams
from arena.diversity.words import words

Smoothing = Literal["method1", "exp"]

PAPINENI = [
    text.split()
    for text in (
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    )
]
CATS = ["the cat sat on the mat", "the cat sat on the rug", "a dog ran in the park"]


def self_bleu(texts, order: int = 4, smoothing: Smoothing = "method1") -> np.ndarray:
    """Of one set of texts, or of lists of words."""
    cut = [words(text) if isinstance(text, str) else text for text in texts]
    return ngrams.self_bleu(ngrams.count(cut, order), smoothing)


def random_sets(seed: int, sets: int, texts: int, longest: int) -> list[list[list[str]]]:
    """Sets of lists of words, some empty, with words that repeat."""
    draw = random.Random(seed)
    return [
        [[draw.choice("aaabbcdefg") for _ in range(draw.randrange(longest))] for _ in range(texts)] for _ in range(sets)
    ]


def test_published_values_of_fast_bleu():
    """The list in fast-bleu's README."""
    np.testing.assert_allclose(self_bleu(PAPINENI, 2), [0.2581988897, 0.3615507631, 0.3708099244], atol=1e-9)
    np.testing.assert_allclose(self_bleu(PAPINENI, 3), [0.07808966, 0.20140621, 0.21415336], atol=1e-8)


def test_published_values_of_nltk():
    """The first text of a set is a hypothesis whose references are the others: nltk's own examples, after Papineni."""
    one = "It is a guide to action which ensures that the military always obeys the commands of the party"
    two = "It is to insure the troops forever hearing the activity guidebook that party direct"
    assert self_bleu([one.split(), *PAPINENI])[0] == pytest.approx(0.5045666840, abs=1e-10)
    assert self_bleu([two.split(), *PAPINENI])[0] == pytest.approx(0.0370313119, abs=1e-10)
    assert self_bleu(["the " * 7, "the cat is on the mat", "there is a cat on the mat"], 1)[0] == pytest.approx(2 / 7)


def test_published_value_of_sacrebleu():
    """Its own test of single sentences, cut as its tokeniser 13a cuts them."""
    system = (
        "Produc\u021bia de zah\u0103r prim\u0103 va fi exprimat\u0103 \u00een ceea ce prive\u0219te zah\u0103rul alb ;"
    )
    reference = "produc\u0163ia de zah\u0103r brut se exprim\u0103 \u00een zah\u0103r alb ;"
    found = self_bleu([system.split(), reference.split()], smoothing="exp")
    assert 100 * found[0] == pytest.approx(8.493, abs=1e-3)
    assert self_bleu(["this is a cat", "okay thanks"], smoothing="exp").tolist() == [0, 0]


def test_both_smoothings():
    np.testing.assert_allclose(self_bleu(CATS), [0.7598, 0.7598, 0.0408], atol=5e-5)
    assert self_bleu(CATS).mean() == pytest.approx(0.5201654001)
    assert self_bleu(CATS, smoothing="exp").mean() == pytest.approx(0.533612783391)


@pytest.mark.parametrize("smoothing", ["method1", "exp"])
def test_copies_and_strangers(smoothing):
    assert self_bleu([CATS[0]] * 3, smoothing=smoothing).tolist() == pytest.approx([1, 1, 1])
    assert self_bleu(["a b c d", "e f g h"], smoothing=smoothing).tolist() == [0, 0]


def test_copies_of_a_short_text():
    """The two smoothings part where a text has no n-gram of the highest length."""
    assert self_bleu(["so true"] * 2, 4, "exp").tolist() == pytest.approx([1, 1])
    assert self_bleu(["so true"] * 2, 4).tolist() == pytest.approx([0.1**0.5] * 2)


def test_texts_without_words_are_no_part_of_a_set():
    assert np.isnan(self_bleu(["a b"])).all()
    assert np.isnan(self_bleu(["a b", ""])).all()
    assert self_bleu([]).tolist() == []
    with_empty = self_bleu([*CATS, " "])
    np.testing.assert_array_equal(with_empty, [*self_bleu(CATS), np.nan])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equals_nltk(order):
    bleu_score = pytest.importorskip("nltk.translate.bleu_score")
    smooth = bleu_score.SmoothingFunction().method1
    sets = random_sets(order, 25, 6, 14)
    for texts in sets:
        found = self_bleu(texts, order)
        for i, text in enumerate(texts):
            others = [other for j, other in enumerate(texts) if j != i and other]
            if text and others:
                weights = [1 / order] * order
                expected = bleu_score.sentence_bleu(others, text, weights, smoothing_function=smooth)
                assert found[i] == pytest.approx(expected, abs=1e-12)
            else:
                assert np.isnan(found[i])


@pytest.mark.parametrize("order", [1, 2, 4])
def test_equals_sacrebleu(order):
    sacrebleu = pytest.importorskip("sacrebleu")
    metric = sacrebleu.BLEU(effective_order=True, tokenize="none", max_ngram_order=order)
    sets = random_sets(order, 25, 6, 14)
    for texts in sets:
        found = self_bleu(texts, order, "exp")
        for i, text in enumerate(texts):
            others = [" ".join(other) for j, other in enumerate(texts) if j != i and other]
            if text and others:
                expected = metric.sentence_score(" ".join(text), others).score / 100
                assert found[i] == pytest.approx(expected, abs=1e-12)


TEXTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), min_size=2, max_size=5)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4), st.sampled_from(["method1", "exp"]), st.randoms(use_true_random=False))
def test_bounds_order_and_doubling(texts, order, smoothing: Smoothing, draw):
    values = self_bleu(texts, order, smoothing)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    shuffled = draw.sample(range(len(texts)), len(texts))
    np.testing.assert_allclose(self_bleu([texts[i] for i in shuffled], order, smoothing), values[shuffled])
    assert (self_bleu(texts + texts, order, smoothing)[: len(texts)] >= values - 1e-12).all()
