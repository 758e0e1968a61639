"""Optimisers of the package pytorch_optimizer, which only they need: Lion, Muon and Schedule-Free AdamW."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.optim import Optimizer

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share
from arena.optim.base import OptimizerFactory, pair
from arena.optim.groups import ParameterInfo
from arena.optim.schedule import Constant, Schedule


@dataclass
class Lion(OptimizerFactory):
    """w ← w - lr (sign(b1 m + (1 - b1) g) + decay w), m ← b2 m + (1 - b2) g (Chen et al., arXiv 2302.06675).

    Half the memory of AdamW. Every step moves every weight by `lr`, so the authors advise a learning rate 3 to 10 times
    below AdamW's and a weight decay as many times above it.
    """

    kept = 1.0

    betas: list[Share] | None = None

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        return _library("Lion")(groups, lr=self.lr, betas=pair(self.betas, (0.9, 0.99)))


@dataclass
class Muon(OptimizerFactory):
    """Muon (Jordan, kellerjordan.github.io/posts/muon) for the matrices inside the layers, AdamW for all else.

    A matrix moves by the nearest orthogonal matrix of its momentum (Newton-Schulz, five steps in bfloat16), scaled by
    0.2 sqrt(max(rows, columns)), so that a step is as large as one of AdamW (Liu et al., arXiv 2502.16982, section
    2.2): learning rate and weight decay can stay. Made for training from nothing; its use in fine-tuning is not
    established.
    """

    momentum: Share = 0.95
    betas: list[Share] | None = None
    epsilon: Positive = 1e-8

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        betas = pair(self.betas, (0.9, 0.999))
        if self.momentum == 1:
            raise UsageError("optim.momentum=1: a number from 0 to below 1 is needed, or nothing would ever be learnt")
        options = {"use_adjusted_lr": True, "adamw_betas": betas, "adamw_eps": self.epsilon}
        return _library("Muon")(groups, lr=self.lr, momentum=self.momentum, **options)

    def options(self, info: ParameterInfo) -> Mapping[str, Any]:
        return {"use_muon": info.hidden}


@dataclass
class ScheduleFree(OptimizerFactory):
    """Schedule-Free AdamW: an average of the weights in place of a falling learning rate.

    Gradients are taken at y = b1 x + (1 - b1) z, AdamW steps move z, and x is the mean of the zs, weighted with the
    square of the largest learning rate so far (Defazio et al., arXiv 2405.15682). The model trains with y and is
    evaluated with x; `arena.callback.averaging.ScheduleFree`, which the YAML brings along, sees to that. Its authors
    advise a warm-up and a learning rate 1 to 10 times that of AdamW.
    """

    schedule: Schedule = field(default_factory=Constant)
    betas: list[Share] | None = None
    epsilon: Positive = 1e-8

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Constant):
            raise UsageError("schedule: optim=schedule_free averages instead of a falling rate; give schedule=constant")

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        betas = pair(self.betas, (0.9, 0.999))
        if not betas[0]:
            raise UsageError("optim.betas: Schedule-Free divides by the first; it must be greater than 0")
        return _library("ScheduleFreeAdamW")(groups, lr=self.lr, betas=betas, eps=self.epsilon)


def _library(name: str) -> Any:
    """Return a class of pytorch_optimizer, or raise a `UsageError` where it is not installed."""
    try:
        return getattr(importlib.import_module("pytorch_optimizer"), name)
    except ModuleNotFoundError as error:
        if error.name != "pytorch_optimizer":
            raise
        raise UsageError(
            f"optim: {name} needs the package pytorch_optimizer; pip install 'arena[optimizers]', or take optim=adamw"
        ) from None
