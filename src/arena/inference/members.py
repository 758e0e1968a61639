"""The runs of an ensemble: checked before anything is computed, and their probabilities of rows."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import echo
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
        name: the shortest name that distinguishes it from the others.
        labels: its classes in the order of its columns, or those of each head.
        settings: its configuration for the rows to predict; empty for a run of `arena.baseline`.
        outputs: names of the numbers that it predicts instead of classes (a rating).
    """

    run: RunFolder
    name: str
    labels: Any
    settings: build.Settings
    checkpoint: Path
    calibration: store.Calibration | None = None
    outputs: tuple[str, ...] = ()

    def calibrated(self, probabilities: "np.ndarray", logs: "np.ndarray | None" = None) -> "np.ndarray":
        """Calibrate probabilities `[N, C]` in the order of `labels`; `logs`: their more exact logarithms, if known."""
        return self.calibration.apply(probabilities, logs) if self.calibration else probabilities

    @property
    def is_baseline(self) -> bool:
        """True for a run of `arena.baseline`."""
        return not self.settings


def gather(
    runs: list[RunFolder], data: dict[str, Any], checkpoint: str | None = None, calibrated: bool = False
) -> list[Member]:
    """Check every run, without importing anything heavy.

    `data` replaces keys of the runs, `checkpoint` the best weights of the one run; `calibrated` uses the calibration of
    a run where it has one.

    Raises:
        UsageError: a checkpoint for several runs, or a key that a run does not have.
        InputOutputError: a run without weights.
        DataError: runs of different tasks or classes, or a calibration of other weights.
    """
    if checkpoint and len(runs) > 1:
        raise UsageError(f"checkpoint={checkpoint}: it belongs to one run, but run= names {len(runs)}")
    members = [
        _member(run, name, _meant_for(run, data, len(runs)), checkpoint, calibrated)
        for run, name in zip(runs, short_names(runs), strict=True)
    ]
    if all(member.is_baseline for member in members):
        idle = [key for key, _ in flat(data) if key.partition(".")[0] not in READING]
        refuse_idle_keys(data, idle, "a run of arena.baseline alone has no use for it")
    first = members[0]
    for other in members[1:]:
        if other.outputs != first.outputs:
            tasks = ["arena.baseline" if m.is_baseline else f"task={kind_of(m.settings).name}" for m in (first, other)]
            raise DataError(
                f"{first.run.path} is of {tasks[0]} and {other.run.path} is of {tasks[1]}: their predictions cannot be "
                "averaged; give runs of one task"
            )
        if first.outputs:
            continue
        theirs, ours = Heads(other.labels), Heads(first.labels)
        if set(theirs.columns) != set(ours.columns) or theirs.named != ours.named:
            raise DataError(
                f"{other.run.path} has the classes {', '.join(theirs.columns)}, {first.run.path} has "
                f"{', '.join(ours.columns)}; only runs with the same classes can be averaged"
            )
    return members


def _member(run: RunFolder, name: str, data: dict[str, Any], checkpoint: str | None, calibrated: bool) -> Member:
    weights = Path(checkpoint) if checkpoint else run.best
    if run.is_baseline:
        return Member(run, name, labels_of(run), {}, weights)
    settings = restore.settings_of(run, data)
    kind = kind_of(settings)
    kind.require("predict")
    if not weights.is_file():
        status = run.read_result().get("status", "unknown")
        raise InputOutputError(f"{weights}: no such checkpoint (the run's status is: {status})")
    checkpoints.check(weights)
    if kind.outputs:
        return Member(run, name, [], settings, weights, outputs=kind.outputs)
    labels = labels_of(run)
    return Member(run, name, labels, settings, weights, store.read(run, labels, weights) if calibrated else None)


def _meant_for(run: RunFolder, data: dict[str, Any], runs: int) -> dict[str, Any]:
    """Drop the offset from `data`, if it can only be meant for others of the runs."""
    offset = "target.offset"
    if runs == 1 or not has(data, offset) or run.is_baseline or get(read(run.config)["data"], offset) is not None:
        return data
    return data | {"target": {key: value for key, value in data["target"].items() if key != "offset"}}


def labels_of(run: RunFolder) -> Any:
    """Read the classes of a run, or those of each head, from its configuration; of a baseline from `result.json`."""
    labels = run.read_result().get("labels") if run.is_baseline else None
    if labels is None and run.config.is_file():
        # Resolved when it was written: the data need not be there.
        labels = read(run.config)["data"].get("labels")
    if labels is None:
        raise DataError(f"{run.path}: nothing says which classes this run has")
    return labels


def short_names(runs: list[RunFolder]) -> list[str]:
    """Name each folder by its path below the folder that holds them all."""
    if len(runs) == 1:
        return [runs[0].path.name]
    above = os.path.commonpath([run.path.parent for run in runs])
    return [os.path.relpath(run.path, above) for run in runs]


def read_rows(members: list[Member], data: dict[str, Any], stand_ins: bool = False) -> "Rows":
    """Read the rows to predict, once for each way of reading among the members.

    With `stand_ins` (`Rows.stand_ins`) there is also a row for every unusable record. Raises DataError where two runs
    read other rows from the same file.
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
    """Read the rows as a run of `arena.baseline` does, without a tokenizer, which it does not need."""
    settings = restore.settings_of(member.run, data)
    if Heads(member.labels).named:
        return build.data(settings).read(stand_ins)
    from arena.core.cache import root_of

    node = settings["data"]
    ingest = build.instantiate(node["ingest"])
    reader = build.instantiate(node["reader"]).unlabelled()
    return reader(node["path"], ingest, root_of(node["cache"]), stand_ins).head(ingest.limit)


def predict(member: Member, labels: Any, rows: "Rows", swap: bool, partial: Partial) -> list["np.ndarray"]:
    """Predict probabilities `[N, C]`, float64 in the order of `labels`; with `swap` also those of the swapped answers,
    mapped back. What an earlier process left in `partial` is not computed again."""
    orders = (False, True) if swap else (False,)
    logs = [None] * len(orders)
    if not member.is_baseline:
        logs = model_outputs(member, rows, orders, partial, Heads(labels).width)
    return [oriented(member, labels, rows, swapped, each) for swapped, each in zip(orders, logs, strict=True)]


def oriented(member: Member, labels: Any, rows: "Rows", swapped: bool, logs: "np.ndarray | None") -> "np.ndarray":
    """Calibrate and order one member's probabilities, `[N, C]` in the order of `labels`; each head's sum to one.

    Args:
        swapped: the answers were swapped; the classes are then mapped back.
        logs: log probabilities of its model, `[N, C]` in its own order; None for a baseline.
    """
    import numpy as np

    from arena.data.target.labels import swap_permutation

    own = Heads(member.labels)
    found = _ask_baseline(member, rows, swapped) if logs is None else np.exp(logs)
    check_finite(member, found)
    # The calibration was fitted to the order of answers that the model sees.
    found = member.calibrated(found, logs)
    if swapped:
        found = found[:, swap_permutation(member.labels)]
    # A baseline's probabilities sum to one up to 1e-7 only; competitions check more closely.
    found = np.concatenate([part / part.sum(axis=1, keepdims=True) for part in own.split(found).values()], axis=1)
    return found[:, [own.columns.index(name) for name in Heads(labels).columns]]


def model_outputs(
    member: Member, rows: "Rows", swaps: tuple[bool, ...], partial: Partial, width: int
) -> list["np.ndarray"]:
    """Run a member's model on rows in each order of the answers (True: swapped): `[N, width]` float64 each.

    Outputs are kept in `partial` under a name of all that decides them, and not computed again.
    """
    from arena.core.cache import file_fingerprint, key_of

    settings = member.settings
    data = [(key, value) for key, value in flat(settings["data"]) if key not in ("path", "loader.num_workers")]
    trainer = {name: settings["trainer"][name] for name in ("accelerator", "precision")}
    numbers = json.dumps(["log probabilities", settings["model"], data, trainer])
    key = key_of(file_fingerprint(member.checkpoint), rows.fingerprint, numbers)
    parts = [(swapped, partial.part(f"{key}-{'swapped' if swapped else 'straight'}")) for swapped in swaps]
    if any(part.rows < rows.num_rows for _, part in parts):
        _run_model(member, rows, parts)
    return [part.read(rows.num_rows, width) for _, part in parts]


def check_finite(member: Member, values: "np.ndarray") -> None:
    """Require finite values `[N, C]`; raises DataError."""
    import numpy as np

    if broken := int((~np.isfinite(values).all(axis=1)).sum()):
        raise DataError(f"{member.run.path}: its predictions are not finite in {broken} rows")


def _run_model(member: Member, rows: "Rows", parts: list[tuple[bool, Part]]) -> None:
    """Fill the parts with the model's outputs."""
    import time

    from arena.callback.prediction_streamer import PredictionStreamer

    task = restore.rebuild(member.run, member.settings, member.checkpoint)
    data = build.data(member.settings)
    for swapped, part in parts:
        if part.rows == rows.num_rows:
            continue
        title = member.name + (", answers swapped" if swapped else "")
        if part.rows:
            echo(f"{title}: goes on after {part.rows} of {rows.num_rows} rows, which an earlier process predicted")
        loader, sequences = data.predict_loader(rows, swapped)
        # The batches stay as they were: in other company a row could get other last digits.
        loader.batches = loader.batches[part.batches :]
        lengths = sequences.lengths
        costs = [int(lengths[batch % rows.num_rows].max()) * len(batch) for batch in loader.batches]
        before, started = part.rows, time.monotonic()
        streamer = PredictionStreamer(part, costs, title, part.rows, rows.num_rows)
        trainer = build.evaluation_trainer(member.settings, member.run, [streamer])
        trainer.predict(task, dataloaders=loader, return_predictions=False)
        rate = (rows.num_rows - before) / max(time.monotonic() - started, 1e-9)
        echo(f"{title}: {rows.num_rows} rows predicted, {rate:.1f} a second")


def _ask_baseline(member: Member, rows: "Rows", swapped: bool) -> "np.ndarray":
    """Compute the probabilities `[N, C]` of a run of `arena.baseline`, in the order of its labels."""
    import numpy as np

    from arena.evaluation.baselines.model import predict as baseline
    from arena.inference.swapped import SwappedRows

    labels, probabilities = baseline(member.run.path, SwappedRows(rows) if swapped else rows)
    known = Heads(labels).columns
    order = [known.index(name) for name in Heads(member.labels).columns]
    return np.asarray(probabilities, dtype=np.float64)[:, order]


def training_shares(members: list[Member], weights: list[float], heads: Heads) -> "np.ndarray":
    """Average the class shares of the members' training rows, `[C]` float64 in the order of `heads`; each sums to 1."""
    import numpy as np

    from arena.evaluation.predictions import prior_of

    found = []
    for member in members:
        shares = prior_of(Heads(member.labels), restore.training_counts(member.run, member.labels), 1)[0]
        found.append(shares[[Heads(member.labels).columns.index(name) for name in heads.columns]].astype(np.float64))
    mean = np.average(found, axis=0, weights=weights)[None]
    return np.concatenate([part[0] / part[0].sum() for part in heads.split(mean).values()])
