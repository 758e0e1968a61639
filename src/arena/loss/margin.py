"""Margins that are the larger the rarer the class."""

from typing import Literal

import torch
from torch import Tensor

from arena.core.schema import NonNegative, Positive, Share, WholeNumber
from arena.loss.base import at_least_float32, target_probabilities
from arena.loss.class_weight import WeightedLoss, check_counts
from arena.loss.classification import cross_entropy


def margins(counts: Tensor, max_margin: float) -> Tensor:
    r"""$\Delta_c \propto n_c^{-1/4}$ with the largest being `max_margin`, `[K]` float64; no rows count as one row."""
    raw = counts.double().clamp_min(1) ** -0.25
    return max_margin * raw / raw.max()


def ldam(
    logits: Tensor, target: Tensor, margin: Tensor, scale: float = 1.0, class_weight: Tensor | None = None
) -> Tensor:
    r"""$\mathrm{CE}(s\,(z - \Delta \odot t),\; t)$ for each row: a class has to lead by its margin. Nats, `[N]`.

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss".

    Args:
        logits: $z$, `[N, K]`.
        target: $t$, class indices `[N]` or probabilities `[N, K]`.
        margin: $\Delta$, `[K]`.
        scale: $s$.
        class_weight: `[K]`.
    """
    led = logits - margin.to(logits.dtype) * target_probabilities(target, logits)
    return cross_entropy(scale * led, target, class_weight=class_weight)


class Ldam(WeightedLoss):
    r"""Label-distribution-aware margins, see `ldam`; with `class_weight` and `class_weight_from_epoch` it is LDAM-DRW.

    The paper's $s$ is 30 and belongs to a head whose features and weights have length 1, so that logits lie between -1
    and 1. The heads here are plain: with $s$ = 30 they would start with losses of tens of nats. At $s$ = 1 a margin of
    0.5 is 0.5 nats. `predict` gives the softmax of $s z$, and the loss that is reported contains the margins.

    The margins come from the training rows (`set_class_counts`) and are kept in checkpoints. Before that all are
    `max_margin`.

    Args:
        labels: names of the K classes, in the order of the logits.
        max_margin: margin of the rarest class, in units of the logits.
        scale: $s$.
        class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch: as in
            `arena.loss.classification.CrossEntropy`.
    """

    margin: Tensor

    def __init__(
        self,
        labels: list[str],
        max_margin: NonNegative = 0.5,
        scale: Positive = 1.0,
        class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None,
        class_weight_beta: Share = 0.999,
        class_weight_cap: Positive = 10.0,
        class_weight_from_epoch: WholeNumber = 0,
    ) -> None:
        super().__init__(labels, class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch)
        self.max_margin, self.scale = max_margin, scale
        self.register_buffer("margin", torch.full((len(self.labels),), float(max_margin)))

    def set_class_counts(self, served: Tensor, natural: Tensor) -> Tensor:
        """As `WeightedLoss.set_class_counts`; the margins come from the rows as they are."""
        check_counts(natural, self.labels)
        self.margin.copy_(margins(natural, self.max_margin))
        return super().set_class_counts(served, natural)

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with margins of each row, `[N]` nats."""
        return ldam(logits, target, self.margin, self.scale, self.class_weight)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of what `predict` gives, `[N, K]`."""
        return torch.log_softmax(self.scale * at_least_float32(logits), dim=-1)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, K]` float32: the softmax of the scaled logits."""
        return self.log_probabilities(logits).exp().float()
