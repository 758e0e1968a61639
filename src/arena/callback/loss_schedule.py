"""Losses that change over the training."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


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
        """Deferred class factors, weights from the last epochs."""
        self._call(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A warm-up."""
        self._call(trainer)

    def _call(self, trainer: Trainer) -> None:
        if self._at is not None:
            endless = self._steps == float("inf")
            self._at(trainer.current_epoch, 1.0 if endless else trainer.global_step / max(self._steps, 1.0))
