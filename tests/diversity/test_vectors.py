"""Measures of embeddings against published values and against the whole matrix."""

import math

import numpy as np
import pytest

from arena.diversity import vectors

THREE = np.array([[1.0, 0], [1, 0], [0, 1]])


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Rows of unit length that lean to one side."""
    drawn = np.random.default_rng(seed).normal(size=(n, d)) + 0.5
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_cosine_distance():
    assert vectors.cosine_distances(THREE[None])[0] == pytest.approx(2 / 3)
    assert math.isnan(vectors.cosine_distances(THREE[None, :1])[0])
    stack = np.stack([rows(300, 5, seed) for seed in range(3)])
    expected = [1 - (some @ some.T)[np.triu_indices(300, 1)].mean() for some in stack]
    np.testing.assert_allclose(vectors.cosine_distances(stack), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("similarity", "order", "expected"),
    [
        (np.eye(3), 1, 3),
        (np.ones((3, 3)), 1, 1),
        ([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], 1, 2.1573004833739833),
        ([[1, 0.5], [0.5, 1]], 1, 1.7547653506),
        ([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], 1, 2 * math.sqrt(2)),
        ([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], 2, 8 / 3),
        ([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], math.inf, 2),
    ],
)
def test_vendi(similarity, order, expected):
    assert float(vectors.vendi(np.array(similarity, dtype=float), order)) == pytest.approx(expected, abs=1e-10)


def test_vendi_of_the_readme_samples():
    samples = np.array([0, 0, 10, 10, 20, 20.0])
    similarity = np.exp(-np.abs(samples[:, None] - samples))
    assert float(vectors.vendi(similarity)) == pytest.approx(2.999999995877701, abs=1e-12)


def test_log_det():
    assert vectors.log_det(vectors.kernel(THREE[None]))[0] == pytest.approx(math.log(6))


def test_stacks_hold_every_row_once():
    embeddings = np.arange(1, 19, dtype=np.float32).reshape(9, 2)
    sizes = np.array([2, 0, 3, 2, 1, 1])
    seen = {}
    for which, index, stack in vectors.stacks(embeddings, sizes):
        for one, row, each in zip(which, index, stack, strict=True):
            np.testing.assert_allclose(each, vectors.unit(embeddings[row]))
            np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1)
            seen[int(one)] = row.tolist()
    assert seen == {0: [0, 1], 2: [2, 3, 4], 3: [5, 6], 4: [7], 5: [8]}
