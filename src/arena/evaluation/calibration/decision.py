r"""Which class to call: not always the likeliest, where all classes count alike and some are rare.

Every rule here is $\arg\max_c \log p_c + b_c$. It changes what is predicted, never the probabilities. One for macro-F1
calls rare classes more often than they occur.
"""

import numpy as np
from numpy.typing import NDArray

from arena.stats.classification import macro_f, macro_f1
from arena.stats.scores import logarithm

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
RULES = ("none", "bias", "thresholds")
ROUNDS = 20
"""Passes over the classes after which the search ends at the latest."""


def decide(probabilities: Array, bias: Array | list[float]) -> Classes:
    """Class of each row, `[N]`.

    Args:
        probabilities: `[N, K]`.
        bias: `[K]`.
    """
    return (logarithm(probabilities) + np.asarray(bias)).argmax(axis=1)


def tune(rule: str, probabilities: Array, target: Classes) -> Array:
    """The bias of one of `RULES` for macro-F1, `[K]` with mean 0. With two classes both rules are the one threshold of
    greatest macro-F1, and the search is exact.

    Args:
        rule: bias: of all classes together; thresholds: each class by itself, see `thresholds`.
        probabilities: `[N, K]`.
        target: class indices, `[N]`.
    """
    if rule == "thresholds" and probabilities.shape[1] > 2:
        found = -np.log(thresholds(probabilities, target))
    else:
        found = search(logarithm(probabilities), target)
    return found - found.mean()


def thresholds(probabilities: Array, target: Classes) -> Array:
    r"""For each class the $t_c$ with the greatest F1 of "$p_c \ge t_c$" against all others, `[K]`. A row is then given
    the class with the largest $p_c / t_c$.

    Args:
        probabilities: `[N, K]`.
        target: class indices, `[N]`; a class without rows keeps 1 / K.
    """
    rows, classes = probabilities.shape
    found = np.full(classes, 1 / classes)
    for k in range(classes):
        order = np.argsort(-probabilities[:, k], kind="stable")
        values, hits = probabilities[order, k], np.cumsum(target[order] == k)
        if not hits[-1]:
            continue
        score = 2 * hits / (np.arange(1, rows + 1) + hits[-1])
        score[:-1][values[:-1] == values[1:]] = -1  # no threshold lies between equal values
        best = int(score.argmax())
        found[k] = (values[best] + values[best + 1]) / 2 if best + 1 < rows else values[best]
    return np.clip(found, 1e-6, 1)


def search(z: Array, target: Classes) -> Array:
    """Coordinate search for the bias of greatest macro-F1, from no bias and from the one that undoes the shares of the
    classes; each step is exact, and the better end is taken.

    Args:
        z: logarithms of the probabilities, `[N, K]`.
        target: class indices, `[N]`.
    """
    shares = (np.bincount(target, minlength=z.shape[1]) + 1) / (len(target) + z.shape[1])
    best, found = -1.0, np.zeros(z.shape[1])
    for start in (np.zeros(z.shape[1]), -np.log(shares)):
        bias = start.copy()
        score = macro_f1((z + bias).argmax(axis=1), target, z.shape[1])
        for _ in range(ROUNDS):
            before = score
            for k in range(z.shape[1]):
                value, candidate = _along(z + bias, target, k)
                if candidate > score + 1e-12:
                    bias[k] += value
                    score = candidate
            if score <= before + 1e-12:
                break
        if score > best + 1e-12:
            best, found = score, bias
    return found


def _along(z: Array, target: Classes, k: int) -> tuple[float, float]:
    """The best change of one class's bias, and the macro-F1 that it gives.

    A row goes over to class k once the change exceeds what k lacks to the best of the others: sorted by that, the
    counts of every possible change are sums over the rows so far.
    """
    rows, classes = z.shape
    others = z.copy()
    others[:, k] = -np.inf
    rival = others.argmax(axis=1)
    lacks = others.max(axis=1) - z[:, k]
    order = np.argsort(lacks, kind="stable")
    lacks, rival, target = lacks[order], rival[order], target[order]
    gone = np.eye(classes)[rival]
    right = gone * (rival == target)[:, None]
    size = np.bincount(target, minlength=classes).astype(float)
    hits, called = (np.vstack([each.sum(axis=0), each.sum(axis=0) - np.cumsum(each, axis=0)]) for each in (right, gone))
    hits[1:, k] = np.cumsum(target == k)
    called[:, k] = np.arange(rows + 1)
    score = macro_f(2 * hits, called + size)
    edges = np.concatenate([[lacks[0] - 1], (lacks[1:] + lacks[:-1]) / 2, [lacks[-1] + 1]])
    score[1:-1][lacks[1:] == lacks[:-1]] = -1  # equal rows go over together
    best = np.flatnonzero(score >= score.max() - 1e-12)
    chosen = best[np.abs(edges[best]).argmin()]
    return float(edges[chosen]), float(score[chosen])
