r"""Decision rules for macro-F1, $\arg\max_c \log p_c + b_c$: they call rare classes more often than they occur.

They change what is predicted, never the probabilities. Shape legend: N rows, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from arena.stats.classification import macro_f, macro_f1
from arena.stats.scores import logarithm

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
ROUNDS = 20
"""Passes over the classes after which the search ends at the latest."""


def decide(probabilities: Array, bias: Array | list[float]) -> Classes:
    """Decide the class of each row, `[N]`, from probabilities `[N, K]` and a bias `[K]`."""
    return (logarithm(probabilities) + np.asarray(bias)).argmax(axis=1)


def tune(rule: str, probabilities: Array, target: Classes) -> Array:
    """Tune the bias of a rule for macro-F1, `[K]` with mean 0, on probabilities `[N, K]` and class indices `[N]`.

    `bias` is of all classes together, `thresholds` of each class by itself. With two classes both are the one threshold
    of greatest macro-F1, and the search is exact.
    """
    if rule == "thresholds" and probabilities.shape[1] > 2:
        found = -np.log(thresholds(probabilities, target))
    else:
        found = search(logarithm(probabilities), target)
    return found - found.mean()


def thresholds(probabilities: Array, target: Classes) -> Array:
    r"""Find for each class the $t_c$ with the greatest F1 of "$p_c \ge t_c$" against all others, `[K]`.

    A row is then given the class with the largest $p_c / t_c$. A class without rows keeps 1 / K.
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
    """Search the bias of greatest macro-F1 by coordinates, on logarithms of probabilities `[N, K]`.

    From no bias and from the one that undoes the shares of the classes; each step is exact, the better end is taken.
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
    """Find the best change of one class's bias, and the macro-F1 that it gives.

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
