"""Schedule-Free AdamW: an average of the weights in place of a falling learning rate."""

from dataclasses import dataclass, field
from typing import Any

from torch.optim import Optimizer

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share
from arena.optim.base import Recipe, library, pair
from arena.optim.schedule import Constant, Schedule


@dataclass
class ScheduleFree(Recipe):
    """Gradients are taken at y = b1 x + (1 - b1) z, AdamW steps move z, and x is the mean of the zs, weighted with the
    square of the largest learning rate so far (Defazio et al., arXiv 2405.15682).

    The model trains with y and is judged with x; `arena.callback.averaging.ScheduleFree`, which the YAML brings along,
    sees to that. Its authors advise a warm-up and a learning rate 1 to 10 times that of AdamW.

    Attributes:
        schedule: constant, after the warm-up; the mean does the rest.
        betas: b1, greater than 0, and the decay rate of the second moment.
        epsilon: added to the root of the second moment.
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
        return library("ScheduleFreeAdamW")(groups, lr=self.lr, betas=betas, eps=self.epsilon)
