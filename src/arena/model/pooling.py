"""From token states to one state a sequence."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["first", "last", "mean"]


def pool(states: Tensor, attention_mask: Tensor, how: str) -> Tensor:
    """One state for each row.

    Args:
        states: token states, `[N, L, H]`.
        attention_mask: 1 where there is a token, `[N, L]`.
        how: `first` takes the first real token (CLS), `last` the last real token (what a causal model needs), `mean`
            the mean over real tokens. Positions come from the mask and not from the pad id, so padding on either side
            and a pad token that equals the end token are both right.

    Returns:
        `[N, H]` in the dtype of `states` (`mean` is summed in float32).
    """
    if how == "mean":
        weight = attention_mask.unsqueeze(-1).float()
        return ((states.float() * weight).sum(1) / weight.sum(1).clamp(min=1)).to(states.dtype)
    length = attention_mask.shape[1]
    position = attention_mask.argmax(1) if how == "first" else length - 1 - attention_mask.flip(1).argmax(1)
    return states[torch.arange(states.shape[0], device=states.device), position]
