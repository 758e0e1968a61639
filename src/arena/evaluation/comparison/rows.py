"""The same rows in all runs: read, joined by their id, and summed over their groups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from arena.config import restore
from arena.config.pairing import kind_of
from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.run import RunFolder
from arena.evaluation.comparison.arms import predictions
from arena.evaluation.comparison.options import ComparisonOptions
from arena.stats.arms import Array, Statistic, ratio


@dataclass(frozen=True)
class Table:
    """Rows of one run: ids, each once, groups (what was drawn together) and targets, `[N]` each or `[N, T]`, and arrays
    whose first axis are these rows by name; with the file and the fingerprint of the data, where it is recorded."""

    path: Path
    ids: np.ndarray
    group: np.ndarray
    values: dict[str, np.ndarray]
    fingerprint: str | None
    target: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> "Table":
        """Return the rows of a mask or of positions."""
        target = None if self.target is None else self.target[chosen]
        values = {name: each[chosen] for name, each in self.values.items()}
        return replace(self, ids=self.ids[chosen], group=self.group[chosen], values=values, target=target)

    def ordered(self, ids: np.ndarray) -> "Table":
        """Return the rows with these ids, in their order."""
        order = np.argsort(self.ids)
        return self.take(order[np.searchsorted(self.ids, ids, sorter=order)])


@dataclass(frozen=True)
class Aligned:
    """The same rows, in the same order, of several runs; the number of each row's group of G, and the rows left out."""

    tables: list[Table]
    member: np.ndarray
    groups: int
    left_out: int

    def sums(self, *columns: np.ndarray) -> Array:
        """Sums of columns, `[N]` or `[N, m]` each, over the rows of each group, `[G, m]`."""
        stacked = np.column_stack(columns)
        found = np.zeros((self.groups, stacked.shape[1]))
        np.add.at(found, self.member, stacked.astype(np.float64))
        return found


class TaskRows:
    """Numbers that a run's kind of task keeps of every row of a split; see `arena.task.kind.TaskKind`.

    Runs of other kinds have classes with the same members: `names` of the measures that all runs have, `primary` the
    one that decides, the joined `rows`, and `statistics` of some measures. The runs of the base come first. A
    `DataError` where the kind names no measures, or rows cannot be joined; an `InputOutputError` without predictions.
    """

    def __init__(self, runs: Sequence[RunFolder], options: ComparisonOptions) -> None:
        known = [kind_of(restore.settings_of(run)).measures for run in runs]
        if not known[0] or any(each != known[0] for each in known):
            raise DataError(
                f"{runs[0].path}: its predictions hold neither classes nor replies, nor measures of its own"
            )
        self.rises: dict[str, bool] = known[0]
        self.names, self.primary = list(known[0]), next(iter(known[0]))
        self.runs, self.options = runs, options

    @cached_property
    def rows(self) -> Aligned:
        """The rows that the measures are of."""
        options = self.options
        return align([read_columns(run, options.split, self.names) for run in self.runs], options.common)

    def statistics(self, names: Sequence[str], bases: int) -> list[Statistic]:
        """The measures of both arms, of which the first `bases` runs are the base."""
        return [mean_statistic(name, self.rows, bases, self.rises[name]) for name in names]


def strings(table: Any, name: str) -> np.ndarray:
    """A column as strings, `[N]`."""
    return np.array(table.column(name).to_pylist(), dtype=str)


def fingerprint_of(run: RunFolder) -> str | None:
    """The fingerprint of the data that a run read."""
    return run.read_result().get("data", {}).get("fingerprint")


def read_columns(run: RunFolder, split: str, names: Sequence[str]) -> Table:
    """Read columns of numbers from the predictions of a split, `[N]` float64 each, and its targets, if it has some."""
    path = predictions(run, split)
    table = read_parquet(path)
    for name in ("id", "group", *names):
        if name not in table.column_names:
            raise DataError(f"{path}: there is no column {name}")
    values = {name: table.column(name).to_numpy().astype(np.float64) for name in names}
    target = table.column("target").to_numpy() if "target" in table.column_names else None
    return Table(path, strings(table, "id"), strings(table, "group"), values, fingerprint_of(run), target)


def mean_statistic(name: str, rows: Aligned, bases: int, rises: bool) -> Statistic:
    """The mean of a measure over the rows (or prompts) on which every run has it; `bases` runs are of the base."""
    values = np.stack([table.values[name] for table in rows.tables])
    defined: np.ndarray = np.asarray(np.isfinite(values).all(axis=0))
    whole = np.stack([rows.sums(np.where(defined, each, 0), defined) for each in values])
    counted = int(np.count_nonzero(defined))
    left_out = rows.left_out + len(rows.member) - counted
    return Statistic(name, whole[:bases], whole[bases:], ratio, rises, counted, left_out)


def align(tables: Sequence[Table], common: bool) -> Aligned:
    """Join by id; the first table gives order and groups. `common` takes the rows that all have, where they differ.

    A `DataError` for other data or other rows without `common`; a row that comes twice, or with another target.
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
    taken = [table.ordered(ids) for table in tables]
    for table in taken[1:]:
        _check_targets(taken[0], table)
    _, member = np.unique(taken[0].group, return_inverse=True)
    return Aligned(taken, member, int(member.max()) + 1, union - len(ids))


def _check_targets(first: Table, other: Table) -> None:
    """Raise a `DataError` where targets differ: an id means another row there."""
    if first.target is None or other.target is None:
        return
    apart = (first.target != other.target).reshape(len(first.ids), -1).any(axis=1)
    if apart.any():
        raise DataError(
            f"{other.path}: {int(apart.sum())} rows have another target than in {first.path} (the first: id "
            f"{first.ids[apart][0]}); they are not of the same data"
        )
