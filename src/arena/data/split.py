"""Which rows train, validate and test: whole groups, the same class shares everywhere, the same answer for ever.

A tenth of arena rows repeat somebody's prompt; a random split puts copies on both sides and reports memory as skill.
So all rows whose first prompts are equal up to case, blanks and Unicode form are one group, and a group is never cut.

scikit-learn's StratifiedGroupKFold makes k equal folds only, depends on the order of the rows, and loops over all
groups in Python: 19 s for the 52,000 groups of the arena's 57,000 rows, against 0.3 s here.
"""

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from arena.errors import DataError, UsageError

SPLITS = ("train", "val", "test")


def group_key(first_prompt: str | None) -> str:
    """A name for all prompts that equal this one up to case, blanks and Unicode form (NFC); 32 hexadecimal digits."""
    text = unicodedata.normalize("NFC", first_prompt or "").casefold()
    # Folding can take a text out of NFC again, and half a surrogate pair has no bytes of its own in UTF-8.
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def assign_splits(
    groups: Sequence[str] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    val_share: float,
    test_share: float,
    seed: int,
) -> np.ndarray:
    """The split of each row: "train", "val" or "test".

    Groups of several rows come first, the largest ahead: each goes where it brings the rows of each split and class
    closest to their targets (smallest chi-squared distance). The groups of one row then fill what is left of each
    class exactly. Among equals a hash of seed and group decides, so the order of the rows does not matter.

    Args:
        groups: group of each row, `[R]`.
        labels: class index of each row, `[R]`.
        val_share: share of the rows for validation; 0 for none.
        test_share: share of the rows for the test; 0 for none.
        seed: another seed gives another split.

    Raises:
        UsageError: nothing would be left to train on.
        DataError: a split with a positive share would be empty.
    """
    shares = np.array([1 - val_share - test_share, val_share, test_share])
    if shares[0] < 1e-9:
        raise UsageError(f"data.val_share={val_share} and data.test_share={test_share} leave nothing to train on")
    names, group_of_row = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    classes, class_of_row = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, (group_of_row, class_of_row), 1)
    digests = (blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names)
    shuffled = np.argsort(np.fromiter((int.from_bytes(digest) for digest in digests), np.uint64, len(names)))

    split_of_group = np.zeros(len(names), dtype=np.int64)
    size = counts.sum(axis=1)
    several = shuffled[size[shuffled] > 1]
    several = several[np.argsort(-size[several], kind="stable")]
    left = shares[:, None] * counts.sum(axis=0)
    split_of_group[several] = _place_large(counts[several], left, shares)
    left -= np.stack([counts[several][split_of_group[several] == split].sum(axis=0) for split in range(3)])
    for label in range(len(classes)):
        single = shuffled[(size[shuffled] == 1) & (counts[shuffled, label] == 1)]
        split_of_group[single] = _deal_singles(len(single), left[:, label])
    _require_rows(split_of_group[group_of_row], shares, len(names))
    return np.array(SPLITS)[split_of_group[group_of_row]]


def _place_large(counts: np.ndarray, targets: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The split of each group in turn. `counts` `[G, K]` rows by class, `targets` `[3, K]` rows wanted."""
    left = targets.copy()
    scale = 1 / np.maximum(targets, 1e-9)
    chosen = np.zeros(len(counts), dtype=np.int64)
    for index, group in enumerate(counts):
        # (left - group)^2 - left^2: how the squared distance to the targets changes, for each split.
        change = (group * (group - 2 * left) * scale).sum(axis=1)
        change[shares == 0] = np.inf
        chosen[index] = change.argmin()
        left[chosen[index]] -= group
    return chosen


def _deal_singles(rows: int, left: np.ndarray) -> np.ndarray:
    """Splits for `rows` rows of one class so that the rows wanted, `left` `[3]`, are met up to rounding."""
    wanted = np.maximum(left, 0)
    if wanted.sum() == 0:
        return np.zeros(rows, dtype=np.int64)
    borders = np.rint(rows * wanted.cumsum()[:2] / wanted.sum())
    return np.searchsorted(borders, np.arange(rows), side="right")


def _require_rows(split_of_row: np.ndarray, shares: np.ndarray, groups: int) -> None:
    rows = np.bincount(split_of_row, minlength=3)
    for name, share, count in zip(SPLITS, shares, rows, strict=True):
        if share > 0 and count == 0:
            advice = f"raise data.{name}_share" if name != "train" else "lower data.val_share and data.test_share"
            raise DataError(
                f"no rows for the split {name}: {len(split_of_row)} rows in {groups} groups of equal prompts are too "
                f"few for a share of {share:.3g}; {advice} or give more rows (data.path, data.limit)"
            )
