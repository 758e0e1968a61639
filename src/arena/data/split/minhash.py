"""MinHash: signatures of texts, and from these the candidate pairs.

A text is the set of its runs of 5 characters, each kept as a 64-bit hash. 128 permutations give a signature; texts that
agree in all rows of a band are candidates (at a threshold of 0.8 there are 21 bands of 6 rows, which miss 2 of 1,000
pairs at 0.8 and none in a million at 0.9).

The library rensa is four times as fast (2 s less for 57,000 rows), but rensa 0.5 gives signatures as Python lists only
and its index has no bound for big buckets, so that most of this file would remain beside it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

SHINGLE: Final = 5
PERMUTATIONS: Final = 128
BUCKET = 16
"""Buckets of more texts are divided by their next band, so that candidates grow with the texts, not their square."""
CHUNK = 1 << 17
"""Characters that are hashed at once: arrays of 1 MB stay in the processor's cache."""

_draw = np.random.default_rng(20240501)
_CHARACTER = _draw.integers(1 << 62, 1 << 63, SHINGLE, dtype=np.uint64) * 2 + 1
_PERMUTATION = _draw.integers(1 << 30, 1 << 31, PERMUTATIONS, dtype=np.uint32) * 2 + 1
_BAND = _draw.integers(1 << 62, 1 << 63, PERMUTATIONS, dtype=np.uint64) * 2 + 1
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class Sketches:
    """Signatures of items, each of which is one or more texts; 270 bytes an item, however long it is.

    Args:
        sample: a power of two; of the hashes only every `sample`-th value is used, the same for all items. The
            similarity of the samples is that of the sets on average, and spreads more the smaller they are.
    """

    def __init__(self, sample: int = 1) -> None:
        self.sample = sample
        # Grows in place. Of every minimum 16 bits are kept: two different ones agree in them once in 65,536 times.
        self._signatures = bytearray()
        self._contents: list[np.ndarray] = []
        self._characters: list[int] = []
        self._waiting: list[str] = []
        self._texts: list[int] = []
        self._size = 0

    def add(self, texts: Sequence[str]) -> None:
        """Add an item, given its normalised texts."""
        size = sum(map(len, texts))
        self._waiting += texts
        self._texts.append(len(texts))
        self._characters.append(size)
        self._size += size
        if self._size >= CHUNK:
            self._flush()

    def finish(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signatures `[N, 128]` uint16, content hashes `[N]` uint64 (0: no runs), and characters `[N]`, once."""
        self._flush()
        signatures = np.frombuffer(self._signatures, np.uint16).reshape(-1, PERMUTATIONS)
        self._signatures = bytearray()  # the array alone holds the memory now, and gives it back
        contents = np.concatenate([np.zeros(0, np.uint64), *self._contents])
        return signatures, contents, np.array(self._characters, np.int64)

    def _flush(self) -> None:
        if not self._texts:
            return
        hashes, runs = run_hashes(self._waiting)
        kept = hashes & np.uint64(self.sample - 1) == 0
        ends = np.concatenate([[0], kept.cumsum()])[np.concatenate([[0], runs.cumsum()])]
        counts = np.diff(ends[np.concatenate([[0], np.cumsum(self._texts)])])
        signatures = np.full((len(counts), PERMUTATIONS), 0xFFFFFFFF, np.uint32)
        contents = np.zeros(len(counts), np.uint64)
        full = counts > 0
        if full.any():
            hashes = hashes[kept]
            starts = np.concatenate([[0], counts[full].cumsum()[:-1]])
            contents[full] = np.bitwise_or(np.add.reduceat(hashes, starts), 1)
            # The high half: the low bits chose the sample.
            values = (hashes >> np.uint64(32)).astype(np.uint32)
            permuted = np.empty_like(values)
            for index, multiplier in enumerate(_PERMUTATION):
                np.multiply(values, multiplier, out=permuted)
                signatures[full, index] = np.minimum.reduceat(permuted, starts)
        self._signatures += signatures.astype(np.uint16).tobytes()
        self._contents.append(contents)
        self._waiting, self._texts, self._size = [], [], 0


def run_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the runs of all texts in order, repeats included, uint64; and the number of runs of each text."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = len(points) - SHINGLE + 1
    if size <= 0:
        return np.zeros(0, np.uint64), np.maximum(lengths - SHINGLE + 1, 0)
    hashes, term = np.zeros(size, np.uint64), np.empty(size, np.uint64)
    for offset, multiplier in enumerate(_CHARACTER):
        hashes += np.multiply(points[offset : offset + size], multiplier, out=term)
    hashes ^= np.right_shift(hashes, np.uint64(32), out=term)
    hashes *= _MIX
    hashes ^= np.right_shift(hashes, np.uint64(29), out=term)
    inside = np.ones(size, bool)
    crossing = (lengths.cumsum()[:, None] - np.arange(1, SHINGLE)).ravel()
    inside[crossing[(crossing >= 0) & (crossing < size)]] = False
    return hashes[inside], np.maximum(lengths - SHINGLE + 1, 0)


def band_rows(threshold: float) -> int:
    """Rows of a band: as many as find a pair at the threshold with probability 1 - (1 - t^r)^(128 // r) >= 0.995."""
    enough = [rows for rows in range(1, 17) if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= 0.995]
    return max(enough, default=1)


def candidate_pairs(
    signatures: np.ndarray, contents: np.ndarray, threshold: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate pairs (left < right), `[P, 2]` int64, and the similarity that their signatures promise, `[P]`.

    Items share a bucket where a band agrees. A bucket of more than `BUCKET` items is divided by the next band, and
    again; before that each of its items is compared with one item of the bucket and one neighbour, so that a cluster of
    any size hangs together. In a large bucket a pair at 0.8 can be missed, a pair at 0.95 hardly.

    Args:
        signatures: `[N, 128]`, see `Sketches.finish`.
        contents: `[N]`; items without runs (0) have no candidates.
        threshold: the similarity looked for.
        margin: candidates below `threshold - margin` are left out.
    """
    rows = band_rows(threshold)
    used = PERMUTATIONS // rows * rows
    bands = np.empty((len(signatures), used // rows), np.uint64)
    for start in range(0, len(signatures), 1 << 14):
        some = signatures[start : start + (1 << 14), :used].astype(np.uint64) * _BAND[:used]
        bands[start : start + (1 << 14)] = some.reshape(len(some), -1, rows).sum(axis=2)
    codes = np.zeros(0, np.int64)
    for band in range(bands.shape[1]):
        codes = np.union1d(codes, _bucket_pairs(np.roll(bands, -band, axis=1), contents))
    pairs = np.stack(np.divmod(codes, max(1, len(contents))), axis=1)
    promised = np.zeros(len(pairs))
    for start in range(0, len(pairs), 1 << 14):
        left, right = pairs[start : start + (1 << 14)].T
        promised[start : start + (1 << 14)] = (signatures[left] == signatures[right]).mean(axis=1)
    near = promised >= threshold - margin
    return pairs[near], promised[near]


def _bucket_pairs(bands: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Pairs by the first band, as left * N + right. `bands` `[N, B]`."""
    items = np.flatnonzero(contents)
    bucket = np.zeros(len(items), np.int64)
    found = []
    for level in range(bands.shape[1]):
        # Equal items lie side by side whatever the order of the rows.
        order = np.lexsort((contents[items], bands[items, level], bucket))
        items, bucket = items[order], bucket[order]
        values = bands[items, level]
        new = np.ones(len(items), bool)
        new[1:] = (bucket[1:] != bucket[:-1]) | (values[1:] != values[:-1])
        bucket = new.cumsum() - 1
        large = np.bincount(bucket)[bucket] > BUCKET if len(bucket) else new
        small, of = items[~large], bucket[~large]
        for step in range(1, BUCKET):
            same = of[step:] == of[:-step]
            if not same.any():
                break
            found.append((small[:-step][same], small[step:][same]))
        items, bucket = items[large], bucket[large]
        if not len(items):
            break
        # Whoever differs from all others in the next band would find nobody.
        first = np.unique(bucket, return_index=True)[1]
        found.append((items[np.repeat(first, np.diff([*first, len(items)]))], items))
        same = bucket[1:] == bucket[:-1]
        found.append((items[:-1][same], items[1:][same]))
    left, right = (np.concatenate([np.zeros(0, np.int64), *(pair[side] for pair in found)]) for side in (0, 1))
    left, right = np.minimum(left, right), np.maximum(left, right)
    return np.unique((left * len(contents) + right)[left < right])
