"""Curves and the choice of rows to look at."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from arena.reporting.dashboards.curves import precision_recall, worst_and_random


@pytest.mark.parametrize("ties", [False, True])
def test_precision_and_recall_are_those_of_sklearn(ties):
    draw = np.random.default_rng(0)
    probabilities = draw.random(60)
    if ties:
        probabilities = probabilities.round(1)
    true = draw.random(60) < probabilities
    precision, recall, _ = precision_recall_curve(true, probabilities)
    wanted = np.stack([recall, precision], axis=1)[::-1][1:]  # without sklearn's made-up first point (0, 1)
    np.testing.assert_allclose(precision_recall(probabilities, true), wanted)


def test_a_long_curve_keeps_its_ends_and_a_class_without_rows_has_none():
    draw = np.random.default_rng(1)
    probabilities, true = draw.random(5000), draw.random(5000) < 0.3
    whole, thin = precision_recall(probabilities, true, 10**6), precision_recall(probabilities, true, 50)
    assert len(thin) == 50
    assert (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert set(thin) <= set(whole)
    assert precision_recall(probabilities, np.zeros(5000, bool)) == []


def test_half_the_samples_are_the_worst_and_none_comes_twice():
    loss = np.array([0.1, 3.0, np.nan, 2.0, 0.5, 5.0, 0.2])
    chosen = worst_and_random(loss, 4)
    assert chosen[:2].tolist() == [5, 1]
    assert len(set(chosen.tolist())) == 4
    assert sorted(worst_and_random(loss, 100).tolist()) == list(range(7))
    assert worst_and_random(loss, 4).tolist() == chosen.tolist()
