"""Success of k tries against published values and against every choice of k."""

import itertools
import math

import numpy as np
import pytest

from arena.diversity.success import coverage, max_at_k, pass_all_k, pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (10, 3, 5, 11 / 12),
        (10, 3, 1, 0.3),
        (10, 3, 8, 1),
        (5, 2, 2, 0.7),
        (4, 2, 2, 5 / 6),
        (10, 0, 5, 0),
        (200, 5, 100, 0.9703083947657067),
        (100, 10, 10, 0.6695237889132748),
    ],
)
def test_pass_at_k(n, c, k, expected):
    assert float(pass_at_k(n, c, k)) == pytest.approx(expected, abs=1e-14)


def test_pass_all_k():
    assert float(pass_all_k(10, 3, 2)) == pytest.approx(1 / 15)


def test_every_choice_of_k():
    scores = [0.1, 0.9, 0.4, 0.4, 0.7]
    right = [score > 0.5 for score in scores]
    for k in range(1, 6):
        chosen = list(itertools.combinations(range(5), k))
        any_right = np.mean([any(right[i] for i in each) for each in chosen])
        all_right = np.mean([all(right[i] for i in each) for each in chosen])
        best = np.mean([max(scores[i] for i in each) for each in chosen])
        assert float(pass_at_k(5, 2, k)) == pytest.approx(any_right)
        assert float(pass_all_k(5, 2, k)) == pytest.approx(all_right)
        assert max_at_k(scores, k) == pytest.approx(best)


def test_many_prompts_and_too_few_samples():
    found = pass_at_k([10, 4, 3, 10], [3, 2, 1, 3], 4)
    np.testing.assert_allclose(found, [1 - 35 / 210, 1, np.nan, 1 - 35 / 210])
    assert math.isnan(max_at_k([1.0], 2))
    assert math.isnan(max_at_k([1.0, math.nan], 1))
    with pytest.raises(ValueError, match="k=0"):
        pass_at_k(4, 2, 0)
    with pytest.raises(ValueError, match="between 0 and the samples"):
        pass_at_k(4, 5, 1)


def test_max_at_k():
    assert max_at_k([5, 3, 1, 2, 4], 2) == pytest.approx(4)


def test_coverage():
    assert coverage([10, 10, 5, 5], [3, 2, 5, 0], 0.3).tolist() == [1, 0, 1, 0]
    assert coverage([3], [1], 1 / 3).tolist() == [1]
    assert len(coverage([], [], 0.5)) == 0
    np.testing.assert_array_equal(coverage([0, 2], [0, 2], 0.5), [np.nan, 1])  # without samples it says nothing
