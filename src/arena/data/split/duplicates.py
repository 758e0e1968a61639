"""Near-duplicates: MinHash finds candidates, the true Jaccard similarity of their sets decides.

The set of a text holds its runs of 5 characters, as `arena.data.split.minhash` explains.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from arena.data.split.minhash import Sketches, candidate_pairs, run_hashes

VERIFIED_AT_ONCE = 1 << 23
"""Characters of which the full sets are in memory at once; 8 bytes each."""
MARGIN = 0.15
"""A candidate whose signatures promise less than the threshold by this much, 4 standard deviations, is not verified."""

Read = Callable[[np.ndarray], Iterator[Sequence[str]]]
"""From increasing numbers of items to their normalised texts, in order."""


class UnionFind:
    """Sets of numbers 0 to `size - 1` that can be joined (union-find); the smallest number of a set is its root."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, item: int) -> int:
        """The smallest number of the item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, left: int, right: int) -> bool:
        """Join the sets of two numbers; true where they were different sets."""
        left, right = self.root(left), self.root(right)
        self._parent[max(left, right)] = min(left, right)
        return left != right

    def roots(self) -> np.ndarray:
        """The root of every number, `[size]` int64."""
        return np.fromiter(map(self.root, range(len(self._parent))), np.int64, len(self._parent))


def shingles(texts: Sequence[str]) -> np.ndarray:
    """Hashes of all different runs of 5 characters in some normalised texts, sorted uint64; no run crosses texts."""
    return np.unique(run_hashes(texts)[0])


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """|left and right| / |left or right| of two results of `shingles`; 0 where both are empty."""
    small, large = sorted((left, right), key=len)
    if not len(small):
        return 0.0
    places = np.minimum(np.searchsorted(large, small), len(large) - 1)
    both = int((large[places] == small).sum())
    return both / (len(left) + len(right) - both)


def similar_pairs(
    sketches: Sketches, read: Read, threshold: float, joined: Callable[[int, int], bool]
) -> Iterator[tuple[int, int, float]]:
    """Pairs of items (left < right) and their true Jaccard similarity, where it reaches the threshold.

    Candidates that hang together are read together, so most texts are read once more.

    Args:
        sketches: of all items.
        read: gives the texts of some items again.
        threshold: the least similarity, above 0 and up to 1.
        joined: pairs of which this is true are neither read nor compared; asked again before every comparison, so
            joining pairs as they come spares most of the pairs of a large cluster.
    """
    signatures, contents, characters = sketches.finish()
    margin = MARGIN if sketches.sample == 1 else 2 * MARGIN
    pairs, promised = candidate_pairs(signatures, contents, threshold, margin)
    del signatures
    kept = np.array([not joined(left, right) for left, right in pairs.tolist()], dtype=bool)
    pairs, promised = pairs[kept], promised[kept]
    hanging = UnionFind(len(contents))
    for left, right in pairs.tolist():
        hanging.join(left, right)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -promised, hanging.roots()[pairs[:, 0]]))]
    start = 0
    while start < len(pairs):
        wanted: set[int] = set()
        size, end = 0, start
        while end < len(pairs) and size < VERIFIED_AT_ONCE:
            pair = pairs[end].tolist()
            if not joined(*pair):
                size += sum(int(characters[item]) for item in pair if item not in wanted)
                wanted.update(pair)
            end += 1
        sets = dict(zip(sorted(wanted), map(shingles, read(np.array(sorted(wanted), np.int64))), strict=True))
        for left, right in pairs[start:end].tolist():
            if not joined(left, right):
                similarity = jaccard(sets[left], sets[right])
                if similarity >= threshold:
                    yield left, right, similarity
        start = end
