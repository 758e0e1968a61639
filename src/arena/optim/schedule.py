"""Learning rate schedules: a factor of the base learning rate for each optimiser step."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from arena.core.errors import UsageError
from arena.core.schema import Count, Positive, Share, WholeNumber


@dataclass
class Schedule:
    """A linear warm-up from 0, and what follows it; each schedule is a subclass.

    All but `Plateau` are those of transformers' `get_scheduler`, but to import that costs peft and bitsandbytes, a
    third of the whole start-up.
    """

    warmup: Share = 0.1
    warmup_steps: WholeNumber | None = None
    total_steps: Count | None = None

    def build(self, optimizer: Optimizer, steps: int | None) -> LRScheduler:
        """Build the schedule of an optimiser for a number of steps, None for a run without an end."""
        total = self.total_steps or steps
        warmup = self.warmup_steps if self.warmup_steps is not None else int(self.warmup * (total or 0))
        return self.make(optimizer, warmup, total)

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        if steps is None:
            name = type(self).__name__.lower()
            raise UsageError(
                f"schedule={name} needs an end: give trainer.max_steps, trainer.max_epochs or schedule.total_steps"
            )
        return LambdaLR(optimizer, partial(self.at, warmup=warmup, steps=steps))

    def at(self, step: int, warmup: int, steps: int) -> float:
        """Return the factor at `step` (0 is the first): t / warmup, then `after`."""
        return step / warmup if step < warmup else self.after(step, warmup, steps)

    def after(self, step: int, warmup: int, steps: int) -> float:
        """Return the factor after the warm-up: that of the share of the remaining steps that is done."""
        return self.decay(min(1.0, (step - warmup) / max(1, steps - warmup)))

    def decay(self, done: float) -> float:
        """Return the factor at a share of the steps after the warm-up, 0 to 1 (u)."""
        return 1.0


@dataclass
class Constant(Schedule):
    """1 after the warm-up, also in a run without an end."""

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        return super().make(optimizer, warmup, steps or 0)


@dataclass
class Linear(Schedule):
    """1 - u."""

    def decay(self, done: float) -> float:
        return 1.0 - done


@dataclass
class Cosine(Schedule):
    """(1 + cos(pi u)) / 2."""

    def decay(self, done: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass
class Polynomial(Schedule):
    """(1 - u)^power."""

    power: Positive = 2.0

    def decay(self, done: float) -> float:
        return (1.0 - done) ** self.power


@dataclass
class Wsd(Schedule):
    """Warm-up, stable, decay (Hu et al., arXiv 2404.06395): 1 until the last steps, which fall to 0 linearly."""

    cooldown: Share = 0.2

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        if steps is not None and warmup + self.falling(steps) > steps:
            raise UsageError(
                f"schedule.cooldown={self.cooldown}: {self.falling(steps)} steps and a warm-up of {warmup} are more "
                f"than {steps}"
            )
        return super().make(optimizer, warmup, steps)

    def falling(self, steps: int) -> int:
        """Return the number of steps in which it falls."""
        return math.ceil(self.cooldown * steps)

    def after(self, step: int, warmup: int, steps: int) -> float:
        return max(0.0, min(1.0, (steps - step) / max(1, self.falling(steps))))


@dataclass
class Plateau(Schedule):
    """Multiplied by `factor` whenever the monitored value has not improved for `patience` validations."""

    factor: Share = 0.5
    patience: WholeNumber = 2
    mode: Literal["min", "max"] = "min"

    def make(self, optimizer: Optimizer, warmup: int, steps: int | None) -> LRScheduler:
        return WarmupPlateau(optimizer, warmup, self.mode, self.factor, self.patience)


class WarmupPlateau(LRScheduler):
    """lr(t) = base · min(1, t / warmup) · scale, with `scale` multiplied by `factor` when the monitored value stalls.

    torch's `ReduceLROnPlateau` cannot be combined with a warm-up: each overwrites what the other set. `observe` is
    called with the monitored value after each validation.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, mode: str, factor: float, patience: int) -> None:
        self.warmup, self.mode, self.factor, self.patience = warmup, mode, factor, patience
        self.scale = 1.0
        self.best: float | None = None
        self.stalled = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each parameter group at the present step."""
        warm = min(1.0, self.last_epoch / self.warmup) if self.warmup else 1.0
        return [base * warm * self.scale for base in self.base_lrs]

    def observe(self, value: float) -> None:
        """Count a validation; NaN is no improvement."""
        better = self.best is None or (value < self.best if self.mode == "min" else value > self.best)
        if better:
            self.best, self.stalled = value, 0
            return
        self.stalled += 1
        if self.stalled > self.patience:
            self.scale *= self.factor
            self.stalled = 0
