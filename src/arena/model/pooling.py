"""From token states to one state a sequence."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["first", "last", "mean", "last4_mean", "attention"]


def pool(states: Tensor, attention_mask: Tensor, how: str) -> Tensor:
    """One state for each sequence.

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
        return weighted_mean(states, attention_mask.float())
    length = attention_mask.shape[1]
    position = attention_mask.argmax(1) if how == "first" else length - 1 - attention_mask.flip(1).argmax(1)
    return states[torch.arange(states.shape[0], device=states.device), position]


def weighted_mean(states: Tensor, weight: Tensor) -> Tensor:
    """The mean of token states `[N, L, H]` with weights `[N, L]`, `[N, H]`, summed in float32."""
    weight = weight.unsqueeze(-1)
    return ((states.float() * weight).sum(1) / weight.sum(1).clamp(min=1e-9)).to(states.dtype)


class Pool(nn.Module):
    """One state a sequence from the states of the layers.

    Args:
        how: as `pool`; `last4_mean` is the mean over tokens of the mean of the last four layers' states; `attention`
            learns which tokens count: a softmax over tokens of a learned projection, the plain mean at the start.
        width: H.
    """

    def __init__(self, how: Pooling, width: int) -> None:
        super().__init__()
        self.how = how
        if how == "attention":
            self.query = nn.Parameter(torch.zeros(width))

    @property
    def needs_all_layers(self) -> bool:
        """Whether the backbone has to hand out the states of every layer."""
        return self.how == "last4_mean"

    def forward(self, last: Tensor, layers: tuple[Tensor, ...] | None, attention_mask: Tensor) -> Tensor:
        """`[N, H]` from the last layer's states `[N, L, H]`, or from those of all layers."""
        if self.how == "last4_mean":
            assert layers is not None
            # The last of them is the last layer before the final norm in some architectures: take `last` for it.
            chosen = [*layers[-4:-1], last]
            return pool(torch.stack([state.float() for state in chosen]).mean(0), attention_mask, "mean")
        if self.how == "attention":
            score = (last.float() @ self.query).masked_fill(attention_mask == 0, float("-inf"))
            return weighted_mean(last, torch.softmax(score, dim=1))
        return pool(last, attention_mask, self.how)
