"""Stops a run whose loss is no longer a number."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.errors import DivergedError


class FiniteLoss(Callback):
    """Raises `DivergedError` (exit code 76) once a training loss is NaN or infinite.

    The flag stays on the device and is read every `trainer.log_every_n_steps` steps and before each validation, so
    that the step needs no synchronisation; on a CPU, where reading costs nothing, every step is checked.
    """

    def __init__(self) -> None:
        self._bad: torch.Tensor | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        """Note a bad loss; look at the note where that is cheap."""
        bad = ~torch.isfinite(outputs["loss"].detach())
        self._bad = bad if self._bad is None else self._bad | bad
        every: int = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if bad.device.type == "cpu" or trainer.global_step % every == 0:
            self._raise_if_bad(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Never judge or save weights that came from a bad loss."""
        self._raise_if_bad(trainer)

    def _raise_if_bad(self, trainer: Trainer) -> None:
        if self._bad is not None and bool(self._bad):
            saver: Any = trainer.checkpoint_callback
            kept = saver.kept() if saver is not None else "no checkpoint was asked for"
            raise DivergedError(
                f"the training loss is not finite at step {trainer.global_step}; {kept}; "
                "lower optim.lr, lower trainer.gradient_clip_val, or use trainer.precision=32-true"
            )
