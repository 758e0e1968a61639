"""AdamW, in 32 and in 8 bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from arena.core.errors import UsageError, first_line
from arena.core.schema import Positive, Share
from arena.optim.base import OptimizerFactory, pair
from arena.optim.groups import ParameterInfo


@dataclass
class AdamW(OptimizerFactory):
    """torch's AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    betas: list[Share] | None = None
    epsilon: Positive = 1e-8

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        betas = pair(self.betas, (0.9, 0.999))
        return torch.optim.AdamW(groups, lr=self.lr, betas=betas, eps=self.epsilon, fused=fused)


@dataclass
class AdamW8bit(AdamW):
    """AdamW whose moments have 8 bits, scaled in blocks of 256 (Dettmers et al., arXiv 2110.02861; bitsandbytes): two
    bytes a weight instead of eight. Embeddings and tensors of fewer than 4096 values keep 32 bits, as its authors say.
    """

    def make(self, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
        """Raises a `UsageError` where bitsandbytes does not work, found out with a step on a few numbers."""
        try:
            kind = _eight_bit()
            for device in {parameter.device for group in groups for parameter in group["params"]}:
                trial = torch.nn.Parameter(torch.ones(4096, device=device))
                trial.grad = torch.ones_like(trial)
                kind([{"params": [trial], "bits": 8}]).step()
        except Exception as error:  # each broken installation fails in its own way
            raise UsageError(
                f"optim=adamw8bit: 8-bit AdamW does not work on this machine ({first_line(error)}); take optim=adamw"
            ) from None
        return kind(groups, lr=self.lr, betas=pair(self.betas, (0.9, 0.999)), eps=self.epsilon)

    def options(self, info: ParameterInfo) -> Mapping[str, Any]:
        return {"bits": 32 if info.embedding else 8}


def _eight_bit() -> Any:
    """Return bitsandbytes' class with bits for each parameter group. Its own `GlobalOptimManager` goes by the addresses
    of tensors in one list for the whole process, where they outlive the tensors."""
    from bitsandbytes.optim.adamw import AdamW8bit as Theirs

    class GroupedAdamW8bit(Theirs):
        def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
            return super().get_config(gindex, pindex, group) | {"optim_bits": group["bits"]}

    return GroupedAdamW8bit
