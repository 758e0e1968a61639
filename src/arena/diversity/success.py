"""From the samples of a prompt that were right, or how good they were, to the success of k tries.

All are unbiased: means over every choice of k among the n samples that there are. `1 - (1 - c/n)^k` is not (.832 where
the mean is .917, for 3 right ones of 10 and k = 5). Values are NaN where a prompt has fewer than k samples.

Shape legend: P prompts, n samples of one prompt, c right ones among them.
"""

from collections.abc import Callable
from math import comb

import numpy as np
from numpy.typing import ArrayLike


def pass_at_k(samples: ArrayLike, right: ArrayLike, k: int) -> np.ndarray:
    """Compute the chance that one or more of k samples are right: 1 - C(n-c, k) / C(n, k), from n and c, `[P]`.

    Source: Chen et al. 2021, arXiv 2107.03374.
    """
    return _each(lambda n, c: 1 - comb(n - c, k) / comb(n, k), samples, right, k)


def pass_all_k(samples: ArrayLike, right: ArrayLike, k: int) -> np.ndarray:
    """Compute the chance that all of k samples are right, pass^k: C(c, k) / C(n, k).

    Source: Yao et al. 2024, arXiv 2406.12045.
    """
    return _each(lambda n, c: comb(c, k) / comb(n, k), samples, right, k)


def _each(value: Callable[[int, int], float], samples: ArrayLike, right: ArrayLike, k: int) -> np.ndarray:
    """Exact whole numbers until the last division."""
    n, c = np.asarray(samples, dtype=np.int64), np.asarray(right, dtype=np.int64)
    if k < 1 or (c < 0).any() or (c > n).any():
        raise ValueError(f"k={k} must be 1 or more, and the right ones between 0 and the samples")
    return np.vectorize(lambda n, c: value(int(n), int(c)) if n >= k else np.nan, otypes=[np.float64])(n, c)


def max_at_k(scores: ArrayLike, k: int) -> float:
    """Compute the expected best score among k samples: sum_i C(i-1, k-1) x_(i) / C(n, k), x ascending `[n]`.

    The continuous pass@k (arXiv 2505.15201): it has no ceiling that hides differences.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    n = len(ordered)
    if k < 1:
        raise ValueError(f"k={k} must be 1 or more")
    if n < k or np.isnan(ordered).any():
        return float("nan")
    return float(np.dot([comb(i, k - 1) / comb(n, k) for i in range(n)], ordered))


def coverage(samples: ArrayLike, right: ArrayLike, threshold: float) -> np.ndarray:
    """Return 1 where `threshold` or more of a prompt's samples are right, else 0, `[P]`; NaN without samples.

    Its mean over prompts is Cover@tau (arXiv 2510.08325).
    """
    n, c = np.asarray(samples, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return np.where(n > 0, c >= threshold * n - 1e-9, np.nan)
