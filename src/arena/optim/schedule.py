"""Learning rate schedules: a factor of the base learning rate for each optimiser step."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from arena.core.errors import UsageError
from arena.core.schema import Count, Positive, Share, WholeNumber


@dataclass
class Schedule(ABC):
    """A linear warm-up from 0, and what follows it; each schedule is a subclass.

    All but `Plateau` are what transformers' `get_scheduler` gives, but to import that costs peft and bitsandbytes, a
    third of the whole start-up.

    Attributes:
        warmup: share of all steps in which the learning rate rises from 0.
        warmup_steps: the same in steps; wins over `warmup`.
        total_steps: length of the schedule, where it must not follow `trainer.max_steps` (a run in several parts).
    """

    warmup: Share = 0.1
    warmup_steps: WholeNumber | None = None
    total_steps: Count | None = None

    def build(self, optimizer: Optimizer, steps: int | None) -> LRScheduler:
        """The schedule of an optimiser, whose groups' learning rates are the base.

        Args:
            optimizer: of the run.
            steps: optimiser steps of the whole run, None if it has no end.

        Raises:
            UsageError: a schedule that falls to an end, without a number of steps; or one whose warm-up and cool-down
                together are longer than the run.
        """
        total = self.total_steps or steps
        warmup = self.warmup_steps if self.warmup_steps is not None else int(self.warmup * (total or 0))
        return self.make(optimizer, warmup, total)

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        """As `build`, with the warm-up in steps."""
        if steps is None:
            name = type(self).__name__.lower()
            raise UsageError(
                f"schedule={name} needs an end: give trainer.max_steps, trainer.max_epochs or schedule.total_steps"
            )
        return LambdaLR(optimizer, partial(self.at, warmup=warmup, steps=steps))

    def at(self, step: int, warmup: int, steps: int) -> float:
        """Factor of the base learning rate at `step` (0 is the first): t / warmup, then `after`."""
        return step / warmup if step < warmup else self.after(step, warmup, steps)

    @abstractmethod
    def after(self, step: int, warmup: int, steps: int) -> float:
        """Factor behind the warm-up."""


def done(step: int, warmup: int, steps: int) -> float:
    """The share u of the steps after the warm-up that lie behind."""
    return min(1.0, (step - warmup) / max(1, steps - warmup))


@dataclass
class Constant(Schedule):
    """1 after the warm-up, also in a run without an end."""

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        return super().make(optimizer, warmup, steps or 0)

    def after(self, step: int, warmup: int, steps: int) -> float:
        return 1.0


@dataclass
class Linear(Schedule):
    """1 - u, with the share u of the steps after the warm-up that lie behind."""

    def after(self, step: int, warmup: int, steps: int) -> float:
        return 1.0 - done(step, warmup, steps)


@dataclass
class Cosine(Schedule):
    """(1 + cos(pi u)) / 2, with u as in `Linear`."""

    def after(self, step: int, warmup: int, steps: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * done(step, warmup, steps)))


@dataclass
class Polynomial(Schedule):
    """(1 - u)^power, with u as in `Linear`."""

    power: Positive = 2.0

    def after(self, step: int, warmup: int, steps: int) -> float:
        return (1.0 - done(step, warmup, steps)) ** self.power


@dataclass
class Wsd(Schedule):
    """Warm-up, stable, decay (Hu et al., arXiv 2404.06395): 1 until the last steps, over which it goes to 0 in a
    straight line.

    Attributes:
        cooldown: share of all steps in which it falls.
    """

    cooldown: Share = 0.2

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        if steps is not None and warmup + self.falling(steps) > steps:
            raise UsageError(
                f"schedule.cooldown={self.cooldown}: {self.falling(steps)} steps and a warm-up of {warmup} are more "
                f"than {steps}"
            )
        return super().make(optimizer, warmup, steps)

    def falling(self, steps: int) -> int:
        """Steps in which it falls."""
        return math.ceil(self.cooldown * steps)

    def after(self, step: int, warmup: int, steps: int) -> float:
        return max(0.0, min(1.0, (steps - step) / max(1, self.falling(steps))))


@dataclass
class Plateau(Schedule):
    """Multiplied by `factor` whenever the monitored value has not improved for `patience` validations.

    Attributes:
        factor: of the learning rate.
        patience: validations without improvement that it waits.
        mode: whether the monitored value should fall or rise.
    """

    factor: Share = 0.5
    patience: WholeNumber = 2
    mode: Literal["min", "max"] = "min"

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        return WarmupPlateau(optimizer, warmup, self.mode, self.factor, self.patience)

    def after(self, step: int, warmup: int, steps: int) -> float:
        return 1.0  # the validations decide


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
