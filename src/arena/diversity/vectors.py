"""Diversity of embeddings: mean pairwise cosine distance, Vendi score, log determinant.

Embeddings are rows of unit length, so that the kernel `K = E E^T` holds their cosines and has ones on its diagonal.
Everything is computed in float64; what float32 made of the unit length is put right first.
"""

from collections.abc import Iterable, Iterator

import numpy as np

CHUNK = 4096
"""Embeddings that are widened to float64 at once."""


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows `[..., d]` at unit length in float64; rows of zeros stay, and missing numbers too."""
    wide = np.asarray(rows, dtype=np.float64)
    length = np.sqrt(np.einsum("...d,...d->...", wide, wide))[..., None]
    return np.divide(wide, length, out=np.zeros_like(wide), where=length != 0)


def cosine_distance(embeddings: np.ndarray | Iterable[np.ndarray]) -> float:
    """Mean of 1 - cos over all pairs: 1 - (|sum e|^2 - sum |e|^2) / (n (n - 1)); NaN for fewer than two.

    Args:
        embeddings: rows `[n, d]`, or batches of such rows, which are read one by one: the memory needed
            beside them does not depend on n.
    """
    total: np.ndarray | float = 0.0
    square, rows = 0.0, 0
    for batch in [embeddings] if isinstance(embeddings, np.ndarray) else embeddings:
        for start in range(0, len(batch), CHUNK):
            some = unit(batch[start : start + CHUNK])
            total = total + some.sum(axis=0)
            square += float(np.einsum("nd,nd->", some, some))
            rows += len(some)
    if rows < 2:
        return float("nan")
    return 1 - (float(np.sum(np.square(total))) - square) / (rows * (rows - 1))


def cosine_distances(stack: np.ndarray) -> np.ndarray:
    """`cosine_distance` of sets of one size, `[B, n, d]` -> `[B]`."""
    return _mean_distance(stack.sum(axis=1), np.square(stack).sum(axis=(1, 2)), stack.shape[1])


def cosine_distances_without(stack: np.ndarray) -> np.ndarray:
    """The same of each set without each of its texts, `[B, n, d]` -> `[B, n]`."""
    squares = np.square(stack).sum(axis=2)
    return _mean_distance(
        stack.sum(axis=1, keepdims=True) - stack, squares.sum(axis=1, keepdims=True) - squares, stack.shape[1] - 1
    )


def _mean_distance(total: np.ndarray, square: np.ndarray, rows: int) -> np.ndarray:
    if rows < 2:
        return np.full(square.shape, np.nan)
    return 1 - (np.square(total).sum(axis=-1) - square) / (rows * (rows - 1))


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


def vendi_without(similarity: np.ndarray, order: float = 1.0) -> np.ndarray:
    """Vendi score of each set without each of its texts, `[B, n, n]` -> `[B, n]`; NaN for n = 1."""
    sets, texts = similarity.shape[:2]
    if texts < 2:
        return np.full((sets, texts), np.nan)
    kept = np.array([[j for j in range(texts) if j != i] for i in range(texts)])
    return vendi(similarity[:, kept[:, :, None], kept[:, None, :]], order)


def log_det(similarity: np.ndarray) -> np.ndarray:
    """log det(K + I) in nats, `[..., n, n]` -> `[...]`: from log(1 + n) for copies to n log 2 for orthogonal texts.

    Grows with n (Chen et al. 2025, arXiv 2509.04784).
    """
    return np.linalg.slogdet(similarity + np.eye(similarity.shape[-1]))[1]


def log_det_without(similarity: np.ndarray) -> np.ndarray:
    """The same without each text, `[B, n, n]` -> `[B, n]`: a principal minor is the determinant times an entry of the
    inverse's diagonal. NaN for n = 1."""
    if similarity.shape[-1] < 2:
        return np.full(similarity.shape[:2], np.nan)
    inverse = np.linalg.inv(similarity + np.eye(similarity.shape[-1]))
    return log_det(similarity)[:, None] + np.log(np.diagonal(inverse, axis1=1, axis2=2))


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
