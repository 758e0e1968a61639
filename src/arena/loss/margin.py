"""Margins that are the larger the rarer the class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from arena.core.schema import NonNegative, Positive
from arena.core.shapes import Float, Target
from arena.loss.base import target_probabilities
from arena.loss.class_weight import WeightedLoss, check_counts
from arena.loss.classification import cross_entropy


def margins(counts: Tensor, max_margin: float) -> Float[Tensor, " K"]:
    r"""Compute $\Delta_c \propto n_c^{-1/4}$ with the largest being `max_margin`, float64; no rows count as one row."""
    raw = counts.double().clamp_min(1) ** -0.25
    return max_margin * raw / raw.max()


@dataclass(eq=False, repr=False, kw_only=True)
class Ldam(WeightedLoss):
    r"""Label-distribution-aware margins: $\mathrm{CE}(s\,(z - \Delta \odot t),\; t)$ in nats, see `margins`.

    With `class_weight` and `class_weight_from_epoch` it is LDAM-DRW.

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss".

    The paper's $s$ is 30 and belongs to a head whose features and weights have length 1, so that logits lie between -1
    and 1. The heads here are plain: with $s$ = 30 they would start with losses of tens of nats. At $s$ = 1 a margin of
    0.5 is 0.5 nats. `predict` gives the softmax of $s z$, and the loss that is reported contains the margins.

    The margins come from the training rows (`set_class_counts`) and are kept in checkpoints. Before that all are
    `max_margin`.

    Args:
        max_margin: Margin of the rarest class, in units of the logits.
        scale: $s$.
        class_weight: See `arena.loss.class_weight.WeightedLoss`.
    """

    max_margin: NonNegative = 0.5
    scale: Positive = 1.0
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.margin = nn.Buffer(torch.full((len(self.labels),), float(self.max_margin)))

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Tensor:
        """Set margins and factors from the natural counts, see `WeightedLoss.set_class_counts`."""
        check_counts(natural, self.labels)
        self.margin.copy_(margins(natural, self.max_margin))
        return super().set_class_counts(sampled, natural)

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the cross entropy with margins."""
        led = logits - self.margin.to(logits.dtype) * target_probabilities(target, logits)
        return cross_entropy(self.scale * led, target, class_weight=self.acting_weight)

    def link(self, logits: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Scale the logits."""
        return self.scale * logits
