"""Models that train with one set of weights and are judged with an average of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arena.core.errors import UsageError
from arena.core.schema import Count, Share, WholeNumber


class Averaging:
    """A callback that lets the validation see an average of the weights.

    The weights that train are put aside for the validation and put back bit for bit. `best.ckpt` has the weights that
    were validated (`judged`), `last.ckpt` those that train, beside what the average needs to go on. When the fit ends,
    the model keeps the average.
    """

    def __init__(self) -> None:
        self._aside: list[Tensor] | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on the model has the average."""
        self.show(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """And the weights that train again."""
        self.hide(trainer, pl_module)

    def show(self, trainer: Trainer, module: LightningModule) -> None:
        """Put the average into the model, until `hide`; after the fit it is there already."""
        if trainer.state.fn == "fit" and self.averages(trainer):
            self._aside = [parameter.detach().clone() for parameter in trained(module)]
            self.put(trainer, module)

    def hide(self, trainer: Trainer, module: LightningModule) -> None:
        """Put back what `show` put aside."""
        if self._aside is not None:
            self.take_out(trainer)
            copy(self._aside, trained(module))
            self._aside = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The average, for good; only here, because a last checkpoint may be written when the training ends."""
        if self.averages(trainer):
            self.put(trainer, pl_module)

    def averages(self, trainer: Trainer) -> bool:
        """Whether there is an average yet."""
        raise NotImplementedError

    def put(self, trainer: Trainer, module: LightningModule) -> None:
        """Overwrite the model's trained parameters with their average."""
        raise NotImplementedError

    def take_out(self, trainer: Trainer) -> None:
        """Whatever else has to be undone before the weights that train come back."""


@contextmanager
def judged(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Inside, the model has the weights that a validation sees."""
    averaging = [callback for callback in trainer.callbacks if isinstance(callback, Averaging)]  # pyright: ignore
    with ExitStack() as stack:
        for callback in averaging:
            callback.show(trainer, module)
            stack.callback(callback.hide, trainer, module)
        yield


class ExponentialAverage(Averaging, EMAWeightAveraging):
    """An exponential moving average of the weights: a ← decay a + (1 - decay) w after each optimiser step.

    Lightning's callback decides when to average. Different from it:

    - Only parameters that train are averaged. Lightning averages a copy of the whole model: frozen weights of 16 or 4
      bits under adapters, and whole numbers in buffers, would come out changed by rounding, and take memory twice.
    - Before the first average, a validation sees the weights as they are, not those from before the training.
    - The files: see `Averaging`. Lightning leaves the average out of files that hold weights only.

    Args:
        decay: it spans about 1 / (1 - decay) steps, which should be few compared to the whole run.
        update_every_n_steps: steps between two updates.
        update_starting_at_step: steps before the first.
        device: where the average lies; null: where the model is.
    """

    def __init__(
        self,
        decay: Share = 0.99,
        update_every_n_steps: Count = 1,
        update_starting_at_step: WholeNumber | None = None,
        device: str | None = None,
    ) -> None:
        EMAWeightAveraging.__init__(
            self,
            device=device,
            use_buffers=False,
            decay=decay,
            update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step,
        )
        Averaging.__init__(self)
        self.decay = decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A copy of what trains.

        Raises:
            UsageError: the weights are in pieces on several devices.
        """
        if isinstance(trainer.strategy, FSDPStrategy):
            raise UsageError("callback.ema: an average of weights in pieces (FSDP) is not possible; take trainer=ddp")
        if stage == "fit":
            self._average_model = TrainedAverage(pl_module, self.decay)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only now is the model on its device; the number of averages stays on the host, where reading it is free."""
        self._average.module.to(self._device or pl_module.device)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See `Averaging.on_fit_end`."""

    def averages(self, trainer: Trainer) -> bool:
        return bool(self._average.n_averaged)

    def put(self, trainer: Trainer, module: LightningModule) -> None:
        copy(self._average.module, trained(module))

    def state_dict(self) -> dict[str, Any]:
        """The average, for `last.ckpt`."""
        state = super().state_dict()
        return state if self._average_model is None else state | {"average": self._average_model.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if "average" in state_dict:
            self._average.load_state_dict(state_dict["average"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Nothing: see `state_dict`."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Nothing: see `load_state_dict`."""

    @property
    def _average(self) -> AveragedModel:
        assert self._average_model is not None, "the fit has not begun"
        return self._average_model


class ScheduleFree(Averaging, Callback):
    """Tells a Schedule-Free optimiser when to train and when to be judged (`arena.optim.schedule_free`).

    The optimiser's own way back from the average to the weights that train goes through a subtraction and an addition:
    each validation, and each checkpoint, would change their last bits. They are put aside instead.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raises a `UsageError` where the weights are in pieces on several devices."""
        if isinstance(trainer.strategy, FSDPStrategy):
            raise UsageError("optim=schedule_free: weights in pieces (FSDP) cannot be averaged; take trainer=ddp")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises a `UsageError` where the optimiser is another one."""
        if not all(hasattr(optimizer, "eval") for optimizer in trainer.optimizers):
            raise UsageError("callback.schedule_free: only for optim=schedule_free; take callback.schedule_free=null")

    def averages(self, trainer: Trainer) -> bool:
        return any(optimizer.state for optimizer in trainer.optimizers)

    def put(self, trainer: Trainer, module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]

    def take_out(self, trainer: Trainer) -> None:
        for optimizer in trainer.optimizers:
            optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]


class TrainedAverage(AveragedModel):
    """torch's average, of the trained parameters only and on the host until moved."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(trained(module), multi_avg_fn=get_ema_multi_avg_fn(decay))

    def update_parameters(self, model: nn.Module) -> None:
        super().update_parameters(trained(model))


def trained(module: nn.Module) -> nn.ParameterList:
    """The parameters that train, always in the same order; the same objects, not copies."""
    return nn.ParameterList([parameter for parameter in module.parameters() if parameter.requires_grad])


@torch.no_grad()
def copy(source: Any, target: Any) -> None:
    """Write tensors over others of the same shapes, wherever they lie."""
    for new, old in zip(source, target, strict=True):
        old.copy_(new)
