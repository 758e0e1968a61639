"""From files to rows with a group and a split: every step a function, the long ones kept on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa

from arena.core.cache import cached, key_of
from arena.core.errors import DataError, UsageError
from arena.core.run import write_atomically
from arena.core.schema import Count, InputPath, Share, WholeNumber, closest
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS, assign_splits, check_folds, stratify_codes
from arena.data.split.groups import VERSION, Groups, join_rows

STRATIFIABLE = ("winner", "language", "source", "model_a", "model_b", "turns")


@dataclass(frozen=True)
class SplitSettings:
    """How rows are split into training, validation and test: the node `data.split`.

    Attributes:
        val_share, test_share: shares of the rows for validation and for the test.
        folds, fold: validate on one (from 0) of this many equal parts of what is not test, instead of on a share.
        val_path, test_path: files whose rows validate and test, instead of a share.
        on_leak: what to do with a training row whose group is in a hold-out file: leave it out, stop, or keep it.
        stratify: columns whose shares are to be the same in every split.
        near_duplicates: Jaccard similarity of 5-character pieces from which texts count as one; None: only equal ones.
        seed: another seed gives another split.
    """

    val_share: Share = 0.15
    test_share: Share = 0.15
    folds: Count | None = None
    fold: WholeNumber | None = None
    val_path: InputPath | None = None
    test_path: InputPath | None = None
    on_leak: Literal["drop", "error", "keep"] = "drop"
    stratify: list[str] | None = None
    near_duplicates: Share | None = None
    seed: WholeNumber = 0

    @property
    def hold_outs(self) -> dict[str, str | None]:
        """The file of each split that is held out."""
        return {"val": self.val_path, "test": self.test_path}

    def check(self) -> Self:
        """The settings themselves. Raises a `UsageError` for an unknown column, fold or similarity."""
        for name in self.stratify or []:
            if name not in STRATIFIABLE:
                raise UsageError(
                    f"data.stratify: there is no column {name} to stratify by{closest(name, STRATIFIABLE)}"
                )
        check_folds(self.fold, self.folds)
        near = self.near_duplicates
        if near is not None and not 0 < near <= 1:
            raise UsageError(f"data.near_duplicates={near}: a similarity above 0 and up to 1 is needed, null for none")
        return self


@dataclass(frozen=True)
class Chosen:
    """The M rows in use so far.

    Attributes:
        rows: all rows.
        positions: of those chosen, `[M]`, increasing.
        splits, groups: of each, `[M]` strings.
        leaked: rows to be left out because their group is in validation or test, `[M]` bool.
    """

    rows: Rows
    positions: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    leaked: np.ndarray

    def without_leaks(self, dropped: dict[str, int]) -> "Chosen":
        """Those that do not leak; counts the others in `dropped`."""
        if not self.leaked.any():
            return self
        dropped["leaked"] = dropped.get("leaked", 0) + int(self.leaked.sum())
        kept = ~self.leaked
        return Chosen(self.rows, self.positions[kept], self.splits[kept], self.groups[kept], self.leaked[kept])

    def added(self, rows: Rows, positions: np.ndarray, near_duplicates: float | None, cache: Path | None) -> "Chosen":
        """Add the rows at these positions of `rows`, after all others, to training; those whose group is in validation
        or test leak."""
        every = np.concatenate([self.positions, positions])
        together = grouped(rows, every, near_duplicates, cache).group
        before, here = together[: len(self.positions)], together[len(self.positions) :]
        splits = np.concatenate([self.splits, np.repeat("train", len(positions))])
        leaked = np.concatenate([self.leaked, np.isin(here, before[self.splits != "train"])])
        return Chosen(rows, every, splits, np.concatenate([self.groups, here]), leaked)


def read_parts(
    reader: Callable[..., Rows],
    path: str | list[str] | None,
    hold_outs: dict[str, str | None],
    ingest: Ingest,
    cache: Path | None,
) -> tuple[Rows, np.ndarray]:
    """The rows of all files, and for each the split that its file is held out for ("" for none), `[R]`.

    Raises:
        UsageError, InputOutputError, DataError: as the reader.
    """
    parts = [("", reader(path, ingest, cache))]
    parts += [(name, reader(place, ingest, cache)) for name, place in hold_outs.items() if place]
    if ingest.rejects is not None:  # one file of all records that were set aside; none where there are none
        found = [rows.rejects for _, rows in parts if rows.rejects is not None]
        Path(ingest.rejects).unlink(missing_ok=True)
        if found:
            write_atomically(Path(ingest.rejects), "".join(file.read_text(encoding="utf-8") for file in found))
    names = np.concatenate([np.repeat(name, rows.num_rows) for name, rows in parts])
    return Rows.concatenate([rows for _, rows in parts]), names


def grouped(rows: Rows, positions: np.ndarray, threshold: float | None, cache: Path | None) -> Groups:
    """The groups of these rows (`arena.data.split.groups`), from the cache where they were found before."""
    if cache is None:
        return join_rows(rows, positions, threshold)
    key = key_of(VERSION, rows.fingerprint, key_of(positions.astype(np.int64).tobytes()), threshold)

    def build(folder: Path) -> None:
        found = join_rows(rows, positions, threshold)
        np.save(folder / "group.npy", np.asarray(found.group, dtype=np.str_))
        (folder / "counts.json").write_text(json.dumps({"joined": found.joined, "largest": found.largest}))

    folder, _ = cached(cache, "groups", key, build)
    known = json.loads((folder / "counts.json").read_text())
    return Groups(group=np.load(folder / "group.npy"), **known)


def divide(
    metadata: pa.Table, groups: np.ndarray, held_out: np.ndarray, how: SplitSettings, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The split of each row, `[R]` strings, and the rows that are left out because they leak into a hold-out file,
    `[R]` bool.

    Args:
        metadata, groups: of the R rows.
        held_out: "val" or "test" for rows of a hold-out file, else "", `[R]`.
        classes: class index of each head, `[R, T]`: what is stratified instead of the columns of `how`.

    Raises:
        UsageError: shares that make no sense.
        DataError: a split would be empty, or rows leak and `on_leak` is "error".
    """
    splits = held_out.astype("<U5")
    leaked = leaks_into_hold_outs(groups, held_out)
    if leaked.any() and how.on_leak == "error":
        raise DataError(
            f"{leaked.sum()} rows have a prompt of a hold-out file (first: id "
            f"{metadata['id'][int(leaked.argmax())]}); data.on_leak=drop leaves them out"
        )
    if how.on_leak == "keep":
        leaked = np.zeros(len(groups), dtype=bool)
    free = np.flatnonzero((held_out == "") & ~leaked)
    if not len(free):
        raise DataError("no row is left to train on: every one has a prompt of a hold-out file")
    if classes is None:
        chosen = metadata.take(pa.array(free))
        codes = stratify_codes([chosen[name].to_pylist() for name in how.stratify or []])
    else:
        codes = classes[free]
    has_val, has_test = ((held_out == split).any() for split in ("val", "test"))
    shares = 0.0 if has_val else how.val_share, 0.0 if has_test else how.test_share
    fold, folds = (None, None) if has_val else (how.fold, how.folds)
    splits[free] = assign_splits(groups[free], codes, *shares, how.seed, fold, folds)
    assert set(splits[~leaked]) <= set(SPLITS)
    return splits, leaked


def leaks_into_hold_outs(groups: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The rows that share their group with a hold-out row that counts more, `[R]` bool: test before validation before
    the rest."""
    test = held_out == "test"
    in_test = np.isin(groups, groups[test]) & ~test
    val = (held_out == "val") & ~in_test
    return in_test | (np.isin(groups, groups[val]) & (held_out == ""))
