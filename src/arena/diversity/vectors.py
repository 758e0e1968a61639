"""Diversity of embeddings: mean pairwise cosine distance, Vendi score, log determinant.

Embeddings are rows of unit length, so that the kernel `K = E E^T` holds their cosines and has ones on its diagonal.
Everything is computed in float64.

Shape legend: S sets, N texts of all sets together, n texts of one set, B sets of one size, d embedding width.
"""

from collections.abc import Iterator

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Bring rows `[..., d]` to unit length in float64; rows of zeros stay."""
    wide = np.asarray(rows, dtype=np.float64)
    length = np.sqrt(np.einsum("...d,...d->...", wide, wide))[..., None]
    return np.divide(wide, length, out=np.zeros_like(wide), where=length != 0)


def cosine_distances(stack: np.ndarray) -> np.ndarray:
    """Compute the mean of 1 - cos over all pairs of each set, `[B, n, d]` -> `[B]`; NaN for n = 1.

    It is 1 - (|sum e|^2 - sum |e|^2) / (n (n - 1)).
    """
    n = stack.shape[1]
    if n < 2:
        return np.full(len(stack), np.nan)
    return 1 - (np.square(stack.sum(axis=1)).sum(axis=-1) - np.square(stack).sum(axis=(1, 2))) / (n * (n - 1))


def kernel(embeddings: np.ndarray) -> np.ndarray:
    """Cosines of all pairs, `[..., n, d]` -> `[..., n, n]`."""
    return embeddings @ np.swapaxes(embeddings, -1, -2)


def vendi(similarity: np.ndarray, order: float = 1.0) -> np.ndarray:
    """Compute the Vendi score, how many different texts there are in effect, `[..., n, n]` -> `[...]`, 1 to n.

    The exponential of the Renyi entropy of `order` (1: Shannon; the higher, the less rare texts count) of the
    eigenvalues of K / n (Friedman and Dieng 2023).
    """
    shares = np.clip(np.linalg.eigvalsh(similarity / similarity.shape[-1]), 0, None)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    if order == 1:
        return np.exp(-np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=-1))
    if np.isinf(order):
        return 1 / shares.max(axis=-1)
    return np.sum(shares**order, axis=-1) ** (1 / (1 - order))


def log_det(similarity: np.ndarray) -> np.ndarray:
    """Compute log det(K + I) in nats, `[..., n, n]` -> `[...]`: log(1 + n) for copies, n log 2 for orthogonal texts.

    Grows with n (Chen et al. 2025, arXiv 2509.04784).
    """
    return np.linalg.slogdet(similarity + np.eye(similarity.shape[-1]))[1]


def stacks(embeddings: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the sets of each size n > 0: their indices `[B]`, those of their rows `[B, n]`, and the rows `[B, n, d]`.

    Args:
        embeddings: rows of all sets, set by set, `[N, d]`.
        sizes: rows of each set, `[S]`.
    """
    first = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        which = np.flatnonzero(sizes == size)
        rows = first[which][:, None] + np.arange(size)
        yield which, rows, unit(embeddings[rows])
