"""Means of probabilities, and the weights of a mixture."""

from collections.abc import Sequence

import numpy as np

from arena.stats.scores import CLIP, logarithm

GEOMETRIC = "logarithm"


class Mean:
    r"""A weighted mean of probabilities `[N, K]`, one at a time: memory does not grow with the number of models.

    `probability`: $\sum_m w_m p_m$. `logarithm`: $\prod_m p_m^{w_m}$, renormalised; a class that one model excludes
    (p = 0) then keeps at most what `arena.stats.scores.CLIP` leaves it.

    Args:
        kind: `probability` or `logarithm`.
        sizes: classes of each head, where several are side by side in a row; None for one classification.
    """

    def __init__(self, kind: str, sizes: Sequence[int] | None = None) -> None:
        self.kind = kind
        self.sizes = sizes
        self._sum: np.ndarray | None = None
        self._weight = 0.0

    def add(self, probabilities: np.ndarray, weight: float = 1.0) -> None:
        """Add the probabilities of one model."""
        if weight == 0:
            return
        values = logarithm(probabilities) if self.kind == GEOMETRIC else probabilities
        self._sum = weight * values if self._sum is None else self._sum + weight * values
        self._weight += weight

    def result(self) -> np.ndarray:
        """Return the mean, `[N, K]` float64; each row, or each head of it, sums to one."""
        assert self._sum is not None, "nothing was added"
        parts = np.split(self._sum / self._weight, np.cumsum(self.sizes or [self._sum.shape[1]])[:-1], axis=1)
        if self.kind == GEOMETRIC:
            parts = [np.exp(part - part.max(axis=1, keepdims=True)) for part in parts]
        return np.concatenate([part / part.sum(axis=1, keepdims=True) for part in parts], axis=1)


def convex_weights(likelihood: np.ndarray, tolerance: float = 1e-7, steps: int = 20_000) -> np.ndarray:
    r"""Find the weights w >= 0, $\sum_m w_m = 1$, `[M]`, that minimise the log loss of a mixture.

    Expectation-maximisation for known components: $w_m \leftarrow \frac1N \sum_n w_m p_{nm} / \sum_j w_j p_{nj}$. The
    problem is convex, every step lowers the loss, and since no weights can lower it by more than the logarithm of the
    largest $\frac1N \sum_n p_{nm} / \sum_j w_j p_{nj}$, it ends when that is below `tolerance` nats.

    Args:
        likelihood: probability that each of M models gave to the target of each row, `[N, M]`.
        tolerance: nats above the minimal log loss.
        steps: maximal number of steps.

    Source: Dempster, Laird and Rubin 1977, "Maximum Likelihood from Incomplete Data via the EM Algorithm".
    """
    likelihood = np.maximum(likelihood, CLIP)
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(steps):
        gain = (likelihood / (likelihood @ weights)[:, None]).mean(axis=0)
        if np.log(gain.max()) < tolerance:
            break
        weights = weights * gain
    return weights / weights.sum()
