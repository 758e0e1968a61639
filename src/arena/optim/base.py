"""Base of the optimisers: parameter groups, learning rates and schedule."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn
from torch.optim import Optimizer

from arena.core.errors import UsageError
from arena.core.schema import NonNegative, Positive, Share
from arena.optim.groups import ParameterInfo, parameter_groups
from arena.optim.schedule import Linear, Schedule


@dataclass
class OptimizerFactory(ABC):
    """Makes an optimiser and its schedule for a model; each optimiser is a subclass with `make`.

    Attributes:
        lr: Peak learning rate of the top layer.
        weight_decay: Decay of matrices, per step and relative to the learning rate; biases and norms have none.
        head_lr_multiplier: Learning rate of new parts (`arena.optim.groups.HEAD`) relative to `lr`.
        layer_decay: Learning rate of each layer relative to the one above it; the embeddings are below all.
        schedule: Factor of the learning rate over the steps.
    """

    kept: ClassVar[float] = 2.0
    """Bytes that the optimiser keeps for each byte of trained weights, at most."""

    lr: Positive
    weight_decay: NonNegative = 0.01
    head_lr_multiplier: Positive = 1.0
    layer_decay: Share = 1.0
    schedule: Schedule = field(default_factory=Linear)

    def build(self, model: nn.Module, loss: nn.Module, steps: int | None, fused: bool) -> dict[str, Any]:
        """Build optimiser and schedule in Lightning's form.

        Args:
            model: Its trainable parameters are grouped.
            loss: Its trainable parameters (tie strength, head weights) have the head's learning rate and no decay.
            steps: Optimiser steps of the whole run, None if it has no end.
            fused: Use the fused kernel, where the optimiser and all devices have one.

        Raises:
            UsageError: A schedule or a layer decay that this run or model cannot have, or a package that is missing.
        """
        groups = parameter_groups(
            model, loss, self.lr, self.weight_decay, self.head_lr_multiplier, self.layer_decay, self.options
        )
        optimizer = self.make(groups, fused)
        schedule = self.schedule.build(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}

    @abstractmethod
    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        """Make the optimiser over parameter groups that have their learning rate and decay."""

    def options(self, info: ParameterInfo) -> Mapping[str, Any]:
        """Return further options of a parameter's group."""
        return {}


def pair(betas: list[float] | None, default: tuple[float, float]) -> tuple[float, float]:
    """Convert decay rates of two moments to torch's form.

    Raises:
        UsageError: Not two of them, or one that is 1 (nothing would ever be learnt).
    """
    values = tuple(betas or default)
    if len(values) != 2 or max(values) >= 1:
        raise UsageError(f"optim.betas={list(values)}: two numbers from 0 to below 1 are needed")
    return values  # pyright: ignore[reportReturnType]
