"""Diversity of embeddings: mean pairwise cosine distance, Vendi score, log determinant.

Embeddings are rows of unit length, so that the kernel `K = E E^T` holds their cosines and has ones on its diagonal.
Everything is computed in float64; what float32 made of the unit length is put right first.
"""

from collections.abc import Iterator

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows `[..., d]` at unit length in float64; rows of zeros stay, and missing numbers too."""
    wide = np.asarray(rows, dtype=np.float64)
    length = np.sqrt(np.einsum("...d,...d->...", wide, wide))[..., None]
    return np.divide(wide, length, out=np.zeros_like(wide), where=length != 0)


def cosine_distances(stack: np.ndarray) -> np.ndarray:
    """Mean of 1 - cos over all pairs of each set: 1 - (|sum e|^2 - sum |e|^2) / (n (n - 1)), `[B, n, d]` -> `[B]`.

    NaN for n = 1.
    """
    n = stack.shape[1]
    if n < 2:
        return np.full(len(stack), np.nan)
    return 1 - (np.square(stack.sum(axis=1)).sum(axis=-1) - np.square(stack).sum(axis=(1, 2))) / (n * (n - 1))


def kernel(embeddings: np.ndarray) -> np.ndarray:
    """Cosines of all pairs, `[..., n, d]` -> `[..., n, n]`."""
    return embeddings @ np.swapaxes(embeddings, -1, -2)


def vendi(similarity: np.ndarray, order: float = 1.0) -> np.ndarray:
    """Vendi score: how many different texts there are in effect, between 1 and n (Friedman and Dieng 2023).

    The exponential of the Renyi entropy of `order` (1: Shannon) of the eigenvalues of K / n.

    Args:
        similarity: positive semi-definite with ones on the diagonal, `[..., n, n]`.
        order: above 0; the higher, the less rare texts count.

    Returns:
        `[...]`.
    """
    shares = np.clip(np.linalg.eigvalsh(similarity / similarity.shape[-1]), 0, None)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    if order == 1:
        return np.exp(-np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=-1))
    if np.isinf(order):
        return 1 / shares.max(axis=-1)
    return np.sum(shares**order, axis=-1) ** (1 / (1 - order))


def log_det(similarity: np.ndarray) -> np.ndarray:
    """log det(K + I) in nats, `[..., n, n]` -> `[...]`: from log(1 + n) for copies to n log 2 for orthogonal texts.

    Grows with n (Chen et al. 2025, arXiv 2509.04784).
    """
    return np.linalg.slogdet(similarity + np.eye(similarity.shape[-1]))[1]


def stacks(embeddings: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Sets of one size at a time.

    Args:
        embeddings: rows of all sets, set by set, `[N, d]`.
        sizes: rows of each set, `[S]`.

    Yields:
        Indices of the sets `[B]`, of their rows `[B, n]`, and the rows as float64 `[B, n, d]`, for every n above 0.
    """
    first = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        which = np.flatnonzero(sizes == size)
        rows = first[which][:, None] + np.arange(size)
        yield which, rows, unit(embeddings[rows])
