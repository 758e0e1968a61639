"""Multinomial logistic regression whose predictions are mirrored when the two answers are exchanged.

Features come in two kinds: signed ones change their sign when A and B are exchanged, even ones stay. Trained on both
orders of every row, a regularised model would learn opposite weights of a signed feature for `model_a` and `model_b`
and none for `tie`, and equal weights of an even feature for `model_a` and `model_b`: the objective is convex and the
same for both orders, so its one minimum is too. Here the weights are tied like that from the start. It is the same
model, found with half the rows and a third of the weights, and the mean of its predictions in both orders is each of
them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

Matrix = Any
"""A numpy array or a scipy sparse array, `[N, F]`."""
THREADS = 2


class Block(NamedTuple):
    """Features that share their ties and the strength of their regularisation.

    Attributes:
        matrix: `[N, F]`.
        ties: how the free weights of a feature become one weight for each class, `[r, K]`, orthonormal rows.
        strength: inverse regularisation, as scikit-learn's `C`.
    """

    matrix: Matrix
    ties: np.ndarray
    strength: float


def ties(labels: Sequence[str], mirror: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The ties of signed and of even features, each `[r, K]` with orthonormal rows.

    The rows are orthonormal so that the penalty on the free weights is that on the weights of the classes. Without a
    mirrored class for each (labels such as model_a and tie) every class has weights of its own.

    Args:
        labels: the K classes.
        mirror: the class that each becomes in the other order, `[K]`, or None.
    """
    classes = len(labels)
    if mirror is None:
        return np.eye(classes), np.eye(classes)
    exchange = np.eye(classes)[mirror]
    values, vectors = np.linalg.eigh(exchange)
    signed, even = vectors[:, values < 0].T, vectors[:, values > 0].T
    # A weight that is the same for all classes changes no probability: leave that direction out.
    even = even - even.mean(axis=1, keepdims=True)
    left, scale, right = np.linalg.svd(even)
    return signed, right[: int((scale > 1e-9).sum())]


def scores(blocks: Sequence[Block], weights: Sequence[np.ndarray]) -> np.ndarray:
    """What the features add to the logits, `[N, P, K]` for the weights `[F, P, r]` of P models in each block."""
    found = np.zeros((1, 1, 1))
    for block, weight in zip(blocks, weights, strict=True):
        added = product(block.matrix, weight.reshape(len(weight), -1))
        found = found + added.reshape(len(added), *weight.shape[1:]) @ block.ties
    return found


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of logits over the last axis."""
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def fit(
    blocks: Sequence[Block],
    target: np.ndarray,
    part: np.ndarray,
    offset: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
    tolerance: float = 1e-9,
    steps: int = 300,
) -> list[np.ndarray]:
    r"""Fit P models at once, each on the rows that `part` gives it; returns `[F, P, r]` for each block.

    Each minimises $\sum_i -\log p_i + \sum_b \|W_b\|^2 / (2 C_b)$ by L-BFGS, as scikit-learn's `LogisticRegression`
    does. The cross-validation's models are fitted together because a product of a sparse matrix with several vectors
    costs little more than with one.

    Args:
        blocks: the features.
        target: class indices, `[N]`.
        part: which rows each model learns from, `[N, P]` bool.
        offset: added to the logits, `[K]` or `[N, P, K]`.
        start: weights to begin with, as they are returned.
        tolerance: stop when a step improves the objective by less than this share.
        steps: of L-BFGS at most.
    """
    problem = _Problem(blocks, target, part, offset)
    flat = np.zeros(problem.bounds[-1]) if start is None else np.concatenate([weight.ravel() for weight in start])
    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": tolerance, "gtol": 0.01 * tolerance**0.5, "maxcor": 8}
    with ThreadPoolExecutor(THREADS) as pool:
        result = minimize(lambda x: problem.objective(x, pool), flat, jac=True, method="L-BFGS-B", options=options)
    return [weight.copy() for weight in problem.unpack(result.x)]


class _Problem:
    """The objective of `fit` and its gradient."""

    def __init__(self, blocks: Sequence[Block], target: np.ndarray, part: np.ndarray, offset: np.ndarray) -> None:
        rows, size = part.sum(axis=0), len(target)
        self.blocks, self.offset = blocks, offset
        self.scores_shape = (size, part.shape[1], offset.shape[-1])
        self.share = part / np.maximum(rows, 1)
        self.truth = np.eye(offset.shape[-1])[target][:, None, :]
        self.shapes = [(block.matrix.shape[1], part.shape[1], len(block.ties)) for block in blocks]
        self.bounds = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        self.penalties = [1 / (block.strength * np.maximum(rows, 1))[None, :, None] for block in blocks]
        self.matrices = [block.matrix for block in blocks]
        self.transposed = [block.matrix.T for block in blocks]

    def unpack(self, flat: np.ndarray) -> list[np.ndarray]:
        """The weights `[F, P, r]` of each block out of one vector."""
        bounds = zip(self.bounds, self.bounds[1:], self.shapes, strict=False)
        return [flat[low:high].reshape(shape) for low, high, shape in bounds]

    def objective(self, flat: np.ndarray, pool: ThreadPoolExecutor) -> tuple[float, np.ndarray]:
        """Value and gradient, the sum of all P problems. scipy's products run beside each other in the threads."""
        weights = self.unpack(flat)
        found = np.zeros(self.scores_shape) + self.offset
        products = pool.map(product, self.matrices, [weight.reshape(len(weight), -1) for weight in weights])
        for block, scored in zip(self.blocks, products, strict=True):
            found += scored.reshape(*found.shape[:2], -1) @ block.ties
        found -= found.max(axis=-1, keepdims=True)
        grown = np.exp(found)
        total = grown.sum(axis=-1, keepdims=True)
        loss = (np.log(total) - (found * self.truth).sum(axis=-1, keepdims=True))[..., 0]
        error = (grown / total - self.truth) * self.share[..., None]
        tied = [np.ascontiguousarray((error @ block.ties.T).reshape(len(error), -1)) for block in self.blocks]
        value, slopes = float((loss * self.share).sum()), []
        gradients = pool.map(product, self.transposed, tied)
        for weight, gradient, penalty in zip(weights, gradients, self.penalties, strict=True):
            value += 0.5 * float((weight**2 * penalty).sum())
            slopes.append((gradient.reshape(weight.shape) + weight * penalty).ravel())
        return value, np.concatenate(slopes)


def product(matrix: Matrix, weight: np.ndarray) -> np.ndarray:
    """In the matrix's own precision (scipy would convert a sparse matrix at every call), the result in float64."""
    return np.asarray(matrix @ weight.astype(matrix.dtype, copy=False), dtype=np.float64)
