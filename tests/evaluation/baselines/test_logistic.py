"""The tied regression is scikit-learn's regression on both orders of every row."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from arena.data.target import labels as table
from arena.evaluation.baselines.logistic import Block, fit, scores, ties


def draw(rows: int, classes: int):
    generator = np.random.default_rng(5)
    signed = generator.normal(size=(rows, 4))
    even = np.concatenate([np.abs(generator.normal(size=(rows, 2))), np.ones((rows, 1))], axis=1)
    target = generator.integers(0, classes, rows)
    target[signed[:, 0] > 0.8] = 0
    return signed, even, target


@pytest.mark.parametrize("strength", [0.02, 0.5])
@pytest.mark.parametrize(
    "labels", [["model_a", "model_b", "tie"], ["tie", "model_b", "model_a"], ["model_a", "model_b"], ["model_a", "tie"]]
)
def test_it_is_the_regression_of_both_orders(labels, strength):
    signed, even, target = draw(300, len(labels))
    mirror = table.swap_permutation(labels)
    sides = zip((signed, even), ties(len(labels), mirror), strict=True)
    blocks = [Block(matrix, tie) for matrix, tie in sides if len(tie)]
    whole = np.ones((300, 1), bool)
    weights = fit(blocks, strength, target, whole, np.zeros(len(labels)), tolerance=1e-14)
    found = softmax(scores(blocks, weights)[:, 0], axis=-1)
    rows, outcome, inverse = np.concatenate([signed, even], axis=1), target, strength
    if mirror is not None:
        rows = np.concatenate([rows, np.concatenate([-signed, even], axis=1)])
        outcome, inverse = np.concatenate([target, mirror[target]]), strength / 2
    if len(labels) == 2:
        inverse *= 2  # one weight for the difference of two classes: its square is twice the sum of both squares
    known = LogisticRegression(C=inverse, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(rows, outcome)
    np.testing.assert_allclose(found, known.predict_proba(rows[:300]), atol=2e-6)


def test_several_problems_at_once_are_each_alone():
    signed, even, target = draw(200, 3)
    labels = ["model_a", "model_b", "tie"]
    sides = zip((signed, even), ties(3, table.swap_permutation(labels)), strict=True)
    blocks = [Block(matrix, tie) for matrix, tie in sides]
    part = np.stack([np.arange(200) % 3 != 0, np.arange(200) < 120, np.ones(200, bool)], axis=1)
    together = fit(blocks, 0.3, target, part, np.zeros(3), tolerance=1e-14)
    for problem in range(3):
        chosen = part[:, problem]
        some = [block._replace(matrix=block.matrix[chosen]) for block in blocks]
        whole = np.ones((chosen.sum(), 1), bool)
        alone = fit(some, 0.3, target[chosen], whole, np.zeros(3), tolerance=1e-14)
        for left, right in zip(together, alone, strict=True):
            np.testing.assert_allclose(left[:, problem], right[:, 0], atol=1e-5)
