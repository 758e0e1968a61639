"""Lion: one moment, and steps of one size."""

from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from arena.core.schema import Share
from arena.optim.base import Recipe, library, pair


@dataclass
class Lion(Recipe):
    """w ← w - lr (sign(b1 m + (1 - b1) g) + decay w), m ← b2 m + (1 - b2) g (Chen et al., arXiv 2302.06675).

    Half the memory of AdamW. Every step moves every weight by `lr`, so the authors advise a learning rate 3 to 10 times
    below AdamW's and a weight decay as many times above it.

    Attributes:
        betas: of the step and of the moment.
    """

    kept = 1.0

    betas: list[Share] | None = None

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        return library("Lion")(groups, lr=self.lr, betas=pair(self.betas, (0.9, 0.99)))
