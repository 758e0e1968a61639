"""One class against the rest, then which of the rest: a likelihood in two stages."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import Positive
from arena.core.shapes import Float, Target
from arena.loss.base import target_probabilities
from arena.loss.class_weight import WeightedLoss


def two_stage_log_probabilities(logits: Float[Tensor, "N K"], first: int) -> Float[Tensor, "N K"]:
    r"""Compute $\log \sigma(d)$ of the first class, $\log \sigma(-d) + \log \mathrm{softmax}(z_{-f})_c$ of the others.

    $d = z_f - \overline{z_{-f}}$: the logit of the first class (its index is `first`, f) counts from the mean of the
    others, because nothing else fixes the zero of a row's logits. (From their log-sum-exp it would be the ordinary
    softmax again.)
    """
    # Two slices and not a list of places, which would be copied to the device in every step.
    rest = torch.cat([logits[..., :first], logits[..., first + 1 :]], dim=-1)
    lead = logits[..., first] - rest.mean(dim=-1)
    within = functional.logsigmoid(-lead).unsqueeze(-1) + torch.log_softmax(rest, dim=-1)
    return torch.cat([within[..., :first], functional.logsigmoid(lead).unsqueeze(-1), within[..., first:]], dim=-1)


@dataclass(eq=False, repr=False, kw_only=True)
class TwoStage(WeightedLoss):
    r"""Binary cross entropy of one class against the rest, and cross entropy among the rest for rows of the rest.

    $\ell = -\sum_c w_c t_c \log p_c$ with `two_stage_log_probabilities`. For a class that answers another question than
    the others ("no stance" beside "against" and "in favour"): its rows do not pull at the boundary between the others.
    A proper score, as cross entropy is. The largest logit need not be the likeliest class.

    Args:
        first: The class of the first stage; None for the first of `labels`.
        class_weight: See `arena.loss.class_weight.WeightedLoss`.

    Raises:
        UsageError: Fewer than three classes, where both stages are one, or `first` is none of them.
    """

    first: str | None = None
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.labels) < 3:
            raise UsageError(f"loss=two_stage: three or more classes are needed, there are {', '.join(self.labels)}")
        if self.first is not None and self.first not in self.labels:
            raise UsageError(f"loss.first={self.first}: no such class; the classes are {', '.join(self.labels)}")
        self._index = 0 if self.first is None else self.labels.index(self.first)

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Tensor:
        """Return the counts for logits that give the shares of the rows through the two stages, `[K]`."""
        super().set_class_counts(sampled, natural)
        counts = sampled.double().clamp_min(1)
        others = torch.cat([counts[: self._index], counts[self._index + 1 :]])
        start = counts.clone()
        start[self._index] = counts[self._index] / others.sum() * others.log().mean().exp()
        return sampled.double().sum() * start / start.sum()

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the cost of both stages."""
        wanted = target_probabilities(target, logits)
        if self.acting_weight is not None:
            wanted = wanted * self.acting_weight.to(logits.dtype)
        return -(wanted * two_stage_log_probabilities(logits, self._index)).sum(dim=-1)

    def link(self, logits: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Multiply the probabilities of the stages: their logarithms are logits too."""
        return two_stage_log_probabilities(logits, self._index)
