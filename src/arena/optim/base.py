"""Base of the optimisers: parameter groups, learning rates and schedule."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn
from torch.optim import Optimizer

from arena.core.errors import UsageError
from arena.core.schema import NonNegative, Positive, Share
from arena.optim.groups import ParameterInfo, parameter_infos
from arena.optim.schedule import Linear, Schedule


@dataclass
class OptimizerFactory(ABC):
    """Makes an optimiser and its schedule for a model; each optimiser is a subclass with `make`."""

    kept: ClassVar[float] = 2.0
    """Bytes that the optimiser keeps for each byte of trained weights, at most."""

    lr: Positive
    weight_decay: NonNegative = 0.01
    head_lr_multiplier: Positive = 1.0
    layer_decay: Share = 1.0
    schedule: Schedule = field(default_factory=Linear)

    def build(self, model: nn.Module, loss: nn.Module, steps: int | None, fused: bool) -> dict[str, Any]:
        """Build optimiser and schedule in Lightning's form, for a number of steps (None for a run without an end).

        The trainable parameters of the loss (tie strength, head weights) have the head's learning rate and no decay.
        `fused` kernels are used where the optimiser and all devices have one.
        """
        optimizer = self.make(self.groups(model, loss), fused)
        schedule = self.schedule.build(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}

    def groups(self, model: nn.Module, loss: nn.Module) -> list[dict[str, Any]]:
        """Group the trainable parameters by learning rate, decay and `options`.

        A parameter with n layers above it has the rate lr · layer_decay^n (Howard and Ruder, arXiv 1801.06146, section
        3.2; Clark et al., arXiv 2003.10555), the head and the parameters of the loss have lr · head_lr_multiplier. Only
        matrices (and larger) are decayed, none of the loss's: biases and the gains of norms have one dimension, and
        pulling them to zero only hurts.
        """
        infos = parameter_infos(model)
        if self.layer_decay != 1 and not any(info.above for info in infos.values()):
            raise UsageError(
                f"optim.layer_decay={self.layer_decay}: this model has no layers that can be told by their names"
            )
        own = [(parameter, infos[name], self.weight_decay) for name, parameter in model.named_parameters()]
        own += [(parameter, ParameterInfo(0, True, False, False), 0.0) for parameter in loss.parameters()]
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for parameter, info, weight_decay in own:
            if parameter.requires_grad:
                rate = self.lr * (self.head_lr_multiplier if info.head else self.layer_decay**info.above)
                group = {"lr": rate, "weight_decay": weight_decay if parameter.ndim >= 2 else 0.0, **self.options(info)}
                groups.setdefault(tuple(group.values()), {"params": [], **group})["params"].append(parameter)
        return list(groups.values())

    @abstractmethod
    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        """Make the optimiser over parameter groups that have their learning rate and decay."""

    def options(self, info: ParameterInfo) -> Mapping[str, Any]:
        """Return further options of a parameter's group."""
        return {}


def pair(betas: list[float] | None, default: tuple[float, float]) -> tuple[float, float]:
    """Convert decay rates of two moments to torch's form."""
    values = tuple(betas or default)
    if len(values) != 2 or max(values) >= 1:
        raise UsageError(f"optim.betas={list(values)}: two numbers from 0 to below 1 are needed")
    return values  # pyright: ignore[reportReturnType]
