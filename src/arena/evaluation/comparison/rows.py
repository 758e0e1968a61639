"""The same rows in all runs: read, joined by their id, and summed over their groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.config import restore
from arena.config.pairing import kind_of
from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.run import RunFolder
from arena.evaluation.comparison.arms import predictions
from arena.stats.arms import Array, Statistic, ratio


@dataclass(frozen=True)
class Table:
    """Rows of one run.

    Attributes:
        path: the file.
        ids: `[N]`, each once.
        group: what was drawn together (prompt) of each row, `[N]`.
        target: what each row should have been given, `[N]` or `[N, T]`; None of replies.
        values: arrays whose first axis are these rows, by name.
        fingerprint: of the data that the run read; None where it is not recorded.
    """

    path: Path
    ids: np.ndarray
    group: np.ndarray
    target: np.ndarray | None
    values: dict[str, np.ndarray]
    fingerprint: str | None

    def take(self, ids: np.ndarray) -> "Table":
        """These rows, in this order."""
        order = np.argsort(self.ids)
        chosen = order[np.searchsorted(self.ids, ids, sorter=order)]
        target = None if self.target is None else self.target[chosen]
        values = {name: each[chosen] for name, each in self.values.items()}
        return Table(self.path, self.ids[chosen], self.group[chosen], target, values, self.fingerprint)


@dataclass(frozen=True)
class Aligned:
    """The same rows of several runs.

    Attributes:
        tables: one for each run; the same ids in the same order.
        member: number of the group of each row, `[N]`, from 0 to G - 1.
        groups: G.
        left_out: rows that not all runs have.
    """

    tables: list[Table]
    member: np.ndarray
    groups: int
    left_out: int

    def sums(self, columns: np.ndarray) -> Array:
        """Sums of columns `[N, m]` over the rows of each group, `[G, m]`."""
        found = np.zeros((self.groups, columns.shape[1]))
        np.add.at(found, self.member, columns.astype(np.float64))
        return found


def strings(table: Any, name: str) -> np.ndarray:
    """A column as strings, `[N]`."""
    return np.array(table.column(name).to_pylist(), dtype=str)


def fingerprint_of(run: RunFolder) -> str | None:
    """The fingerprint of the data that a run read."""
    return run.read_result().get("data", {}).get("fingerprint")


def read_columns(run: RunFolder, split: str, *names: str) -> tuple[Path, Any, dict[str, np.ndarray]]:
    """The predictions file of a split, its table, and columns of numbers, `[N]` float64 each.

    Raises:
        InputOutputError: there is no such file.
        DataError: it lacks a column.
    """
    path = predictions(run, split)
    table = read_parquet(path)
    for name in ("id", "group", *names):
        if name not in table.column_names:
            raise DataError(f"{path}: there is no column {name}")
    return path, table, {name: table.column(name).to_numpy().astype(np.float64) for name in names}


def read_replies(run: RunFolder, split: str) -> Table:
    """Log loss and tokens of every reply of a split; replies without a token to learn are left out.

    Raises: see `read_columns`.
    """
    path, table, values = read_columns(run, split, "log_loss", "tokens")
    kept = (values["tokens"] > 0) & np.isfinite(values["log_loss"])
    values = {name: each[kept] for name, each in values.items()}
    return Table(path, strings(table, "id")[kept], strings(table, "group")[kept], None, values, fingerprint_of(run))


def read_measures(run: RunFolder, split: str, names: Sequence[str]) -> Table:
    """Numbers that a run's task keeps of every row of a split; its `target` too, where it keeps one.

    Raises: see `read_columns`.
    """
    path, table, values = read_columns(run, split, *names)
    target = table.column("target").to_numpy() if "target" in table.column_names else None
    return Table(path, strings(table, "id"), strings(table, "group"), target, values, fingerprint_of(run))


def measures_of(runs: Sequence[RunFolder]) -> dict[str, bool]:
    """By what the runs' kind of task compares them, and whether more is better; see `arena.task.kind.TaskKind`.

    Raises:
        UsageError: the kind is of a package that is not trusted.
        DataError: it names nothing, or not the same for all runs.
    """
    known = [kind_of(restore.settings_of(run)).measures for run in runs]
    if not known[0] or any(each != known[0] for each in known):
        raise DataError(f"{runs[0].path}: its predictions hold neither classes nor replies, nor measures of its own")
    return known[0]


def mean_statistic(name: str, rows: Aligned, bases: int, rises: bool) -> Statistic:
    """The mean of a measure over the rows (or prompts) on which every run has it.

    Args:
        name: of the measure, in the `values` of the tables.
        rows: of the runs of the base, then those of the other arm.
        bases: runs of the base.
        rises: whether more is better.
    """
    values = np.stack([table.values[name] for table in rows.tables])
    defined = np.isfinite(values).all(axis=0)
    whole = np.stack([rows.sums(np.stack([np.where(defined, each, 0), defined], axis=1)) for each in values])
    counted = int(np.count_nonzero(defined))
    left_out = rows.left_out + len(rows.member) - counted
    return Statistic(name, whole[:bases], whole[bases:], ratio, rises, counted, left_out)


def align(tables: Sequence[Table], common: bool) -> Aligned:
    """Join by id; the first table gives order and groups.

    Args:
        tables: one for each run.
        common: whether to take the rows that all have, where they are not the same.

    Raises:
        DataError: other data or other rows without `common`; a row that comes twice, or with another target.
    """
    first = tables[0]
    for table in tables:
        unique, counts = np.unique(table.ids, return_counts=True)
        if (counts > 1).any():
            raise DataError(f"{table.path}: the id {unique[counts > 1][0]} comes more than once")
        if not common and None not in (table.fingerprint, first.fingerprint) and table.fingerprint != first.fingerprint:
            raise DataError(
                f"{table.path}: the run read other data ({table.fingerprint}) than {first.path} ({first.fingerprint}); "
                "rows=common compares the rows that both have"
            )
    shared = np.ones(len(first.ids), dtype=bool)
    for table in tables[1:]:
        shared &= np.isin(first.ids, table.ids)
    ids = first.ids[shared]
    union = len(np.unique(np.concatenate([table.ids for table in tables])))
    if len(ids) < union and not common:
        other = next(table for table in tables if set(table.ids) != set(first.ids))
        raise DataError(
            f"{other.path}: {len(other.ids)} rows, {first.path} has {len(first.ids)}, and {len(ids)} are in all; "
            "rows=common compares these"
        )
    if not len(ids):
        raise DataError(f"{first.path}: no row is in all runs; there is nothing to compare")
    taken = [table.take(ids) for table in tables]
    for table in taken[1:]:
        check_targets(taken[0], table)
    _, member = np.unique(taken[0].group, return_inverse=True)
    return Aligned(taken, member, int(member.max()) + 1, union - len(ids))


def check_targets(first: Table, other: Table) -> None:
    """Insist on the same targets.

    Raises:
        DataError: some differ: an id means another row there.
    """
    if first.target is None or other.target is None:
        return
    apart = (first.target != other.target).reshape(len(first.ids), -1).any(axis=1)
    if apart.any():
        raise DataError(
            f"{other.path}: {int(apart.sum())} rows have another target than in {first.path} (the first: id "
            f"{first.ids[apart][0]}); they are not of the same data"
        )
