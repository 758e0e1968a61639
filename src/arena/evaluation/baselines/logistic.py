"""Multinomial logistic regression on a fixed offset, whose predictions are swapped when the two answers are.

Signed features change their sign when A and B are swapped, even ones stay. Trained on both orders of every row, a
regularised model would learn opposite weights of a signed feature for `model_a` and `model_b` and none for `tie`, and
equal weights of an even feature for both. Here the weights are tied like that from the start: the same convex problem,
with half the rows and a third of the weights. scikit-learn's `LogisticRegression` has no offset on which a model is
fitted on top of another.

Shape legend: N rows, F features, P models fitted together, r free weights of a feature, K classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import orth
from scipy.optimize import minimize
from scipy.special import log_softmax

STEPS = 300


class Block(NamedTuple):
    """Features `[N, F]` that share their ties `[r, K]`: how free weights become one weight for each class; orthonormal
    rows."""

    matrix: Any
    ties: np.ndarray


def ties(classes: int, swapped: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the ties of signed and of even features, `[r, K]` each.

    Orthonormal rows make the penalty of the free weights that of the weights of the classes. A weight that is the same
    for all classes changes no probability, so that direction is left out. `swapped` is the class that each becomes in
    the other order, `[K]`; None where it is not among the classes, and every class has weights of its own.
    """
    if swapped is None:
        return np.eye(classes), np.eye(classes)
    same, other = np.eye(classes), np.eye(classes)[swapped]
    return orth(same - other).T, orth((same + other) @ (same - 1 / classes)).T


def scores(blocks: Sequence[Block], weights: Sequence[np.ndarray]) -> np.ndarray:
    """Compute what the features add to the logits, `[N, P, K]`, from the weights `[F, P, r]` of P models."""
    found = np.zeros((1, 1, 1))
    for block, weight in zip(blocks, weights, strict=True):
        found = found + _product(block.matrix, weight) @ block.ties
    return found


def fit(
    blocks: Sequence[Block],
    strength: float,
    target: np.ndarray,
    part: np.ndarray,
    offset: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
    tolerance: float = 1e-9,
) -> list[np.ndarray]:
    r"""Fit P models at once, each on the rows that `part` gives it; returns `[F, P, r]` for each block.

    Each minimises $\sum_i -\log p_i + \|W\|^2 / (2 C)$ by L-BFGS, as scikit-learn does. The models of a
    cross-validation are fitted together, as a sparse matrix times several vectors costs little more than times one.

    Args:
        strength: inverse regularisation `C`.
        target: class indices, `[N]`; negative in rows that no model learns from.
        part: which rows each model learns from, `[N, P]` bool.
        offset: added to the logits, `[K]` or `[N, P, K]`.
        start: weights to begin with, as they are returned.
        tolerance: stop when a step improves the objective by less than this share.
    """
    rows = np.maximum(part.sum(axis=0), 1)
    share, penalty = (part / rows)[..., None], 1 / (strength * rows)[:, None]
    truth = np.eye(offset.shape[-1])[np.maximum(target, 0)][:, None]
    shapes = [(block.matrix.shape[1], part.shape[1], len(block.ties)) for block in blocks]
    bounds = np.cumsum([np.prod(shape) for shape in shapes])

    def unpack(flat: np.ndarray) -> list[np.ndarray]:
        return [each.reshape(shape) for each, shape in zip(np.split(flat, bounds[:-1]), shapes, strict=True)]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient of the sum of all P problems."""
        weights = unpack(flat)
        logarithms = log_softmax(scores(blocks, weights) + offset, axis=-1)
        error = (np.exp(logarithms) - truth) * share
        value, slopes = -float((logarithms * truth * share).sum()), []
        for block, weight in zip(blocks, weights, strict=True):
            value += 0.5 * float((weight**2 * penalty).sum())
            slopes.append((_product(block.matrix.T, error @ block.ties.T) + weight * penalty).ravel())
        return value, np.concatenate(slopes)

    flat = np.zeros(bounds[-1]) if start is None else np.concatenate([weight.ravel() for weight in start])
    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": tolerance, "gtol": 0.01 * tolerance**0.5, "maxcor": 8}
    return unpack(minimize(objective, flat, jac=True, method="L-BFGS-B", options=options).x)


def _product(matrix: Any, weight: np.ndarray) -> np.ndarray:
    """`[N, F]` times `[F, P, r]` in the matrix's own precision, the result in float64."""
    flat = weight.reshape(len(weight), -1).astype(matrix.dtype, copy=False)
    return np.asarray(matrix @ flat, dtype=np.float64).reshape(-1, *weight.shape[1:])
