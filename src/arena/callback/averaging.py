"""Validation and the final model with an average of the weights, training without."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arena.core.errors import UsageError
from arena.core.schema import Count, Share, WholeNumber


class Averaging(Callback):
    """A callback that validates an average of the weights.

    The weights that train are put aside for the validation and put back bit for bit. `best.ckpt` has the weights that
    were validated (`averaged`), `last.ckpt` those that train. When the fit ends, the model keeps the average.
    """

    def __init__(self) -> None:
        self._aside: list[Tensor] | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the model; after the fit it is there already."""
        if trainer.state.fn == "fit" and self.ready(trainer):
            self._aside = [parameter.detach().clone() for parameter in trained(pl_module)]
            self.swap_in(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._aside is not None:
            self.swap_out(trainer)
            copy(self._aside, trained(pl_module))
            self._aside = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The average, for good; only here, because a last checkpoint may be written when the training ends."""
        if self.ready(trainer):
            self.swap_in(trainer, pl_module)

    def ready(self, trainer: Trainer) -> bool:
        """True once there is an average."""
        raise NotImplementedError

    def swap_in(self, trainer: Trainer, module: LightningModule) -> None:
        """Overwrite the model's trained parameters with their average."""
        raise NotImplementedError

    def swap_out(self, trainer: Trainer) -> None:
        """Undo all else of `swap_in` before the weights that train come back."""


@contextmanager
def averaged(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Inside, the model has the weights that a validation sees."""
    averaging = [callback for callback in trainer.callbacks if isinstance(callback, Averaging)]  # pyright: ignore
    with ExitStack() as stack:
        for callback in averaging:
            callback.on_validation_epoch_start(trainer, module)
            stack.callback(callback.on_validation_epoch_end, trainer, module)
        yield


class TrainedAverage(AveragedModel):
    """torch's average, of the trained parameters only and on the host until moved."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(trained(module), multi_avg_fn=get_ema_multi_avg_fn(decay))

    def update_parameters(self, model: nn.Module) -> None:
        super().update_parameters(trained(model))


class ExponentialAverage(Averaging):
    """An exponential moving average of the weights: a ← decay a + (1 - decay) w after each optimiser step.

    Unlike Lightning's `EMAWeightAveraging`, which averages a copy of the whole model, it averages only parameters that
    train (frozen weights of 16 or 4 bits under adapters would be changed by rounding, and take memory twice), validates
    the weights as they are before the first average, and keeps `best.ckpt` free of the weights that train.

    Args:
        decay: it spans about 1 / (1 - decay) steps, which should be few compared to the whole run.
        update_every_n_steps: steps between two updates.
        update_starting_at_step: steps before the first.
        device: where the average lies; null: where the model is.
    """

    average: TrainedAverage

    def __init__(
        self,
        decay: Share = 0.99,
        update_every_n_steps: Count = 1,
        update_starting_at_step: WholeNumber | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self.decay, self.device = decay, device
        self.every, self.first = update_every_n_steps, update_starting_at_step or 0
        self._updated = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy what trains; a `UsageError` for weights in pieces on several devices."""
        if isinstance(trainer.strategy, FSDPStrategy):
            raise UsageError("callback.ema: an average of weights in pieces (FSDP) is not possible; take trainer=ddp")
        if stage == "fit":
            self.average = TrainedAverage(pl_module, self.decay)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only now is the model on its device; the number of averages stays on the host, where reading it is free."""
        self.average.module.to(self.device or pl_module.device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Update the average, once after each optimiser step that counts."""
        step = trainer.global_step
        if step > self._updated and step > self.first and (step - 1) % self.every == 0:
            self.average.update_parameters(pl_module)
            self._updated = step

    def ready(self, trainer: Trainer) -> bool:
        return bool(self.average.n_averaged)

    def swap_in(self, trainer: Trainer, module: LightningModule) -> None:
        copy(self.average.module, trained(module))

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._updated, "average": self.average.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._updated = state_dict["latest_update_step"]
        self.average.load_state_dict(state_dict["average"])


class ScheduleFree(Averaging):
    """Switches a Schedule-Free optimiser between training and evaluation (`arena.optim.optional.ScheduleFree`).

    The optimiser's own way back from the average to the weights that train is a subtraction and an addition: each
    validation, and each checkpoint, would change their last bits. They are put aside instead.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raises a `UsageError` for weights in pieces on several devices."""
        if isinstance(trainer.strategy, FSDPStrategy):
            raise UsageError("optim=schedule_free: weights in pieces (FSDP) cannot be averaged; take trainer=ddp")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises a `UsageError` where the optimiser is another one."""
        if not all(hasattr(optimizer, "eval") for optimizer in trainer.optimizers):
            raise UsageError("callback.schedule_free: only for optim=schedule_free; take callback.schedule_free=null")

    def ready(self, trainer: Trainer) -> bool:
        return any(optimizer.state for optimizer in trainer.optimizers)

    def swap_in(self, trainer: Trainer, module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]

    def swap_out(self, trainer: Trainer) -> None:
        for optimizer in trainer.optimizers:
            optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]


def trained(module: nn.Module) -> nn.ParameterList:
    """The parameters that train, always in the same order; the same objects, not copies."""
    return nn.ParameterList([parameter for parameter in module.parameters() if parameter.requires_grad])


@torch.no_grad()
def copy(source: Any, target: Any) -> None:
    """Write tensors over others of the same shapes, wherever they lie."""
    for new, old in zip(source, target, strict=True):
        old.copy_(new)
