"""Progress in plain lines: a bar would hide validations, and messages would break it."""

import logging
import math
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.console import say
from arena.core.schema import Positive

log = logging.getLogger("arena")


class PlainProgress(Callback):
    """One line at the first step, every `seconds` seconds, and after each validation.

    Args:
        monitor: the monitored value, printed after each validation.
        seconds: minimum time between two lines of training.
    """

    def __init__(self, monitor: str, seconds: Positive = 10) -> None:
        self.monitor = monitor
        self.seconds = seconds
        self._last = -math.inf

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        """Print the first step at once, then a line now and then, always after a complete update."""
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._last < self.seconds:
            return
        if trainer.fit_loop.epoch_loop._should_accumulate():
            return
        self._last = now
        loss = float(trainer.callback_metrics["train/loss"])
        say(f"step {trainer.global_step}{_total(trainer)}  train/loss {loss:.4f}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the monitored value, and mark the best."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        best = trainer.checkpoint_callback is not None and trainer.checkpoint_callback.would_improve(value)  # pyright: ignore
        accuracy = trainer.callback_metrics.get("val/accuracy")
        second = f"  val/accuracy {float(accuracy):.4f}" if accuracy is not None else ""
        mark = "  best so far" if best else ""
        say(f"step {trainer.global_step}{_total(trainer)}  {self.monitor} {value:.4f}{second}{mark}")


def _total(trainer: Trainer) -> str:
    steps = trainer.estimated_stepping_batches if trainer.state.fn == "fit" else math.inf
    return f"/{int(steps)}" if steps != math.inf else ""
