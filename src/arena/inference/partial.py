"""Predictions on disk while they are made: a prediction that was stopped goes on where it stopped.

`.<name>.partial/` beside the output holds one folder for each model and order of the answers, named after everything
its numbers depend on: weights, rows, settings, order. So nothing is taken for the work of another command.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core.files import locked, replacing

if TYPE_CHECKING:
    import numpy as np

SECONDS = 10.0
"""At most this much work is lost when the machine dies; a signal loses none."""


class Partial:
    """The folder beside an output file; creating the object touches nothing on disk."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f".{output.name}.partial")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and lock it against a second process; the kernel releases the lock with the process.

        It is deleted at the end, after an error only if it is empty. Raises UsageError where another process writes the
        same output, OSError where the output's folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / ".lock"
        with locked(lock, f"output={self.output}: another process is writing it; wait or choose another"):
            try:
                yield
            except BaseException:
                if [each.name for each in self.folder.iterdir()] == [lock.name]:
                    shutil.rmtree(self.folder, ignore_errors=True)
                raise
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kept(self) -> int:
        """Number of rows on disk, of all models and orders together."""
        return sum(Part(folder).rows for folder in self.folder.glob("*") if folder.is_dir())

    def part(self, key: str) -> "Part":
        """Open the predictions of one model and one order."""
        return Part(self.folder / key)


class Part:
    """Predictions of one model and order below a folder, in chunks named after the first batch that each holds."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self.folder = folder
        self.batches = 0
        """Batches that are done, on disk or waiting to be written."""
        self.rows = 0
        """Rows that are on disk."""
        self._chunks: list[Path] = []
        self._waiting: list[tuple[Any, Any]] = []
        self._written_at = time.monotonic()
        # A chain without a gap from batch 0 on; a chunk behind a gap is of no use.
        while (path := self._path(self.batches)).is_file():
            with np.load(path) as chunk:
                self.batches += int(chunk["batches"])
                self.rows += len(chunk["row"])
            self._chunks.append(path)

    def add(self, row: "np.ndarray", log_probabilities: "np.ndarray") -> None:
        """Add one batch: positions `[N]` and log probabilities `[N, K]`; written to disk every few seconds."""
        self._waiting.append((row, log_probabilities))
        self.batches += 1
        if time.monotonic() - self._written_at > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the batches that are not on disk yet, in one step."""
        import numpy as np

        self._written_at = time.monotonic()
        if not self._waiting:
            return
        row, log_probabilities = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        path = self._path(self.batches - len(self._waiting))
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, row=row, log_probabilities=log_probabilities, batches=len(self._waiting))
        self._chunks.append(path)
        self.rows += len(row)
        self._waiting = []

    def read(self, rows: int, classes: int) -> "np.ndarray":
        """Read all predictions, `[rows, classes]` float64; NaN where a row is not there yet."""
        import numpy as np

        found = np.full((rows, classes), np.nan)
        for path in self._chunks:
            with np.load(path) as chunk:
                found[chunk["row"]] = chunk["log_probabilities"]
        return found

    def _path(self, batch: int) -> Path:
        return self.folder / f"{batch:09d}.npz"
