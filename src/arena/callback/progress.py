"""How far a training is: for the loss, in plain lines for a person, and in tokens a second for the result."""

import math
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.console import echo
from arena.core.schema import Positive


class LossSchedule(Callback):
    """Calls `loss.at(epoch, progress)` before each epoch and each batch, for a loss that has such a method.

    `progress` is the share of the optimiser steps that are done, from 0 to 1; 1 in a training without an end.
    """

    def __init__(self) -> None:
        self._at: Any = None
        self._steps = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the method, and how many steps there will be."""
        self._at = getattr(pl_module.loss, "at", None)
        if self._at is not None:
            self._steps = float(trainer.estimated_stepping_batches)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """For what begins with an epoch: deferred class factors, weights from the last epochs."""
        if self._at is not None:
            endless = self._steps == float("inf")
            self._at(trainer.current_epoch, 1.0 if endless else trainer.global_step / max(self._steps, 1.0))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """For what follows the steps: a warm-up."""
        self.on_train_epoch_start(trainer, pl_module)


class PlainProgress(Callback):
    """Prints a line at the first step, every `seconds` seconds, and after each validation.

    A bar would hide validations, and messages would break it.

    Args:
        monitor: the monitored value, printed after each validation.
        seconds: minimum time between two lines of training.
    """

    def __init__(self, monitor: str, seconds: Positive = 10) -> None:
        self.monitor, self.seconds = monitor, seconds
        self._last = -math.inf

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Print the first step at once, then a line now and then, always after a complete update."""
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._last < self.seconds:
            return
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self._last = now
            echo(f"step {_step(trainer)}  train/loss {float(trainer.callback_metrics['train/loss']):.4f}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the monitored value, and mark the best."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        best = trainer.checkpoint_callback is not None and trainer.checkpoint_callback.would_improve(value)  # pyright: ignore
        accuracy = trainer.callback_metrics.get("val/accuracy")
        second = f"  val/accuracy {float(accuracy):.4f}" if accuracy is not None else ""
        echo(f"step {_step(trainer)}  {self.monitor} {value:.4f}{second}{'  best so far' if best else ''}")


def _step(trainer: Trainer) -> str:
    steps = trainer.estimated_stepping_batches if trainer.state.fn == "fit" else math.inf
    return f"{trainer.global_step}/{int(steps)}" if steps != math.inf else str(trainer.global_step)


class Throughput(Callback):
    """Counts rows, real tokens (padding left out) and seconds of training steps, without validations.

    `seconds` starts at the end of the first step of this process, which pays for warm-up; `first_step` is that moment.
    """

    def __init__(self) -> None:
        self.first_step: float | None = None
        self.seconds = 0.0
        self.rows = 0
        self._tokens: torch.Tensor | None = None
        self._since: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        now = time.perf_counter()
        if self.first_step is None:
            self.first_step = time.time()
        elif self._since is not None:
            self.seconds += now - self._since
            self.rows += len(batch)
            # A sum on the device; it is read once, at the end.
            tokens = batch.attention_mask.sum()
            self._tokens = tokens if self._tokens is None else self._tokens + tokens
        self._since = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter() if trainer.state.fn == "fit" else None

    def summary(self) -> dict[str, float | None]:
        """Rows and real tokens a second; None where fewer than two steps were done."""
        if self._tokens is None:
            return {"rows_per_second": None, "tokens_per_second": None}
        return {"rows_per_second": self.rows / self.seconds, "tokens_per_second": int(self._tokens) / self.seconds}
