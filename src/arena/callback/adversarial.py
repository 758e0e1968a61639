"""Adversarial training: each batch a second time, with perturbed weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share

TINY = 1e-12
"""In place of a norm of 0."""


class Adversarial(Callback):
    r"""Adds the gradient of a second pass over each batch, with weights w perturbed along the batch's gradient g:

    - fgm (Miyato et al., arXiv 1605.07725) moves the word embeddings, all of them as one vector:
      $w + \epsilon g / \lVert g \rVert$;
    - awp (adversarial weight perturbation; Wu et al., arXiv 2004.05884, in the form used in Kaggle's competitions)
      moves each matrix by $\eta \lVert w \rVert g / \lVert g \rVert$, no weight by more than $\epsilon |w|$.

    The weights come back bit for bit, also after an error. A step costs about twice as much; the loss of the second
    pass is logged as `train/adversarial_loss`.

    Args:
        method: fgm or awp.
        epsilon: length of the perturbation (fgm), or the largest one as a share of each weight (awp); null: 1 and 0.01.
        lr: eta, the learning rate of awp's perturbation.
        start: share of all steps after which it begins.
    """

    def __init__(
        self,
        method: Literal["fgm", "awp"] = "fgm",
        epsilon: Positive | None = None,
        lr: Positive = 1.0,
        start: Share = 0.0,
    ) -> None:
        self.method, self.lr, self.start = method, lr, start
        self.epsilon = epsilon if epsilon is not None else {"fgm": 1.0, "awp": 0.01}[method]
        self._first = 0
        self._batch: Any = None
        self._before: list[Tensor | None] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raises a `UsageError` where a second backward pass would go wrong or there is nothing to perturb."""
        if stage != "fit":
            return
        if trainer.precision == "16-mixed":
            raise UsageError(
                "callback.adversarial: under trainer.precision=16-mixed a second backward pass would need a loss scale "
                "of its own; take bf16-mixed or 32-true"
            )
        if not isinstance(trainer.strategy, SingleDeviceStrategy):
            raise UsageError("callback.adversarial: one device only; take trainer.devices=1 trainer.strategy=auto")
        self.targets(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the first step; a `UsageError` for a share of a run that has no end."""
        steps = trainer.estimated_stepping_batches
        if self.start and math.isinf(steps):
            raise UsageError("callback.adversarial.start is a share of all steps: give trainer.max_steps or max_epochs")
        self._first = math.ceil(self.start * steps) if self.start else 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the batch for its second pass."""
        self._batch = batch if trainer.global_step >= self._first else None

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the gradient of earlier batches of the same step: the direction is that of this batch alone."""
        if self._batch is not None:
            gradients = [target.grad for target in self.targets(pl_module)]
            self._before = [None if gradient is None else gradient.clone() for gradient in gradients]

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The second forward and backward pass."""
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        module: Any = pl_module
        targets = self.targets(module)
        gradients = map(own_gradient, targets, self._before)
        with perturbed(targets, list(map(self.perturbation, targets, gradients))):
            with torch.enable_grad(), trainer.precision_plugin.train_step_context():
                output = module.loss(module.model(batch), batch)
                # Divided as Lightning divides the first one.
                share = module.share(output) / trainer.accumulate_grad_batches
            share.backward()
        module.log("train/adversarial_loss", output.loss.detach(), batch_size=len(batch))

    def targets(self, module: Any) -> list[nn.Parameter]:
        """The tensors that are perturbed: the word embeddings, or all matrices that train; a `UsageError` for none."""
        if self.method == "awp":
            found = [p for p in module.model.parameters() if p.requires_grad and p.ndim >= 2]
        else:
            tables: list[Any] = [part.weight for part in module.model.modules() if isinstance(part, nn.Embedding)]
            words = max(tables, key=len, default=None)  # nothing else has as many rows as there are words
            found = [words] if words is not None and words.requires_grad else []
        if not found:
            what = "word embeddings that train (an adapter freezes them)" if self.method == "fgm" else "matrices"
            raise UsageError(f"callback.adversarial.method={self.method}: this model has no {what}")
        return found

    @torch.no_grad()
    def perturbation(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """The perturbation of a tensor, of its shape; zeros where the gradient is zero."""
        direction = gradient / gradient.norm().clamp_min(TINY)
        if self.method == "fgm":
            return self.epsilon * direction
        limit = self.epsilon * weight.abs()
        return (self.lr * weight.norm() * direction).clamp(-limit, limit)


@torch.no_grad()
def own_gradient(parameter: nn.Parameter, earlier: Tensor | None) -> Tensor:
    """The gradient of the last backward pass alone; zeros where a parameter has none."""
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.clone() if earlier is None else parameter.grad - earlier


@contextmanager
def perturbed(parameters: list[nn.Parameter], changes: list[Tensor]) -> Iterator[None]:
    """Inside, the parameters are changed; afterwards they have the very bits of before, whatever happened."""
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter, change in zip(parameters, changes, strict=True):
                parameter.add_(change)
        yield
    finally:
        with torch.no_grad():
            for parameter, bits in zip(parameters, kept, strict=True):
                parameter.copy_(bits)
