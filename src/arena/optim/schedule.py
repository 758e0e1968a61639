"""Learning rate schedules: a factor of the base learning rate for each optimiser step."""

import math
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from arena.core.errors import UsageError


def make_schedule(
    name: str,
    optimizer: Optimizer,
    warmup: int,
    steps: int | None,
    *,
    power: float = 2.0,
    cooldown: float = 0.2,
    mode: str = "min",
    factor: float = 0.5,
    patience: int = 2,
) -> LRScheduler:
    """The schedule `name` after a linear warm-up from 0 over `warmup` steps.

    `constant` stays; `linear`, `cosine`, `polynomial` and `wsd` fall to 0 at `steps` (`decay`); `plateau` multiplies by
    `factor` whenever the monitored value has not improved for `patience` validations. All but the last are what
    transformers' `get_scheduler` gives, but to import that costs peft and bitsandbytes, a third of the whole start-up.

    Args:
        name: see above.
        optimizer: its groups' learning rates are the base.
        warmup: optimiser steps.
        steps: of the whole run, None if it has no end.
        power: of `polynomial`.
        cooldown: share of all steps in which `wsd` falls.
        mode: of `plateau`, whether the monitored value should fall or rise.
        factor: of `plateau`.
        patience: of `plateau`.

    Raises:
        UsageError: a schedule that falls to an end, without a number of steps; or one whose warm-up and cool-down
            together are longer than the run.
    """
    if name == "plateau":
        return WarmupPlateau(optimizer, warmup, mode, factor, patience)
    if steps is None and name != "constant":
        raise UsageError(
            f"optim.schedule={name} needs an end: give trainer.max_steps, trainer.max_epochs or optim.total_steps"
        )
    falling = math.ceil(cooldown * (steps or 0))
    if name == "wsd" and warmup + falling > (steps or 0):
        raise UsageError(f"optim.cooldown={cooldown}: {falling} steps and a warm-up of {warmup} are more than {steps}")
    shape = partial(decay, name=name, warmup=warmup, steps=steps or 0, power=power, falling=falling)
    return LambdaLR(optimizer, shape)


def decay(step: int, name: str, warmup: int, steps: int, power: float = 2.0, falling: int = 0) -> float:
    """Factor of the base learning rate at `step` (0 is the first): t / warmup, then by name, where u is the share of
    the steps after the warm-up that lie behind:

    constant 1; linear 1 - u; cosine (1 + cos(pi u)) / 2; polynomial (1 - u)^power; wsd (warm-up, stable, decay; Hu et
    al., arXiv 2404.06395) 1 until the last `falling` steps, over which it goes down to 0 in a straight line.
    """
    if step < warmup:
        return step / warmup
    if name == "constant":
        return 1.0
    if name == "wsd":
        return max(0.0, min(1.0, (steps - step) / max(1, falling)))
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    return 1.0 - done if name == "linear" else (1.0 - done) ** power


class WarmupPlateau(LRScheduler):
    """lr(t) = base · min(1, t / warmup) · scale, with `scale` cut by `factor` when the monitored value stalls.

    torch's `ReduceLROnPlateau` cannot be combined with a warm-up: each overwrites what the other set. `observe` is
    called with the monitored value after each validation.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, mode: str, factor: float, patience: int) -> None:
        self.warmup = warmup
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.scale = 1.0
        self.best: float | None = None
        self.stalled = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Learning rate of each parameter group at the present step."""
        warm = min(1.0, self.last_epoch / self.warmup) if self.warmup else 1.0
        return [base * warm * self.scale for base in self.base_lrs]

    def observe(self, value: float) -> None:
        """Take note of a validation; NaN counts as no improvement."""
        better = self.best is None or (value < self.best if self.mode == "min" else value > self.best)
        if better:
            self.best, self.stalled = value, 0
            return
        self.stalled += 1
        if self.stalled > self.patience:
            self.scale *= self.factor
            self.stalled = 0
