"""AdamW with the parameter groups that fine-tuning wants."""

from typing import Any, Literal

import torch
from torch import nn

from arena.optim.schedule import Schedule, make_schedule
from arena.schema import Count, NonNegative, Positive, Share, WholeNumber

HEAD = ("head.", "pairing.", "pool.")
"""Parts of a model that start from nothing, by the beginning of their parameters' names."""


class AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) over four groups: head or not, decayed or not.

    Biases and the gains of norms are not decayed: they have one dimension, and pulling them to zero only hurts.

    Args:
        lr: peak learning rate.
        weight_decay: decay of matrices, per step and relative to the learning rate.
        head_lr_multiplier: learning rate of what starts from nothing (`HEAD`) relative to `lr`.
        betas: decay rates of the two moments.
        epsilon: added to the root of the second moment.
        schedule: see `arena.optim.schedule`.
        warmup: share of all steps in which the learning rate rises from 0.
        warmup_steps: the same in steps; wins over `warmup`.
        total_steps: length of the schedule, where it must not follow `trainer.max_steps` (a run in several parts).
        plateau_factor: what `plateau` multiplies the learning rate with.
        plateau_patience: validations without improvement that `plateau` waits.
        mode: whether the monitored value should fall or rise; used by `plateau`.
    """

    def __init__(
        self,
        lr: Positive,
        weight_decay: NonNegative = 0.01,
        head_lr_multiplier: Positive = 1.0,
        betas: list[Share] | None = None,
        epsilon: Positive = 1e-8,
        schedule: Literal["constant", "linear", "cosine", "plateau"] = "linear",
        warmup: Share = 0.1,
        warmup_steps: WholeNumber | None = None,
        total_steps: Count | None = None,
        plateau_factor: Share = 0.5,
        plateau_patience: WholeNumber = 2,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.head_lr_multiplier = head_lr_multiplier
        self.betas = tuple(betas or (0.9, 0.999))
        self.epsilon = epsilon
        self.schedule: Schedule = schedule
        self.warmup = warmup
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.plateau_factor = plateau_factor
        self.plateau_patience = plateau_patience
        self.mode = mode

    def build(self, model: nn.Module, loss: nn.Module, steps: int | None, fused: bool) -> dict[str, Any]:
        """Optimiser and schedule in Lightning's form.

        Args:
            model: its trainable parameters, grouped.
            loss: its trainable parameters (tie strength, head weights), with the head's learning rate and no decay.
            steps: optimiser steps of the whole run, None if it has no end.
            fused: use the fused kernel, where all parameters are on a device that has one.
        """
        groups = parameter_groups(model, loss, self.lr, self.weight_decay, self.head_lr_multiplier)
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.epsilon, fused=fused)  # pyright: ignore
        total = self.total_steps or steps
        warmup = self.warmup_steps if self.warmup_steps is not None else int(self.warmup * (total or 0))
        schedule = make_schedule(
            self.schedule, optimizer, warmup, total, self.mode, self.plateau_factor, self.plateau_patience
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "lr"}}


def parameter_groups(
    model: nn.Module, loss: nn.Module, lr: float, weight_decay: float, head_lr_multiplier: float
) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate and decay; empty groups are left out."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = lr * head_lr_multiplier if name.startswith(HEAD) else lr
            groups.setdefault((rate, weight_decay if parameter.ndim >= 2 else 0.0), []).append(parameter)
    for parameter in loss.parameters():
        if parameter.requires_grad:
            groups.setdefault((lr * head_lr_multiplier, 0.0), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]
