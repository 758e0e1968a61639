"""The rows that a calibration is fitted to and measured on, head by head, proved to be those of the run's weights.

Shape legend: M rows of a split, N of them with a label of a head, K classes of the head, C of all heads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from arena.config import build, restore
from arena.core.console import echo
from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.heads import LOG_PROBABILITY, LOSS, Heads
from arena.core.run import RunFolder
from arena.stats.scores import logarithm

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
SAME = 1e-4
"""How far a stored probability may be from what the weights give again: another batch, another order of sums."""


@dataclass(frozen=True)
class HeadRows:
    """The N rows that have a label of one head: probabilities `[N, K]`, class indices, numbers of their groups,
    positions in the split, and logarithms of the probabilities where the file has them."""

    probabilities: Array
    target: Integers
    group: Integers
    place: Integers
    logs: Array | None = None

    @property
    def logits(self) -> Array:
        """`logs`, or the logarithms of the stored probabilities: as float32 they end at 1e-38, and here at 1e-15."""
        return logarithm(self.probabilities) if self.logs is None else self.logs

    @property
    def counts(self) -> Integers:
        """Rows of each class, `[K]`."""
        return np.bincount(self.target, minlength=self.probabilities.shape[1])

    def take(self, chosen: NDArray[Any]) -> "HeadRows":
        """Return the rows of a mask or of positions."""
        logs = None if self.logs is None else self.logs[chosen]
        return HeadRows(self.probabilities[chosen], self.target[chosen], self.group[chosen], self.place[chosen], logs)


@dataclass(frozen=True)
class SplitRows:
    """One split: the labelled rows of each head, and of all rows ids, probabilities as they are in the file `[M, C]`,
    number of the group `[M]`, and the mean training loss in nats."""

    heads: dict[str, HeadRows]
    ids: list[str]
    probabilities: Array
    group: Integers
    loss: float


def read_rows(path: Path, heads: Heads) -> SplitRows:
    """Read `predictions/<split>.parquet`; a `DataError` where it is not there, lacks a column or has another class."""
    if not path.is_file():
        raise DataError(f"{path}: no such predictions; the run is not complete")
    table = read_parquet(path)
    columns = [each for name in heads.names for each in heads.probability_columns(name)]
    needed = ["id", "group", LOSS, *columns, *map(heads.target_column, heads.names)]
    if lacking := [name for name in needed if name not in table.column_names]:
        raise DataError(f"{path}: there is no column {lacking[0]}")
    raw = np.stack([table[name].to_numpy() for name in columns], axis=1).astype(np.float64)
    _, group = np.unique(np.array(table["group"].to_pylist(), dtype=str), return_inverse=True)
    logs = log_probabilities_of(table, heads)
    found = {}
    for name, probabilities in heads.split(raw).items():
        target = _classes(path, table[heads.target_column(name)].to_pylist(), heads.classes[name])
        place = np.flatnonzero(target >= 0)
        chosen = probabilities[place] / probabilities[place].sum(axis=1, keepdims=True)
        known = None if logs is None else logs[place][:, heads.slices[name]]
        found[name] = HeadRows(chosen, target[place], group[place], place, known)
    loss = np.nanmean(table[LOSS].to_numpy().astype(np.float64)) if table.num_rows else np.nan
    return SplitRows(found, [str(each) for each in table["id"].to_pylist()], raw, group, float(loss))


def log_probabilities_of(table: pa.Table, heads: Heads) -> Array | None:
    """Logarithms of the probabilities, `[M, C]` float64; None for a file of an older run, which has none."""
    names = [LOG_PROBABILITY + name for name in heads.columns]
    if not set(names) <= set(table.column_names):
        return None
    return np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float64)


def _classes(path: Path, names: list[str | None], classes: list[str]) -> Integers:
    """Class indices, -1 where there is none."""
    index: dict[str | None, int] = {None: -1} | {name: k for k, name in enumerate(classes)}
    if unknown := [name for name in names if name not in index]:
        raise DataError(f"{path}: the run has no class {unknown[0]!r}")
    return np.array([index[name] for name in names], dtype=np.int64)


def group_folds(group: Integers, folds: int, seed: int) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield rows to fit on and rows left out, `[N]` each, so that every row is left out once; groups stay together.

    There are fewer folds where there are fewer groups.
    """
    known, member = np.unique(group, return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(known)) % folds
    for fold in range(min(folds, len(known))):
        out = part[member] == fold
        yield ~out, out


def verified(run: RunFolder, settings: build.Settings, heads: Heads) -> tuple[SplitRows, SplitRows | None, Array]:
    """Read a run's validation and test rows (None for a run without), and the training rows of each class, `[C]`.

    Raises:
        DataError: the weights do not reproduce the recorded validation loss, or the predictions are not theirs.
    """
    task = restore.rebuild(run, settings)
    data = build.data(settings)
    loss = restore.verify(run, settings, task, build.evaluation_trainer(settings, run, limited=True), data, way_on="")
    echo(f"the model reproduces the recorded validation loss: {loss:.7f}")
    val = read_rows(run.predictions("val"), heads)
    _check_validation(run.predictions("val"), val, task.predictions["val"], data.covariates("val"))
    recorded = (run.read_result().get("test") or {}).get("loss", {}).get("value")
    if recorded is None:
        return val, None, data.class_counts("train")
    test = read_rows(run.predictions("test"), heads)
    if not abs(test.loss - recorded) <= restore.TOLERANCE:
        raise DataError(
            f"{run.predictions('test')}: its mean loss is {test.loss:.7f}, the run recorded {recorded:.7f}; these are "
            "not the predictions of that run"
        )
    return val, test, data.class_counts("train")


def _check_validation(path: Path, val: SplitRows, predictions: Any, covariates: Any) -> None:
    """Raise a `DataError` where a file has other rows, or other probabilities, than the weights just gave."""
    names = dict(zip(covariates.column("row").to_pylist(), covariates.column("id").to_pylist(), strict=True))
    rows = {str(names[int(row)]): i for i, row in enumerate(predictions.row)}
    if len(rows) != len(val.ids) or set(rows) != set(val.ids):
        raise DataError(f"{path}: it has other rows than the run's validation split")
    order = [rows[name] for name in val.ids]
    apart = float(np.abs(predictions.probabilities.double().numpy()[order] - val.probabilities).max())
    if not apart <= SAME:
        raise DataError(
            f"{path}: its probabilities are up to {apart:.4f} from what the weights say; these are not the predictions "
            "of that run"
        )
