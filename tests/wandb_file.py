"""Reads what `wandb` wrote offline, by the description of its format: the records of LevelDB's log files.

`wandb` itself brings no reader in Python any more.
"""

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024


@dataclass
class WandbFile:
    """One run. `history`: rows as they were logged. `metrics`: definitions by name or pattern."""

    id: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    statistics: int = 0

    @property
    def values(self) -> list[tuple[int, int | None, dict[str, float]]]:
        """Step, epoch and numbers of every row of the history, without tables and curves."""
        found = []
        for row in self.history:
            numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
            numbers = {
                name: value for name, value in numbers.items() if name[0] != "_" and name not in ("step", "epoch")
            }
            if numbers:
                found.append((row["step"], row.get("epoch"), numbers))
        return found


def only(folder: Path, seconds: float = 20) -> WandbFile:
    """The one run in a folder `wandb`, once its end is on disk: W&B's own process writes it a moment after `finish`."""
    (path,) = folder.glob("offline-run-*/run-*.wandb")
    until = time.monotonic() + seconds
    while (found := _written(path)) is None or found.exit_code is None:
        assert time.monotonic() < until, f"{path} has no end"
        time.sleep(0.2)
    return found


def _written(path: Path) -> WandbFile | None:
    """The records so far; None while the last one is half written."""
    from google.protobuf.message import DecodeError

    try:
        return read(path)
    except DecodeError:
        return None


def read(path: Path) -> WandbFile:
    """The records of a file put together."""
    from wandb.proto import wandb_internal_pb2

    run = WandbFile()
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()  # pyright: ignore
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.project, run.group = record.run.run_id, record.run.project, record.run.run_group
            run.job_type, run.tags = record.run.job_type, list(record.run.tags)
            run.config |= items(record.run.config.update)
        elif kind == "config":
            run.config |= items(record.config.update)
        elif kind == "history":
            run.history.append(items(record.history.item))
        elif kind == "summary":
            run.summary |= items(record.summary.update)
        elif kind == "metric":
            run.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
        elif kind == "stats":
            run.statistics += 1
    return run


def items(messages: Any) -> dict[str, Any]:
    """Key and value of each item, whichever way it is encoded; a table is one value."""
    found: dict[str, Any] = {}
    for item in messages:
        path = list(item.nested_key) or [item.key]
        kind = item.WhichOneof("value") if "value" in item.DESCRIPTOR.oneofs_by_name else None
        value = json.loads(item.value_json) if item.value_json else getattr(item, kind) if kind else None
        if len(path) == 1:
            found[path[0]] = value
        else:
            found.setdefault(path[0], {})[path[-1]] = value
    return found


def records(data: bytes) -> list[bytes]:
    """The payloads of a log: seven bytes of header, then blocks with pieces of records."""
    assert data[:4] == b":W&B"
    found, pieces, place = [], [], 7
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0:
            break
        pieces.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(b"".join(pieces))
            pieces = []
    return found
