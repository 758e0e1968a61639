"""The runs of an ensemble: what is known of each before anything is computed, and its probabilities for rows."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import say
from arena.core.data_keys import READING, get, has, refuse_idle_keys
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.heads import Heads
from arena.core.run import RunFolder
from arena.core.stored import read
from arena.core.values import flat
from arena.evaluation.calibration import store
from arena.inference.partial import Part, Partial

if TYPE_CHECKING:
    import numpy as np

    from arena.data.source.rows import Rows

WAYS = ("reader", "ingest.on_bad_row", "ingest.max_rejected")
"""Data settings that decide which rows a file has, and that runs can differ in."""


@dataclass(frozen=True)
class Member:
    """One run of an ensemble.

    Attributes:
        run: its folder.
        name: the shortest name that tells it from the others.
        labels: its classes in the order of its columns, or those of each head.
        settings: its configuration for the rows to predict; empty for a run of `arena.baseline`.
        checkpoint: its weights.
        calibration: what is done to its probabilities; None for nothing.
    """

    run: RunFolder
    name: str
    labels: Any
    settings: build.Settings
    checkpoint: Path
    calibration: store.Calibration | None = None

    def calibrated(self, probabilities: "np.ndarray", logs: "np.ndarray | None" = None) -> "np.ndarray":
        """Its probabilities `[N, C]`, in the order of `labels`, after its calibration, if it has one; `logs` are their
        logarithms where they are known better than by these."""
        return self.calibration.apply(probabilities, logs) if self.calibration else probabilities

    @property
    def is_baseline(self) -> bool:
        """Whether `arena.baseline` made it."""
        return not self.settings


def gather(
    runs: list[RunFolder], data: dict[str, Any], checkpoint: str | None = None, calibrated: bool = False
) -> list[Member]:
    """Look at every run, without importing anything heavy.

    Args:
        runs: their folders.
        data: `data.*` keys that replace those of the runs.
        checkpoint: weights other than the best of the one run.
        calibrated: whether the calibration of a run is used where it has one.

    Raises:
        UsageError: a checkpoint for several runs, or a key that a run does not have.
        InputOutputError: a run without weights.
        DataError: runs with different classes, or a calibration of other weights.
    """
    if checkpoint and len(runs) > 1:
        raise UsageError(f"checkpoint={checkpoint}: it belongs to one run, but run= names {len(runs)}")
    found = []
    for run, name in zip(runs, short_names(runs), strict=True):
        settings = {} if run.is_baseline else restore.settings_of(run, _meant_for(run, data, len(runs)))
        weights = Path(checkpoint) if checkpoint else run.best
        if settings:
            kind_of(settings).require("predict")
        if settings and not weights.is_file():
            status = run.read_result().get("status", "unknown")
            raise InputOutputError(f"{weights}: no such checkpoint (the run's status is: {status})")
        if settings:
            checkpoints.check(weights)
        labels = labels_of(run)
        calibration = store.read(run, labels, weights) if calibrated and settings else None
        found.append(Member(run, name, labels, settings, weights, calibration))
    if all(member.is_baseline for member in found):
        idle = [key for key, _ in flat(data) if key.partition(".")[0] not in READING]
        refuse_idle_keys(data, idle, "a run of arena.baseline alone has no use for it")
    first = found[0]
    for other in found[1:]:
        theirs, ours = Heads(other.labels), Heads(first.labels)
        if set(theirs.columns) != set(ours.columns) or theirs.named != ours.named:
            raise DataError(
                f"{other.run.path} has the classes {', '.join(theirs.columns)}, {first.run.path} has "
                f"{', '.join(ours.columns)}; only runs with the same classes can be averaged"
            )
    return found


def _meant_for(run: RunFolder, data: dict[str, Any], runs: int) -> dict[str, Any]:
    """`data` without the offset, if that can only be meant for others of the runs."""
    offset = "target.offset"
    if runs == 1 or not has(data, offset) or get(read(run.config)["data"], offset) is not None:
        return data
    return data | {"target": {key: value for key, value in data["target"].items() if key != "offset"}}


def labels_of(run: RunFolder) -> Any:
    """The classes of a run, or those of each head, from its configuration; of a run of `arena.baseline` from
    `result.json`."""
    labels = run.read_result().get("labels") if run.is_baseline else None
    if labels is None and run.config.is_file():
        # Resolved when it was written: nothing looks at the data again.
        labels = read(run.config)["data"].get("labels")
    if labels is None:
        raise DataError(f"{run.path}: nothing says which classes this run has")
    return labels


def short_names(runs: list[RunFolder]) -> list[str]:
    """Each folder's path below the folder that holds them all."""
    if len(runs) == 1:
        return [runs[0].path.name]
    above = os.path.commonpath([run.path.parent for run in runs])
    return [os.path.relpath(run.path, above) for run in runs]


def read_rows(members: list[Member], data: dict[str, Any], stand_ins: bool = False) -> "Rows":
    """The rows to predict, read once for each way of reading among the members; with `stand_ins` (`Rows.stand_ins`)
    also a row for every record that cannot be used.

    Raises:
        DataError: two runs read other rows from the same file.
    """
    ways: dict[str, tuple[Member, Rows]] = {}
    for member in members:
        way = json.dumps([get(member.settings["data"], name) for name in WAYS]) if member.settings else ""
        if way and way not in ways:
            ways[way] = member, build.data(member.settings).read(stand_ins)
    if not ways:
        return _read_alone(members[0], data, stand_ins)
    (first, rows), *others = ways.values()
    for member, same in others:
        if not same.metadata["id"].equals(rows.metadata["id"]):
            raise DataError(f"{first.run.path} and {member.run.path} read other rows from {data['path']}")
    return rows


def _read_alone(member: Member, data: dict[str, Any], stand_ins: bool) -> "Rows":
    """The rows as the run of `arena.baseline` reads them, without a tokenizer, which it does not need."""
    settings = restore.settings_of(member.run, data)
    if Heads(member.labels).named:
        return build.data(settings).read(stand_ins)
    from arena.core.cache import root_of

    node = settings["data"]
    ingest = build.instantiate(node["ingest"])
    reader = build.instantiate(node["reader"]).unlabelled()
    return reader(node["path"], ingest, root_of(node["cache"]), stand_ins).head(ingest.limit)


def predict(member: Member, labels: Any, rows: "Rows", swap: bool, partial: Partial) -> list["np.ndarray"]:
    """Probabilities `[N, K]`, or `[N, C]` of several heads, float64 in the order of `labels`: of the rows as they are
    and, with `swap`, of the rows with their answers exchanged, mirrored back. What an earlier process left in `partial`
    is not computed again."""
    import numpy as np

    from arena.data.target.labels import swap_permutation

    found = []
    own = Heads(member.labels)
    column = [own.columns.index(name) for name in Heads(labels).columns]
    parts = list(_orders(member, rows, swap, partial))
    if not member.is_baseline and any(part.rows < rows.num_rows for _, part in parts):
        _run_model(member, rows, parts)
    for swapped, part in parts:
        logs = None if member.is_baseline else part.read(rows.num_rows, own.width)
        probabilities = ask_baseline(member, rows, swapped) if logs is None else np.exp(logs)
        if not np.isfinite(probabilities).all():
            raise DataError(f"{member.run.path}: its probabilities are not finite in {_broken(probabilities)} rows")
        # The calibration knows the answers in the order in which the model sees them.
        probabilities = member.calibrated(probabilities, logs)
        if swapped:
            probabilities = probabilities[:, swap_permutation(member.labels)]
        # A baseline's probabilities sum to one up to 1e-7 only; competitions check more closely.
        parts = [part / part.sum(axis=1, keepdims=True) for part in own.split(probabilities).values()]
        probabilities = np.concatenate(parts, axis=1)
        found.append(probabilities[:, column])
    return found


def in_one_order(member: Member, rows: "Rows", partial: Partial, width: int) -> "np.ndarray":
    """What the model says of the rows as they are, `[N, width]` float64.

    Raises:
        DataError: it is not finite.
    """
    import numpy as np

    parts = list(_orders(member, rows, False, partial))
    if parts[0][1].rows < rows.num_rows:
        _run_model(member, rows, parts)
    found = parts[0][1].read(rows.num_rows, width)
    if not np.isfinite(found).all():
        raise DataError(f"{member.run.path}: its predictions are not finite in {_broken(found)} rows")
    return found


def _broken(probabilities: "np.ndarray") -> int:
    import numpy as np

    return int((~np.isfinite(probabilities).all(axis=1)).sum())


def _orders(member: Member, rows: "Rows", swap: bool, partial: Partial) -> Iterator[tuple[bool, Part]]:
    """Where the probabilities of each order are kept, named after all that decides them."""
    from arena.core.cache import file_fingerprint, key_of

    key = key_of(str(member.run.path))
    if not member.is_baseline:
        settings = member.settings
        data = [(key, value) for key, value in flat(settings["data"]) if key not in ("path", "loader.num_workers")]
        trainer = {name: settings["trainer"][name] for name in ("accelerator", "precision")}
        numbers = json.dumps(["log probabilities", settings["model"], data, trainer])
        key = key_of(file_fingerprint(member.checkpoint), rows.fingerprint, numbers)
    for swapped in (False, True) if swap else (False,):
        yield swapped, partial.part(f"{key}-{'exchanged' if swapped else 'straight'}")


def _run_model(member: Member, rows: "Rows", parts: list[tuple[bool, Part]]) -> None:
    """Fill the parts with what the model says."""
    import time

    from arena.callback.prediction_streamer import PredictionStreamer

    task = restore.rebuild(member.run, member.settings, member.checkpoint)
    data = build.data(member.settings)
    for swapped, part in parts:
        if part.rows == rows.num_rows:
            continue
        title = member.name + (", answers exchanged" if swapped else "")
        if part.rows:
            say(f"{title}: goes on after {part.rows} of {rows.num_rows} rows, which an earlier process predicted")
        loader, sequences = data.predict_loader(rows, swapped)
        # The batches stay as they were: in other company a row could get other last digits.
        loader.batches = loader.batches[part.batches :]
        lengths = sequences.lengths
        costs = [int(lengths[batch % rows.num_rows].max()) * len(batch) for batch in loader.batches]
        before, started = part.rows, time.monotonic()
        keeper = PredictionStreamer(part, costs, title, part.rows, rows.num_rows)
        trainer = build.evaluation_trainer(member.settings, member.run, [keeper])
        trainer.predict(task, dataloaders=loader, return_predictions=False)
        rate = (rows.num_rows - before) / max(time.monotonic() - started, 1e-9)
        say(f"{title}: {rows.num_rows} rows predicted, {rate:.1f} a second")


def ask_baseline(member: Member, rows: "Rows", swapped: bool) -> "np.ndarray":
    """Compute the probabilities `[N, K]` of a run of `arena.baseline`, in the order of its labels."""
    import numpy as np

    from arena.evaluation.baselines.model import predict as baseline
    from arena.inference.exchanged import Exchanged

    labels, probabilities = baseline(member.run.path, Exchanged(rows) if swapped else rows)
    known = Heads(labels).columns
    order = [known.index(name) for name in Heads(member.labels).columns]
    return np.asarray(probabilities, dtype=np.float64)[:, order]


def training_shares(members: list[Member], weights: list[float], heads: Heads) -> "np.ndarray":
    """Mean class shares of the members' training rows, `[C]` float64 in the order of `heads`; of each head, sum 1."""
    import numpy as np

    from arena.evaluation.predictions import prior_of

    found = []
    for member in members:
        shares = prior_of(Heads(member.labels), restore.training_counts(member.run, member.labels), 1)[0]
        found.append(shares[[Heads(member.labels).columns.index(name) for name in heads.columns]].astype(np.float64))
    mean = np.average(found, axis=0, weights=weights)[None]
    return np.concatenate([part[0] / part[0].sum() for part in heads.split(mean).values()])
