"""Means by hand, and weights against the solution on paper."""

import numpy as np
import pytest

from arena.inference.mixture import Mean, convex_weights


def two_kinds(share: float, rows: int = 1000) -> np.ndarray:
    """Model 1 gives the target .8 in a share of the rows and .2 in the others; model 2 the other way round."""
    first = np.arange(rows) < share * rows
    return np.stack([np.where(first, 0.8, 0.2), np.where(first, 0.2, 0.8)], axis=1)


@pytest.mark.parametrize(("share", "weight"), [(0.5, 0.5), (0.65, 0.75), (0.35, 0.25), (0.1, 0.0), (0.95, 1.0)])
def test_the_weights_solve_the_problem(share, weight):
    """s log(.2 + .6 w) + (1 - s) log(.8 - .6 w) is largest at w = (s - .2) / .6, or at the end of [0, 1]."""
    assert convex_weights(two_kinds(share)) == pytest.approx([weight, 1 - weight], abs=2e-3)


def test_no_weights_on_a_fine_grid_are_better():
    draw = np.random.default_rng(0)
    likelihood = draw.uniform(0.01, 1, (200, 3))
    found = -np.log(likelihood @ convex_weights(likelihood)).mean()
    grid = np.linspace(0, 1, 101)
    weights = np.array([(a, b, 1 - a - b) for a in grid for b in grid if a + b <= 1])
    best = -np.log(np.maximum(likelihood @ weights.T, 1e-300)).mean(axis=0).min()
    assert found <= best + 1e-7


def test_one_model_has_the_whole_weight_and_zeros_do_no_harm():
    assert convex_weights(np.array([[0.0], [0.5]])) == pytest.approx([1])
    assert convex_weights(np.array([[0.0, 0.5], [0.0, 0.5]])) == pytest.approx([0, 1], abs=1e-6)


def test_arithmetic_and_geometric_mean():
    one, other = np.array([[0.8, 0.2]]), np.array([[0.2, 0.8]])
    mean = Mean("probability")
    mean.add(one, 3)
    mean.add(other, 1)
    assert mean.result() == pytest.approx(np.array([[0.65, 0.35]]))
    mean = Mean("logarithm")
    mean.add(one, 3)
    mean.add(other, 1)
    # The odds are 4^(3/4) * (1/4)^(1/4) = 2.
    assert mean.result() == pytest.approx(np.array([[2 / 3, 1 / 3]]))


def test_a_class_that_one_model_excludes_stays_finite():
    mean = Mean("logarithm")
    mean.add(np.array([[1.0, 0.0]]))
    mean.add(np.array([[0.5, 0.5]]))
    result = mean.result()
    assert result[0, 1] == pytest.approx(np.sqrt(1e-15), rel=1e-3)
    assert result.sum() == pytest.approx(1, abs=1e-15)


def test_a_weight_of_nothing_is_no_model():
    mean = Mean("probability")
    mean.add(np.array([[np.nan, np.nan]]), 0)
    mean.add(np.array([[0.3, 0.7]]), 0.5)
    assert mean.result() == pytest.approx(np.array([[0.3, 0.7]]))
