"""THE LightningModule: model, loss, metrics and optimiser, injected. It knows no data set and no configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn

from arena.core.types import LossOutput, precise
from arena.core.update import Update


class Batch(Protocol):
    """What the task asks of a batch; each data set brings a dataclass of its own (`arena.core.types`)."""

    row: Tensor
    supervised: int

    def __len__(self) -> int: ...


class Loss(Protocol):
    """A likelihood: `predict` is the link function, `per_example_outputs` gives what evaluation reads of each row, by
    name, `[N, ...]` each; `loss` is always among it."""

    def __call__(self, logits: Any, batch: Any) -> LossOutput: ...
    def per_example_outputs(self, logits: Any, batch: Any) -> dict[str, Tensor]: ...
    def predict(self, logits: Any) -> Tensor: ...


class Metrics(Protocol):
    """Metrics of a split, by name; undefined ones are NaN. `required_outputs` names the inputs of `update`."""

    required_outputs: tuple[str, ...]

    def reset(self) -> None: ...
    def update(self, *outputs: Tensor) -> None: ...
    def compute(self) -> Mapping[str, float]: ...


@dataclass
class Predictions:
    """The outputs of one split, in row order and without the duplicates that several processes make.

    `row` holds positions in the data table, `[N]` int64, `outputs` `Loss.per_example_outputs`, `[N, ...]` each.
    """

    row: Tensor
    outputs: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """Loss of each row in nats, `[N]` float32; NaN for rows without a target."""
        return self.outputs["loss"]

    @property
    def probabilities(self) -> Tensor:
        """Of classes: `[N, K]` float32; of several heads side by side, `[N, C]`."""
        return self.outputs["probabilities"]

    @property
    def target(self) -> Tensor:
        """Of classes: indices `[N]` or probabilities `[N, K]`; of several heads indices `[N, T]`."""
        return self.outputs["target"]


class Task(pl.LightningModule):
    """One forward, one scalar, one optimiser: pairwise, multi-head and fine-tuning tasks differ in the parts.

    Validation and test gather the outputs of every row over the processes, drop duplicates and compute the metrics once
    from all of them: exact for any batch size and any number of devices. So is an update: its loss, and its gradient,
    is the mean over all of its items (`arena.core.update`).

    Args:
        model: `model(batch) -> logits`.
        loss: see `Loss`; a module, so that parameters of a likelihood train and are saved.
        metrics: see `Metrics`.
        optimizer: `build` makes the optimiser and its schedule (`arena.optim.base`); not needed to evaluate.
        monitor: name of the monitored value, for schedules that react to it.
    """

    def __init__(
        self, model: nn.Module, loss: nn.Module, metrics: Any, optimizer: Any = None, monitor: str | None = None
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.loss: Any = loss
        self.metrics, self.optimizer, self.monitor = metrics, optimizer, monitor
        # Weights that the model finds again by itself are in no checkpoint (`arena.model.encoder`).
        self.recoverable = {f"model.{name}" for name in getattr(model, "recoverable", ())}
        self.strict_loading = not self.recoverable
        self.predictions: dict[str, Predictions] = {}
        self._kept: list[dict[str, Tensor]] = []
        self._update = Update()

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The part of one batch in the loss of its update."""
        output: LossOutput = self.loss(self.model(batch), batch)
        self._update.add(output)
        return self.share(output)

    def share(self, output: LossOutput) -> Tensor:
        """The part of a batch's loss that Lightning differentiates, see `arena.core.update.Update.share`."""
        return self._update.share(output, self.trainer)

    def on_after_backward(self) -> None:
        """At the last batch of an update, make the gradients those of its mean, and log what it cost.

        Not later: callbacks look at gradients before this module's `on_before_optimizer_step`.
        """
        if not self.trainer.fit_loop.epoch_loop._should_accumulate():
            self._log_update(self._update.finish(self.parameters(), self.trainer))

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Keep the outputs of a batch on the device: the copy to the host waits for the end of the split."""
        self._kept.append({"row": batch.row} | self.loss.per_example_outputs(self.model(batch), batch))

    def test_step(self, batch: Any, batch_index: int) -> None:
        """Keep the outputs of a batch."""
        self.validation_step(batch, batch_index)

    def predict_step(self, batch: Any, batch_index: int) -> tuple[Tensor, Tensor]:
        """Row positions `[N]` and log probabilities `[N, K]`, or `[N, C]` of several heads, float64; of a loss without
        classes its `outputs`, `[N, V]` float64."""
        logits = self.model(batch)
        if hasattr(self.loss, "outputs"):
            return batch.row, self.loss.outputs(precise(logits)).double()
        if hasattr(self.loss, "log_probabilities"):
            return batch.row, self.loss.log_probabilities(precise(logits))
        return batch.row, precise(self.loss.predict(logits)).log()  # a loss from outside need not have them

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split; the schedule observes the monitor."""
        self._finish("val")
        schedule = self.lr_schedulers() if self.trainer.state.fn == "fit" else None
        if hasattr(schedule, "observe") and not self.trainer.sanity_checking:
            schedule.observe(float(self.trainer.callback_metrics[self.monitor]))  # pyright: ignore

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def own_state(self) -> dict[str, Tensor]:
        """The weights that a checkpoint has to hold."""
        return {name: value for name, value in self.state_dict().items() if name not in self.recoverable}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the weights that are found again where they were: the backbone beneath adapters."""
        for name in self.recoverable:
            del checkpoint["state_dict"][name]

    def _log_update(self, means: dict[str, Tensor]) -> None:
        for name, value in means.items():
            self.log(f"train/{name}", value, prog_bar=name == "loss")

    def _finish(self, split: str) -> None:
        columns = {name: torch.cat([kept[name] for kept in self._kept]).cpu() for name in self._kept[0]}
        self._kept = []
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, columns)
            columns = {name: torch.cat([each[name] for each in gathered]) for name in columns}
        _, first = np.unique(columns["row"].numpy(), return_index=True)
        columns = {name: column[torch.from_numpy(first)] for name, column in columns.items()}
        self.predictions[split] = Predictions(columns.pop("row"), columns)
        if self.trainer.sanity_checking:
            return
        self.metrics.reset()
        self.metrics.update(*(self.predictions[split].outputs[name] for name in self.metrics.required_outputs))
        values = {"loss": float(self.predictions[split].loss.double().nanmean()), **self.metrics.compute()}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()}, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """The optimiser and its schedule, for the number of steps that the trainer is going to do."""
        steps = self.trainer.estimated_stepping_batches
        # Fused kernels do the unscaling of 16-bit gradients inside the step, where they can no longer be clipped.
        fused = self.trainer.precision != "16-mixed" and not isinstance(self.trainer.strategy, FSDPStrategy)
        return self.optimizer.build(self.model, self.loss, int(steps) if steps != float("inf") else None, fused)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by the global norm; log the norm before clipping and the learning rate of the step.

        Lightning's own clipping refuses fused optimisers under bf16 (pytorch-lightning #21435) and hides the norm.
        """
        if isinstance(self.trainer.strategy, FSDPStrategy):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        limit = gradient_clip_val if gradient_clip_val is not None else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), limit)
        self.log("train/gradient_norm", norm)
        self.log("train/learning_rate", max(group["lr"] for group in optimizer.param_groups))
