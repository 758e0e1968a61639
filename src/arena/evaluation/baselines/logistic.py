"""Multinomial logistic regression whose predictions are mirrored when the two answers are exchanged.

Features come in two kinds: signed ones change their sign when A and B are exchanged, even ones stay. Trained on both
orders of every row, a regularised model would learn opposite weights of a signed feature for `model_a` and `model_b`
and none for `tie`, and equal weights of an even feature for `model_a` and `model_b`: the objective is convex and the
same for both orders, so its one minimum is too. Here the weights are tied like that from the start. It is the same
model, found with half the rows and a third of the weights, and the mean of its predictions in both orders is each of
them.

scikit-learn's `LogisticRegression` has neither ties nor the fixed offset on which a model is fitted on top of another.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

Matrix = Any
"""A numpy array or a scipy sparse array, `[N, F]`."""
THREADS = 2


class Block(NamedTuple):
    """Features that share their ties.

    Attributes:
        matrix: `[N, F]`.
        ties: how the free weights of a feature become one weight for each class, `[r, K]`, orthonormal rows.
    """

    matrix: Matrix
    ties: np.ndarray


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


def scores(blocks: Sequence[Block], weights: Sequence[np.ndarray], over: Any = map) -> np.ndarray:
    """What the features add to the logits, `[N, P, K]` for the weights `[F, P, r]` of P models in each block."""
    products = over(_product, [block.matrix for block in blocks], weights)
    return sum((found @ block.ties for found, block in zip(products, blocks, strict=True)), np.zeros((1, 1, 1)))


def fit(
    blocks: Sequence[Block],
    strength: float,
    target: np.ndarray,
    part: np.ndarray,
    offset: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
    tolerance: float = 1e-9,
    steps: int = 300,
) -> list[np.ndarray]:
    r"""Fit P models at once, each on the rows that `part` gives it; returns `[F, P, r]` for each block.

    Each minimises $\sum_i -\log p_i + \|W\|^2 / (2 C)$ by L-BFGS, as scikit-learn's `LogisticRegression` does. The
    cross-validation's models are fitted together because a product of a sparse matrix with several vectors costs little
    more than with one.

    Args:
        blocks: the features.
        strength: inverse regularisation `C`.
        target: class indices, `[N]`; negative in rows that no model learns from.
        part: which rows each model learns from, `[N, P]` bool.
        offset: added to the logits, `[K]` or `[N, P, K]`.
        start: weights to begin with, as they are returned.
        tolerance: stop when a step improves the objective by less than this share.
        steps: of L-BFGS at most.
    """
    rows = np.maximum(part.sum(axis=0), 1)
    share, penalty = (part / rows)[..., None], 1 / (strength * rows)[:, None]
    truth = np.eye(offset.shape[-1])[np.maximum(target, 0)][:, None]
    shapes = [(block.matrix.shape[1], part.shape[1], len(block.ties)) for block in blocks]
    bounds = np.cumsum([np.prod(shape) for shape in shapes])

    def unpack(flat: np.ndarray) -> list[np.ndarray]:
        return [each.reshape(shape) for each, shape in zip(np.split(flat, bounds[:-1]), shapes, strict=True)]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient, the sum of all P problems. scipy's products run beside each other in the threads."""
        weights = unpack(flat)
        logarithms = log_softmax(scores(blocks, weights, pool.map) + offset, axis=-1)
        error = (np.exp(logarithms) - truth) * share
        value = -float((logarithms * truth * share).sum())
        slopes = pool.map(_product, [block.matrix.T for block in blocks], [error @ block.ties.T for block in blocks])
        value += sum(0.5 * float((weight**2 * penalty).sum()) for weight in weights)
        found = [(slope + weight * penalty).ravel() for slope, weight in zip(slopes, weights, strict=True)]
        return value, np.concatenate(found)

    flat = np.zeros(bounds[-1]) if start is None else np.concatenate([weight.ravel() for weight in start])
    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": tolerance, "gtol": 0.01 * tolerance**0.5, "maxcor": 8}
    with ThreadPoolExecutor(THREADS) as pool:
        result = minimize(objective, flat, jac=True, method="L-BFGS-B", options=options)
    return [weight.copy() for weight in unpack(result.x)]


def _product(matrix: Matrix, weight: np.ndarray) -> np.ndarray:
    """`[N, F]` times `[F, P, r]` in the matrix's own precision (scipy would convert a sparse matrix at every call), the
    result in float64."""
    flat = weight.reshape(len(weight), -1).astype(matrix.dtype, copy=False)
    return np.asarray(matrix @ flat, dtype=np.float64).reshape(-1, *weight.shape[1:])
