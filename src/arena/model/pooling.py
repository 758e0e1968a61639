"""From token states to one state a sequence."""

from typing import Literal

import torch
from torch import Tensor, nn

from arena.core.shapes import Float, Int

Pooling = Literal["first", "last", "mean", "last4_mean", "attention"]


def weighted_mean(states: Float[Tensor, "S L H"], weight: Float[Tensor, "S L"]) -> Float[Tensor, "S H"]:
    """Compute the weighted mean of token states, summed in float32."""
    weight = weight.unsqueeze(-1)
    return ((states.float() * weight).sum(1) / weight.sum(1).clamp(min=1e-9)).to(states.dtype)


class Pool(nn.Module):
    """One state a sequence from the states of the layers.

    Positions come from the mask and not from the pad id, so padding on either side and a pad token that equals the EOS
    token are both right. `first` takes the first real token (CLS), `last` the last one (what a causal model needs),
    `mean` the mean over real tokens, `last4_mean` that of the mean of the last four layers; `attention` learns weights
    of the tokens, a softmax of a learned projection that starts at the plain mean.
    """

    def __init__(self, how: Pooling, width: int) -> None:
        super().__init__()
        self.how = how
        if how == "attention":
            self.query = nn.Parameter(torch.zeros(width))

    @property
    def needs_all_layers(self) -> bool:
        """True where the backbone has to return the states of every layer."""
        return self.how == "last4_mean"

    def forward(
        self, last: Float[Tensor, "S L H"], layers: tuple[Tensor, ...] | None, attention_mask: Int[Tensor, "S L"]
    ) -> Float[Tensor, "S H"]:
        """Pool the last layer's states, or those of all layers; in the dtype of `last`, but for `last4_mean`."""
        match self.how:
            case "last4_mean":
                assert layers is not None
                # The last of them is the last layer before the final norm in some architectures: take `last` for it.
                states = torch.stack([state.float() for state in (*layers[-4:-1], last)]).mean(0)
                return weighted_mean(states, attention_mask.float())
            case "attention":
                score = (last.float() @ self.query).masked_fill(attention_mask == 0, float("-inf"))
                return weighted_mean(last, torch.softmax(score, dim=1))
            case "mean":
                return weighted_mean(last, attention_mask.float())
            case "first":
                position = attention_mask.argmax(1)
            case "last":
                position = attention_mask.shape[1] - 1 - attention_mask.flip(1).argmax(1)
        return last[torch.arange(len(last), device=last.device), position]
