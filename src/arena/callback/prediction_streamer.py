"""Predictions as they are made: stored batch by batch, with lines on progress, stopped in good order."""

import math
import time
from typing import Any, Protocol

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.console import duration, echo, terminal
from arena.core.errors import Interrupted
from arena.core.stop import collect_signals, name_of


class Store(Protocol):
    """Where predictions go."""

    def add(self, row: np.ndarray, log_probabilities: np.ndarray) -> None: ...
    def flush(self) -> None: ...


class PredictionStreamer(Callback):
    """Adds each predicted batch to a store; a signal stops after the batch, with all that was made on disk.

    Args:
        store: gets positions `[N]` and log probabilities `[N, K]` of each batch.
        costs: padded tokens of each batch to come, by which the time left is estimated: the longest rows come first.
        title: the beginning of each line.
        done: rows that are done already.
        total: rows in all.
        seconds: time between two lines, where no bar shows the progress.
    """

    def __init__(
        self, store: Store, costs: list[int], title: str, done: int, total: int, seconds: float = 10.0
    ) -> None:
        self.store, self.title, self.total, self.seconds = store, title, total, seconds
        self.costs = np.cumsum(costs)
        self.done = self.before = done
        self._signals: list[int] = []
        self._began = 0.0
        self._printed = -math.inf

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on only note a signal."""
        self._began = time.monotonic()
        self._signals = collect_signals()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, _: int = 0
    ) -> None:
        """Store the batch, print the progress, obey a signal."""
        row, log_probabilities = outputs
        self.store.add(row.cpu().numpy(), log_probabilities.cpu().numpy())
        self.done += len(row)
        self._print(batch_idx)
        if self._signals:
            self.on_predict_end(trainer, pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what there is, obey a signal."""
        self.store.flush()
        if self._signals:
            raise Interrupted(f"stopped by {name_of(self._signals[0])}", self._signals[0])

    def _print(self, batch: int) -> None:
        now = time.monotonic()
        if terminal() or now - self._printed < self.seconds or self.done == self.total:
            return
        self._printed = now
        passed = max(now - self._began, 1e-9)
        rate = (self.done - self.before) / passed
        left = passed * float(self.costs[-1] / self.costs[batch] - 1)
        echo(f"{self.title}: {self.done} of {self.total} rows, {rate:.1f} a second, about {duration(left)} left")
