"""The search for a bias, against every cut that there could be."""

import itertools

import numpy as np
import pytest
from scipy.special import softmax

from arena.evaluation.calibration import decision
from arena.stats.classification import macro_f1  # held against scikit-learn in tests/stats
from arena.stats.scores import logarithm


def rare(rows=400, seed=0, shares=(0.6, 0.34, 0.06), scale=1.5):
    """Logits whose softmax is right, of a head with a rare class."""
    draw = np.random.default_rng(seed)
    z = draw.normal(scale=scale, size=(rows, len(shares))) + np.log(shares)
    probabilities = softmax(z, axis=1)
    return probabilities, np.array([draw.choice(len(shares), p=row) for row in probabilities])


def score(probabilities, target, bias):
    return macro_f1(decision.decide(probabilities, bias), target, probabilities.shape[1])


def one_f1(called, wanted):
    return 2 * (called & wanted).sum() / (called.sum() + wanted.sum())


@pytest.mark.parametrize("rule", ["bias", "thresholds"])
@pytest.mark.parametrize("seed", range(3))
def test_two_classes_get_the_best_of_all_thresholds(rule, seed):
    probabilities, target = rare(200, seed, (0.9, 0.1))
    bias = decision.tune(rule, probabilities, target)
    values = np.unique(probabilities[:, 1])
    cuts = [0, *((values[1:] + values[:-1]) / 2), 1]
    best = max(macro_f1((probabilities[:, 1] > cut).astype(int), target, 2) for cut in cuts)
    assert score(probabilities, target, bias) == pytest.approx(best, abs=1e-12)
    assert best >= score(probabilities, target, [0, 0])


def test_one_step_of_the_search_is_the_best_of_all_steps():
    probabilities, target = rare(60)
    z = logarithm(probabilities)
    for k in range(3):
        change, found = decision._along(z, target, k)
        grid = np.linspace(-12, 12, 4_001)
        steps = [macro_f1((z + d * (np.arange(3) == k)).argmax(1), target, 3) for d in grid]
        assert found >= max(steps) - 1e-12
        assert score(probabilities, target, change * (np.arange(3) == k)) == pytest.approx(found, abs=1e-12)


def test_three_classes_come_within_a_hair_of_a_grid():
    probabilities, target = rare()
    bias = decision.tune("bias", probabilities, target)
    z = logarithm(probabilities)
    grid = np.linspace(-3, 3, 41)
    best = max(macro_f1((z + [0, a, b]).argmax(1), target, 3) for a, b in itertools.product(grid, grid))
    assert score(probabilities, target, bias) > best - 0.005
    assert score(probabilities, target, bias) > score(probabilities, target, [0, 0, 0]) + 0.02
    assert bias.mean() == pytest.approx(0, abs=1e-12)
    assert bias[2] == max(bias), "the rare class is called more often"


def test_thresholds_are_the_best_of_each_class_by_itself():
    probabilities, target = rare()
    found = decision.thresholds(probabilities, target)
    for k in range(3):
        values = np.unique(probabilities[:, k])
        best = max(one_f1(probabilities[:, k] >= value, target == k) for value in values)
        assert one_f1(probabilities[:, k] >= found[k], target == k) == pytest.approx(best, abs=1e-12)
    bias = decision.tune("thresholds", probabilities, target)
    assert (decision.decide(probabilities, bias) == (probabilities / found).argmax(axis=1)).all()


def test_equal_rows_are_never_torn_apart():
    """Ten rows of the same probabilities: no rule can call them differently, and none is promised."""
    probabilities = np.tile([0.5, 0.3, 0.2], (10, 1))
    target = np.array([0] * 6 + [1] * 3 + [2])
    for rule in ("bias", "thresholds"):
        called = decision.decide(probabilities, decision.tune(rule, probabilities, target))
        assert len(set(called)) == 1
    assert decision._along(logarithm(probabilities), target, 1)[1] == pytest.approx(12 / 16 / 2 * 2 / 3, abs=1e-9)


def test_what_is_right_already_stays():
    probabilities = softmax(np.eye(3)[[0, 1, 2, 0, 1, 2]] * 4, axis=1)
    target = np.array([0, 1, 2, 0, 1, 2])
    assert decision.tune("bias", probabilities, target) == pytest.approx([0, 0, 0], abs=1e-12)


def test_a_class_without_rows_is_left_alone():
    probabilities, target = rare()
    target[target == 2] = 0
    found = decision.thresholds(probabilities, target)
    assert found[2] == pytest.approx(1 / 3)
    assert np.isfinite(decision.tune("bias", probabilities, target)).all()
