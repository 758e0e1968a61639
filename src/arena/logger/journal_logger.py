"""What every dashboard is to arena: a mirror of the journal, which may break without anybody noticing in training."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from arena.core.run import RunFolder
from arena.core.schema import OutputPath
from arena.logger import journal
from arena.logger.journal import FolderLogger

log = logging.getLogger("arena")


@dataclass
class Entry:
    """Consecutive values of the journal that were measured at one step: what a dashboard takes at once.

    Attributes:
        step: finished optimiser steps.
        epoch: finished epochs; None where the journal has none.
        split: `train`, `val`, `test`; may be empty.
        values: by full name, such as `val/log_loss`.
    """

    step: int
    epoch: int | None
    split: str
    values: dict[str, float] = field(default_factory=dict)

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a row of the journal belongs to this entry."""
        same = (row["step"], row["epoch"], row["split"]) == (self.step, self.epoch, self.split)
        return same and full_name(row) not in self.values


def full_name(row: dict[str, Any]) -> str:
    """`val/log_loss` for the split `val` and the name `log_loss`."""
    return f"{row['split']}/{row['name']}" if row["split"] else row["name"]


class JournalReader:
    """Follows a journal while it is written.

    Which rows make one entry depends on the file alone and not on when it is read: an entry is given out when the next
    one begins, so a dashboard that followed a run holds the same as one that is rebuilt from the finished journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._open: Entry | None = None

    def read(self, whole: bool = False) -> list[Entry]:
        """The entries that are new and closed; `whole`: also the last one, to which nothing more will come."""
        if not self.path.is_file():
            return []
        rows, self._offset = journal.read_from(self.path, self._offset)
        done = []
        for row in rows:
            if self._open is not None and not self._open.takes(row):
                done.append(self._open)
                self._open = None
            if self._open is None:
                self._open = Entry(row["step"], row["epoch"], row["split"])
            self._open.values[full_name(row)] = row["value"]
        if whole and self._open is not None:
            done.append(self._open)
            self._open = None
        return done


class JournalLogger(FolderLogger):
    """Repeats `metrics.csv` in a dashboard: the same names, values and steps, in the same order.

    Lightning's loggers are not used for this: while a model trains their step is one behind, and each would be told on
    its own. Here the journal is written first, and what is in it is what is shown. A mirror that breaks says so once
    and is silent from then on; the training goes on. Under DDP only the first process has one.

    Args:
        folder: the run folder.
    """

    title = "dashboard"

    def __init__(self, folder: OutputPath) -> None:
        super().__init__(folder)
        self.run = RunFolder(folder)
        self.wanted = True
        self._live = False
        self._tail = JournalReader(self.run.metrics)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Something was logged: repeat what the journal has by now."""
        self.catch_up()

    def begin(self, directions: dict[str, str]) -> None:
        """Open the run.

        Args:
            directions: `min` or `max` for the names of values that have a better end.
        """
        self._live = self.wanted
        self._attempt(self.open, directions)

    def catch_up(self, whole: bool = False) -> None:
        """Write the entries that are new."""
        self._attempt(lambda: [self.write(entry) for entry in self._tail.read(whole)])

    def finish(self, result: dict[str, Any], code: int, more: Callable[["JournalLogger"], Any] | None = None) -> None:
        """Write the rest and close the run.

        Args:
            result: `result.json`.
            code: exit code of the run.
            more: writes what is no value of the journal, before the run is closed.
        """
        self.catch_up(whole=True)
        if more is not None:
            self._attempt(more, self)
        self._attempt(self.close, result, code)
        self._live = False

    def _attempt(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call something that may break without breaking the training."""
        if not self._live:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a client warns of its own insides is nothing to act on
                function(*arguments)
        except Exception as error:
            self._live = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("%s: nothing more is sent there (%s); %s has everything", self.title, reason, self.run.metrics)

    def open(self, directions: dict[str, str]) -> None:
        """Make the run in the dashboard; see `begin`."""
        raise NotImplementedError

    def write(self, entry: Entry) -> None:
        """Send one entry."""
        raise NotImplementedError

    def close(self, result: dict[str, Any], code: int) -> None:
        """End the run; see `finish`."""
        raise NotImplementedError
