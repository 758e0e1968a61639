"""The split of each row: whole groups, the same class shares everywhere, the same answer for ever.

10% of arena rows repeat somebody's prompt; a random split puts copies on both sides and reports memory as skill. So
rows with equal or nearly equal prompts are one group (`arena.data.split.groups`), and a group is never cut.

scikit-learn's StratifiedGroupKFold makes k equal folds only, depends on the order of the rows, and loops over all
groups in Python: 19 s for the 52,000 groups of the arena's 57,000 rows, against 0.3 s here.
"""

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from arena.core.errors import DataError, UsageError
from arena.data.split.stratify import class_counts, place_jointly

SPLITS = ("train", "val", "test")
FOLDS = 5
"""Parts of a cross-validation for which only the fold is named."""


def normalise(text: str | None) -> str:
    """The text in the form of which names of groups are made: Unicode form NFC, no case, one kind of blanks. Splits are
    drawn by these names, so it never changes; texts are compared by `arena.data.split.folding`."""
    folded = unicodedata.normalize("NFC", text or "").casefold()
    # Folding can take a text out of NFC again.
    return unicodedata.normalize("NFC", " ".join(folded.split()))


def digest_of(*texts: str) -> bytes:
    """16 bytes that stand for some normalised texts."""
    # Half a surrogate pair has no bytes of its own in UTF-8.
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def assign_splits(
    groups: Sequence[str] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    val_share: float,
    test_share: float,
    seed: int,
    fold: int | None = None,
    folds: int | None = None,
) -> np.ndarray:
    """The split of each of R rows: "train", "val" or "test".

    With `folds` the test rows are set aside first, the same whatever the fold. The others are dealt into `folds` parts
    of equal size; part `fold` validates and the rest trains, so that over the folds every row validates exactly once.

    Args:
        groups: group of each row, `[R]`.
        labels: class index of each row, `[R]`; see `stratify_codes`. Or that of several heads, `[R, T]`, negative where
            a row has none: all heads are stratified jointly (`arena.data.split.stratify`).
        val_share, test_share: shares of the rows; 0 for none. `val_share` is not used with `folds`.
        seed: another seed gives another split.
        fold: the part that validates, 0 to `folds - 1`.
        folds: number of parts for cross-validation, 2 or more; None for `FOLDS` where a fold is named, else for one
            split by `val_share`.

    Raises:
        UsageError: nothing would be left to train on; or `fold` and `folds` do not fit together.
        DataError: a split with a positive share would be empty.
    """
    if fold is None and folds is None:
        shares = np.array([1 - val_share - test_share, val_share, test_share])
        if shares[0] < 1e-9:
            raise UsageError(f"data.val_share={val_share} and data.test_share={test_share} leave nothing to train on")
        return np.array(SPLITS)[assign_parts(groups, labels, shares, seed, SPLITS)]
    check_folds(fold, folds)
    if test_share > 1 - 1e-9:
        raise UsageError(f"data.test_share={test_share} leaves nothing to train on")
    groups, labels, number = np.asarray(groups, dtype=str), np.asarray(labels), folds or FOLDS
    tested = assign_parts(groups, labels, [1 - test_share, test_share], seed, ("train", "test")) == 1
    names = [f"fold {index}" for index in range(number)]
    part = assign_parts(groups[~tested], labels[~tested], [1 / number] * number, seed, names)
    splits = np.full(len(groups), "test", dtype="<U5")
    splits[~tested] = np.where(part == fold, "val", "train")
    return splits


def check_folds(fold: int | None, folds: int | None) -> None:
    """Raise a `UsageError` where the two do not fit together; both None is no cross-validation."""
    if fold is None and folds is None:
        return
    folds = FOLDS if folds is None else folds
    if folds < 2:
        raise UsageError(f"data.folds={folds}: cross-validation needs 2 parts or more; data.folds=null for one split")
    if fold is None or not 0 <= fold < folds:
        raise UsageError(f"data.fold={fold}: with data.folds={folds} one of 0 to {folds - 1} is needed")


def assign_parts(
    groups: Sequence[str] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    shares: Sequence[float] | np.ndarray,
    seed: int,
    names: Sequence[str],
) -> np.ndarray:
    """The part of each row, `[R]` int64: an index of `shares`.

    Groups of several rows come first, the largest ahead: each goes where it brings the rows of each part and class
    closest to their targets (smallest chi-squared distance). The groups of one row then fill what is left of each
    class exactly. Among equals a hash of seed and group decides, so the order of the rows does not matter.

    Args:
        groups, labels, seed: see `assign_splits`.
        shares: share of the rows for each part, `[P]`, with sum 1; 0 for a part without rows.
        names: names of the parts, `[P]`, for messages.

    Raises:
        DataError: a part with a positive share would be empty.
    """
    shares = np.asarray(shares, dtype=np.float64)
    keys, group_of_row = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    digests = (blake2b(f"{seed} {key}".encode(), digest_size=8).digest() for key in keys)
    shuffled = np.argsort(np.fromiter((int.from_bytes(digest) for digest in digests), np.uint64, len(keys)))
    if np.ndim(labels) == 2:
        part_of_group = place_jointly(class_counts(np.asarray(labels), len(keys), group_of_row), shuffled, shares)
    else:
        part_of_group = _place_classes(np.asarray(labels), group_of_row, shuffled, shares)
    part_of_row = part_of_group[group_of_row]
    advice = {"train": "lower data.val_share and data.test_share", "val": "raise data.val_share"}
    advice["test"] = "raise data.test_share"
    rows = np.bincount(part_of_row, minlength=len(shares))
    for name, share, count in zip(names, shares, rows, strict=True):
        if share > 0 and count == 0:
            raise DataError(
                f"no rows for the split {name}: {len(part_of_row)} rows in {len(keys)} groups that stay together are "
                f"too few for a share of {share:.3g}; {advice.get(name, 'lower data.folds')} or give more rows "
                "(data.path, data.limit); data.near_duplicates=null joins only equal prompts"
            )
    return part_of_row


def _place_classes(
    labels: np.ndarray, group_of_row: np.ndarray, shuffled: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """The part of each group, `[G]`, where every row has one class."""
    classes, class_of_row = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(shuffled), len(classes)), dtype=np.int64)
    np.add.at(counts, (group_of_row, class_of_row), 1)
    part_of_group = np.zeros(len(shuffled), dtype=np.int64)
    size = counts.sum(axis=1)
    several = shuffled[size[shuffled] > 1]
    several = several[np.argsort(-size[several], kind="stable")]
    left = shares[:, None] * counts.sum(axis=0)  # rows wanted of each part and class, [P, K]
    scale = 1 / np.maximum(left, 1e-9)
    for group in several.tolist():
        # (left - counts)^2 - left^2: how the squared distance to the targets changes, for each part.
        change = (counts[group] * (counts[group] - 2 * left) * scale).sum(axis=1)
        change[shares == 0] = np.inf
        part_of_group[group] = chosen = change.argmin()
        left[chosen] -= counts[group]
    for label in range(len(classes)):
        single = shuffled[(size[shuffled] == 1) & (counts[shuffled, label] == 1)]
        wanted = np.maximum(left[:, label], 0)
        if wanted.sum() > 0:
            borders = np.rint(len(single) * wanted.cumsum()[:-1] / wanted.sum())
            part_of_group[single] = np.searchsorted(borders, np.arange(len(single)), side="right")
    return part_of_group


def stratify_codes(columns: Sequence[Sequence[object] | np.ndarray], minimum: int = 20) -> np.ndarray:
    """One class index for each combination of several columns, `[R]` int64, for `assign_splits`.

    A class of 3 rows cannot give 15% to a split, and rounding would leave all such rows on one side. Rows of a
    combination with fewer than `minimum` rows therefore form one class for each value of the first column.

    Args:
        columns: one or more columns of `[R]` values, the most important first; compared as text, None as "".
        minimum: rows that a combination needs to be a class of its own.
    """
    codes = []
    for column in columns:
        texts = np.array(["" if value is None else str(value) for value in column], dtype=str)
        codes.append(np.unique(texts, return_inverse=True)[1])
    _, combination = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    rare = np.bincount(combination)[combination] < minimum
    return np.unique(np.where(rare, -1 - codes[0], combination), return_inverse=True)[1].astype(np.int64)
