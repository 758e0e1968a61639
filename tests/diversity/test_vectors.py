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
    assert vectors.cosine_distance(THREE) == pytest.approx(2 / 3)
    assert math.isnan(vectors.cosine_distance(THREE[:1]))
    assert math.isnan(vectors.cosine_distance([]))
    some = rows(10_000, 5)
    pairs = some[:300] @ some[:300].T
    expected = 1 - pairs[np.triu_indices(300, 1)].mean()
    assert vectors.cosine_distance(some[:300]) == pytest.approx(expected, abs=1e-13)
    # Batches of any size give what one array gives, also beyond the rows that are widened at once.
    assert vectors.cosine_distance(some[i : i + 977] for i in range(0, 10_000, 977)) == pytest.approx(
        vectors.cosine_distance(some), abs=1e-13
    )


def test_float32_rows_lose_nothing_to_their_rounding():
    """A million copies: the distance of equal rows is 0, though their squared length is not quite 1."""
    copies = np.tile(rows(1, 384).astype(np.float32), (1000, 1))
    assert vectors.cosine_distance([copies] * 100) == pytest.approx(0, abs=1e-6)


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


def test_log_det_and_its_credits():
    similarity = vectors.kernel(THREE[None])
    assert vectors.log_det(similarity)[0] == pytest.approx(math.log(6))
    credits = vectors.log_det(similarity)[:, None] - vectors.log_det_without(similarity)
    np.testing.assert_allclose(credits[0], np.log([1.5, 1.5, 2]))


@pytest.mark.parametrize("name", ["cosine", "vendi", "log_det"])
def test_closed_forms_without_one_text_equal_computing_anew(name):
    stack = np.stack([rows(5, 7, seed) for seed in range(3)])
    full, without = {
        "cosine": (vectors.cosine_distances, vectors.cosine_distances_without),
        "vendi": (lambda s: vectors.vendi(vectors.kernel(s)), lambda s: vectors.vendi_without(vectors.kernel(s))),
        "log_det": (lambda s: vectors.log_det(vectors.kernel(s)), lambda s: vectors.log_det_without(vectors.kernel(s))),
    }[name]
    anew = np.stack([full(np.delete(stack, i, axis=1)) for i in range(5)], axis=1)
    np.testing.assert_allclose(without(stack), anew, atol=1e-12)
    assert np.isnan(without(stack[:, :1])).all()


def test_cosine_distances_of_sets_equal_one_by_one():
    stack = np.stack([rows(4, 6, seed) for seed in range(3)])
    expected = [vectors.cosine_distance(each) for each in stack]
    np.testing.assert_allclose(vectors.cosine_distances(stack), expected, atol=1e-14)


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
