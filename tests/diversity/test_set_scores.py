"""Set scores for training: credits are exact, and the invariances that training relies on hold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.core import schema
from arena.core.errors import UsageError
from arena.diversity.encoder import HashEncoder
from arena.diversity.scores import CosineDistance, Distinct, LogDet, SelfBleu, SetScore, Vendi, credits_of

ENCODER = HashEncoder(32)
SCORES: dict[str, SetScore] = {
    "distinct": Distinct(),
    "distinct_1": Distinct(n=1),
    "self_bleu": SelfBleu(),
    "self_bleu_exp": SelfBleu(order=3, smoothing="exp"),
    "cosine": CosineDistance(ENCODER),
    "log_det": LogDet(ENCODER),
    "vendi": Vendi(ENCODER),
    "vendi_2": Vendi(ENCODER, order=2),
}
TEXTS = ["the cat sat on the mat", "a cat sat on a mat", "dogs bark", "", "the cat sat on the mat", "so what ?"]
WORDS = st.lists(st.sampled_from("abcde"), max_size=5).map(" ".join)
FILLED = st.lists(st.sampled_from("abcde"), min_size=2, max_size=5).map(" ".join)


def without_each(score, texts) -> np.ndarray:
    """D(S without text i), `[n]`."""
    return score.many([texts])[0][1]


def upper_bound(name: str, n: int) -> float:
    """The greatest value that each score can have for n texts."""
    if name == "cosine":
        return n / (n - 1)
    return {"log_det": n * math.log(2), "vendi": n, "vendi_2": n}.get(name, 1.0)


@pytest.mark.parametrize("name", SCORES)
def test_leave_one_out_equals_the_score_without_each(name):
    score = SCORES[name]
    expected = [score(TEXTS[:i] + TEXTS[i + 1 :]) for i in range(len(TEXTS))]
    np.testing.assert_allclose(without_each(score, TEXTS), expected, atol=1e-12)
    assert without_each(score, TEXTS)[3] == pytest.approx(score(TEXTS)), "a text without words earns nothing"


@pytest.mark.parametrize("name", SCORES)
@settings(deadline=None, max_examples=25)
@given(sets=st.lists(st.lists(WORDS, max_size=4), max_size=4))
def test_many_sets_equal_one_by_one(name, sets):
    score = SCORES[name]
    found = score.many(sets)
    assert len(found) == len(sets)
    for (value, without), texts in zip(found, sets, strict=True):
        assert isinstance(value, float)
        np.testing.assert_allclose(value, score(texts), atol=1e-12)
        anew = [score(texts[:i] + texts[i + 1 :]) for i in range(len(texts))]
        np.testing.assert_allclose(without, anew, atol=1e-9)
        assert without.shape == (len(texts),)


@pytest.mark.parametrize("name", SCORES)
def test_not_defined_below_the_least(name):
    score = SCORES[name]
    assert math.isnan(score([]))
    assert math.isnan(score(["", " "]))
    for n in (1, 2, 3):
        assert math.isnan(score(TEXTS[:n])) == (n < score.min_texts)
    assert np.isnan(without_each(score, TEXTS[: score.min_texts])).all()
    assert np.isfinite(without_each(score, TEXTS[: score.min_texts + 1])).all()


@pytest.mark.parametrize("name", SCORES)
@settings(deadline=None, max_examples=25)
@given(texts=st.lists(FILLED, min_size=2, max_size=5), draw=st.randoms(use_true_random=False))
def test_order_bounds_and_copies(name, texts, draw):
    score = SCORES[name]
    value = score(texts)
    order = draw.sample(range(len(texts)), len(texts))
    assert score([texts[i] for i in order]) == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(
        without_each(score, [texts[i] for i in order]), without_each(score, texts)[order], atol=1e-9
    )
    assert -1e-9 <= value <= upper_bound(name, len(texts)) + 1e-9
    if not name.startswith("distinct"):  # copies of a varied text have more different words than one that stutters
        assert score([texts[0]] * len(texts)) <= value + 1e-9
    if name != "log_det":  # a determinant is no mean over texts: twice as many count more
        assert score(texts + texts) <= value + 1e-9


def test_log_det_of_copies_is_its_least():
    assert LogDet(ENCODER)(["a b c"] * 4) == pytest.approx(math.log(5), abs=1e-12)


def test_quality_gates_diversity():
    """f(S) = mean(r) D(S) of a, a, b, c with D = different words / words."""
    found = credits_of(Distinct(n=1), [["a", "a", "b", "c"]], [np.array([1.0, 1, 1, 0])])
    assert found.value[0] == pytest.approx(3 / 4 * 3 / 4)
    without = found.value[:, None] - found.credit
    np.testing.assert_allclose(without, [[2 / 3 * 1, 2 / 3 * 1, 2 / 3 * 2 / 3, 1 * 2 / 3]])


def test_marginals_of_all_subsets():
    """Poly-EPO: four samples of classes A A B C with rewards 1 1 1 0, subsets of two; a text here is its class."""
    texts, rewards = ["a", "a", "b", "c"], np.array([1.0, 1, 1, 0])
    subsets = list(itertools.combinations(range(4), 2))
    sets = [[texts[i] for i in each] for each in subsets]
    values = credits_of(Distinct(n=1), sets, [rewards[list(each)] for each in subsets]).value
    advantage = values - values.mean()
    marginals = [np.mean([a for a, each in zip(advantage, subsets, strict=True) if i in each]) for i in range(4)]
    np.testing.assert_allclose(marginals, [0, 0, 1 / 6, -1 / 6], atol=1e-12)


def test_rewards_that_are_missing():
    """A reply that cannot be judged earns nothing; a prompt none of whose replies can be judged is left out."""
    rewards = [np.array([1.0, np.nan, 0.0]), np.array([1.0, 0.0, 0.0]), np.full(3, np.nan)]
    found = credits_of(Distinct(n=1), [["a", "b", "b"]] * 3, rewards)
    np.testing.assert_array_equal(found.value[0], found.value[1])
    np.testing.assert_array_equal(found.credit[0], found.credit[1])
    assert math.isnan(found.value[2])
    assert not found.undefined.any()


@pytest.mark.parametrize("name", SCORES)
def test_sets_that_are_none_count_nothing(name):
    """Not defined is 0 in training, and counted: with too few texts with words, and without one of just enough."""
    least = SCORES[name].min_texts
    enough, few, none = TEXTS[: least + 1], [*TEXTS[:least], ""], [""] * (least + 1)
    found = credits_of(SCORES[name], [enough, few, none])
    assert found.undefined.tolist() == [False, True, True]
    assert np.isfinite(found.credit).all()
    np.testing.assert_allclose(found.credit[1], [found.value[1]] * least + [0.0], atol=1e-12)
    assert found.value[2] == 0
    assert not found.credit[2].any()


def test_credits_of_pairwise_distance():
    """D(S) - D(S without i) = (2 / n) (mean distance of i to the others - D(S without i))."""
    texts = ["the cat sat on the mat", "a cat sat on a mat", "dogs bark", "quite another one", "cats bark"]
    embeddings = ENCODER.encode(texts).astype(np.float64)
    distance = 1 - embeddings @ embeddings.T
    mine = (distance.sum(axis=1) - np.diagonal(distance)) / 4
    score = CosineDistance(ENCODER)
    without = without_each(score, texts)
    np.testing.assert_allclose(score(texts) - without, 2 / 5 * (mine - without), atol=1e-6)


def test_configurations_are_checked():
    """Scores can be nested in YAML, and a wrong value is named before anything is built."""
    encoder = {"_target_": "arena.diversity.encoder.SentenceEncoder", "batch_size": 8}
    score = {"_target_": "arena.diversity.scores.Vendi", "encoder": encoder, "order": 1}
    schema.check(score, "loss.score")
    schema.check({"_target_": "arena.diversity.scores.CosineDistance", "encoder": encoder}, "loss.score")
    wrong = [
        ({"_target_": "arena.diversity.scores.SelfBleu", "smoothing": "none"}, "one of method1, exp"),
        ({**score, "order": 0}, "greater than 0"),
        ({"_target_": "arena.diversity.scores.LogDet"}, "encoder: LogDet needs a value"),
        ({**score, "encoder": {**encoder, "batch_size": 0}}, "1 or more"),
        ({"_target_": "arena.diversity.scores.Distinct", "order": 2}, "no such argument"),
    ]
    for node, message in wrong:
        with pytest.raises(UsageError, match=message):
            schema.check(node, "loss.score")
