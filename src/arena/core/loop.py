"""Epoch loop in which validations and stops wait for the end of an update."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop


class UpdateLoop(_TrainingEpochLoop):
    """Lightning's loop, with validations counted in optimiser steps and never inside an accumulation window.

    Lightning counts batches: where the last window of an epoch is short, every later validation moves into a window,
    whose gradients a checkpoint does not hold.

    Args:
        trainer: the trainer that this becomes the loop of.
        validate_every: optimiser steps between two validations, across epochs; None for the end of each epoch.
    """

    def __init__(self, trainer: Trainer, validate_every: int | None) -> None:
        super().__init__(trainer, trainer.min_steps, trainer.max_steps)
        self.validate_every = validate_every

    @property
    def done(self) -> bool:
        """Test for the end of the epoch; a stop that a callback asks for waits for the update."""
        return not self._should_accumulate() and super().done

    def _should_check_val_fx(self, data_fetcher: Any) -> bool:
        if self._should_accumulate():
            return False
        stopping = self.trainer.should_stop and self.trainer.fit_loop._can_stop_early
        if self.validate_every is None or stopping:
            return super()._should_check_val_fx(data_fetcher)
        return self._should_check_val_epoch() and self.global_step % self.validate_every == 0
