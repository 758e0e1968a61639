"""`metrics.csv`: the record of every logged value, and its reader."""

import csv
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from arena.core.errors import InputOutputError
from arena.core.files import naming, replacing
from arena.core.schema import OutputPath

COLUMNS = ("step", "epoch", "split", "name", "value")


class FolderLogger(Logger):
    """A Lightning logger that writes into a run folder; the configuration is in `config.yaml` already.

    Args:
        folder: the run folder.
    """

    name: str = "journal"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    version: str = ""  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self, folder: OutputPath | Path) -> None:
        super().__init__()
        self.folder = Path(folder)

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class Journal(FolderLogger):
    """Append `step,epoch,split,name,value` rows and flush after each call, so that a kill loses nothing logged.

    `step` counts finished optimiser steps: Lightning's own count is one behind during training, so `step_now` is asked
    instead once the trainer exists. An undefined rate is written as `nan`. A name such as `val/log_loss` becomes the
    split `val` and the name `log_loss`.
    """

    def __init__(self, path: OutputPath | Path) -> None:
        self.path = Path(path)
        super().__init__(self.path.parent)
        self.step_now: Callable[[], int] | None = None

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row for each value; the entry `epoch` becomes a column."""
        step = self.step_now() if self.step_now is not None else step
        epoch = int(metrics["epoch"]) if "epoch" in metrics else ""
        rows = []
        for full_name, value in metrics.items():
            if full_name != "epoch":
                split, slash, name = full_name.partition("/")
                rows.append((step, epoch, split if slash else "", name if slash else split, repr(float(value))))
        new = not self.path.exists() or self.path.stat().st_size == 0
        with naming(self.path), open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows] if new else rows)
            file.flush()


def read(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a journal, numbers as numbers; a last line cut by a kill is left out."""
    return read_from(path, 0)[0]


def read_from(path: str | Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Read the rows from a byte of the file on, as `read`; also return the byte after the last whole line."""
    with open(path, "rb") as file:
        file.seek(offset)
        text = file.read()
    complete = text[: text.rfind(b"\n") + 1]
    lines = complete.decode("utf-8", "replace").split("\n")[:-1]
    rows: list[dict[str, Any]] = [dict(row) for row in csv.DictReader(lines[1:] if offset == 0 else lines, COLUMNS)]
    for row in rows:
        try:
            row["step"], row["value"] = int(row["step"]), float(row["value"])
            row["epoch"] = int(row["epoch"]) if row["epoch"] else None
        except (TypeError, ValueError):
            cells = ",".join(map(str, row.values()))
            raise InputOutputError(f"{path}: damaged, '{cells[:80]}' is no line of it; remove that line") from None
    return rows, offset + len(complete)


def full_name(row: dict[str, Any]) -> str:
    """Join split and name: `val/log_loss`."""
    return f"{row['split']}/{row['name']}" if row["split"] else row["name"]


def grouped(rows: list[dict[str, Any]]) -> Iterator[tuple[int, int | None, dict[str, float]]]:
    """Step, epoch, and the values by full name, of consecutive rows of one split that were logged at one step."""
    for (step, epoch, _), some in groupby(rows, key=itemgetter("step", "epoch", "split")):
        yield step, epoch, {full_name(row): row["value"] for row in some}


def rewind(path: str | Path, step: int, validated: int | None = None) -> None:
    """Drop what a run that is resumed will log again, so that its journal equals that of an undisturbed one.

    Args:
        path: the journal.
        step: of the checkpoint; later rows go, and those of the test, which comes after the training.
        validated: step of the last validation that the checkpoint knows; validation rows after it go.
    """
    path = Path(path)
    if not path.is_file():
        return
    until = {"val": step if validated is None else validated, "test": -1}
    header, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    pairs = zip(lines, read(path), strict=False)  # a last line that a kill has cut is no row
    kept = [line for line, row in pairs if row["step"] <= until.get(row["split"], step)]
    with replacing(path) as partial:
        partial.write_text("\n".join([header, *kept, ""]), encoding="utf-8")
