"""Muon: steps whose matrices are orthogonal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share
from arena.optim.base import Recipe, library, pair
from arena.optim.groups import ParameterInfo


@dataclass
class Muon(Recipe):
    """Muon (Jordan, kellerjordan.github.io/posts/muon) for the matrices inside the layers, AdamW for all else:
    embeddings, biases, norms, head.

    A matrix moves by the nearest orthogonal matrix of its momentum (Newton-Schulz, five steps in bfloat16), scaled by
    0.2 sqrt(max(rows, columns)), so that a step is as large as one of AdamW (Liu et al., arXiv 2502.16982, section
    2.2): learning rate and weight decay can stay. Made for training from nothing; its use in fine-tuning is not
    established.

    Attributes:
        momentum: decay rate of a matrix's momentum (Nesterov's).
        betas: decay rates of AdamW's two moments.
        epsilon: added to the root of AdamW's second moment.
    """

    momentum: Share = 0.95
    betas: list[Share] | None = None
    epsilon: Positive = 1e-8

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        betas = pair(self.betas, (0.9, 0.999))
        if self.momentum == 1:
            raise UsageError("optim.momentum=1: a number from 0 to below 1 is needed, or nothing would ever be learnt")
        return library("Muon")(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            use_adjusted_lr=True,
            adamw_betas=betas,
            adamw_eps=self.epsilon,
        )

    def options(self, place: ParameterInfo) -> Mapping[str, Any]:
        return {"use_muon": place.hidden}
