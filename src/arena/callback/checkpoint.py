"""Best and last checkpoint, the state of the random generators, and an orderly stop on a signal."""

import math
import random
import signal
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks.checkpoint import Checkpoint as LightningCheckpoint

from arena.callback.averaging import Averaging, averaged
from arena.core.checkpoints import BEST, LAST, check, reserve
from arena.core.errors import DivergedError, Interrupted
from arena.core.paths import quote_path
from arena.core.schema import OutputPath, Positive
from arena.core.stop import collect_signals, name_of


class Checkpoint(LightningCheckpoint):
    """Writes `best.ckpt`, the weights of the best validation (`arena.callback.averaging`), and `last.ckpt`, all that an
    exact resume needs; `last-1.ckpt` is the one before (`arena.core.checkpoints`).

    `last.ckpt` is written after every validation, every `every_minutes`, at the last step and when SIGTERM or Ctrl-C
    asks to stop. A stop or a save that falls on a step with a validation waits for that validation, so a resumed run
    sees the same validations as an undisturbed one. Weights that are not finite are never written over finite ones.

    Args:
        folder: where the files go.
        monitor, mode: the monitored value, such as `val/log_loss`.
        every_minutes: at most this much work is lost when the machine dies.
        save_last: false saves the time and disk of `last.ckpt`; such a run cannot be resumed.
    """

    def __init__(
        self,
        folder: OutputPath,
        monitor: str,
        mode: Literal["min", "max"],
        every_minutes: Positive = 10,
        save_last: bool = True,
    ) -> None:
        self.folder, self.monitor, self.mode = Path(folder), monitor, mode
        self.every_seconds = 60 * every_minutes
        self.save_last = save_last
        self.best_value: float | None = None
        self.best_step: int | None = None
        self.validated_step = self._saved_step = -1
        self._saved_at = time.monotonic()
        self._signals: list[int] = []
        self._stopping = False

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "best_step": self.best_step, "validated_step": self.validated_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value = state_dict["best_value"]
        self.best_step = state_dict["best_step"]
        self.validated_step = state_dict["validated_step"]
        if self.best_step is not None:
            check(self.folder / BEST)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Require room for the checkpoints; see `arena.core.checkpoints.reserve`."""
        module: Any = pl_module
        weights = sum(tensor.nbytes for tensor in module.own_state().values())
        trained = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
        kept = getattr(module.optimizer, "kept", 2.0) + (1 if _averaged(trainer) else 0)
        if trainer.is_global_zero:
            reserve(self.folder, weights, int(kept * trained) if self.save_last else 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only note SIGTERM and Ctrl-C from here on: Lightning's own handlers, in place by now, end the loop in the
        middle of the step's bookkeeping."""
        self._signals = collect_signals()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Save where a save is due and no validation follows at this very step; obey a signal."""
        epoch_loop = trainer.fit_loop.epoch_loop
        fetcher = trainer.fit_loop._data_fetcher
        if epoch_loop._should_accumulate() or (fetcher is not None and epoch_loop._should_check_val_fx(fetcher)):
            return
        due = time.monotonic() - self._saved_at > self.every_seconds
        stop = self._stop_requested(trainer)
        over = trainer.global_step == trainer.max_steps or trainer.current_epoch + 1 == trainer.max_epochs
        if due or stop or (over and epoch_loop._is_training_done):
            self._save_last(trainer)
        self._stopping = stop

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here and not where the step was saved: in between, Lightning logs what the step measured."""
        if self._stopping:
            self._obey(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best value, save both files, obey a signal."""
        if trainer.sanity_checking:
            return
        self.validated_step = trainer.global_step
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            names = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise KeyError(f"monitor.name={self.monitor}: the validation logs no such value; there are: {names}")
        if self.would_improve(float(value)):
            with averaged(trainer, pl_module):
                self._refuse_non_finite(pl_module)
                self.best_value, self.best_step = float(value), trainer.global_step
                trainer.save_checkpoint(self.folder / BEST, True, self._twin(trainer, self._saved_step, LAST))
        if trainer.state.fn == "fit":
            self._save_last(trainer)
            if self._stop_requested(trainer):
                self._obey(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An end between two validations (early stopping by another callback) still leaves a last checkpoint."""
        if self._saved_step != trainer.global_step:
            self._save_last(trainer)
        if self._stopping:
            self._obey(trainer)

    def kept(self) -> str:
        """The checkpoint that a training that ends with an error leaves behind, in words."""
        if self._saved_step >= 0 and self.save_last:
            return f"the checkpoint of step {self._saved_step} is kept"
        if self.best_step is not None:
            return f"the best weights, of step {self.best_step}, are kept"
        return "no checkpoint had been written yet"

    def obey_late(self, trainer: Trainer) -> None:
        """Obey a signal that came after the last step, once the fit has given back the handlers of before."""
        if self._signals:
            self._obey(trainer)

    def would_improve(self, value: float) -> bool:
        """True if a value is better than all before; NaN never is."""
        if math.isnan(value):
            return False
        return self.best_value is None or (value < self.best_value if self.mode == "min" else value > self.best_value)

    def _save_last(self, trainer: Trainer) -> None:
        if self.save_last:
            self._refuse_non_finite(trainer.lightning_module)
            trainer.save_checkpoint(self.folder / LAST, False, self._twin(trainer, self.best_step, BEST))
        self._saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    @staticmethod
    def _twin(trainer: Trainer, step: int | None, name: str) -> dict[str, str] | None:
        """Storage options that name the checkpoint of `step` if it has the weights that are to be saved now."""
        return {"weights": name} if step == trainer.global_step and not _averaged(trainer) else None

    @staticmethod
    def _refuse_non_finite(module: LightningModule) -> None:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                raise DivergedError(
                    f"the weights '{name}' are no longer finite; lower optim.lr or trainer.gradient_clip_val"
                )

    def _stop_requested(self, trainer: Trainer) -> bool:
        if trainer.world_size == 1:
            return bool(self._signals)
        # One process may get the signal first: all must agree, or the others wait for it in the next collective. To
        # ask is a collective too, so it is not done at every step.
        every: int = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if not trainer.validating and trainer.global_step % every:
            return False
        return bool(trainer.strategy.reduce_boolean_decision(bool(self._signals), all=False))

    def _obey(self, trainer: Trainer) -> None:
        number = next(iter(self._signals), signal.SIGTERM)
        again = f"resume with: python -m arena.train resume={quote_path(self.folder.parent)}"
        way_on = again if self.save_last else "not resumable"
        raise Interrupted(f"stopped by {name_of(number)} after step {trainer.global_step}; {way_on}", number)


def _averaged(trainer: Trainer) -> bool:
    """True where validations see other weights than those that train."""
    return any(isinstance(callback, Averaging) for callback in trainer.callbacks)  # pyright: ignore


class RandomState(Callback):
    """Saves the generators of torch, CUDA, numpy and Python with each checkpoint, and restores them on resume.

    They are restored at the first training batch and not when the checkpoint is read, because the set-up in between
    draws random numbers of its own. Everything is kept as tensors and plain values, which `weights_only=True` reads.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global state is the point
        version, internal, gauss_next = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
            "python": [version, list(internal), gauss_next],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._pending = state_dict

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Put the saved states back, once."""
        if self._pending is None:
            return
        state, self._pending = self._pending, None
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])
        kind, keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
        version, internal, gauss_next = state["python"]
        random.setstate((version, tuple(internal), gauss_next))
