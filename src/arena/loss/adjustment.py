"""Logit adjustment: learning as if all classes were equally frequent, without drawing rows more often."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from arena.core.schema import NonNegative, Share
from arena.core.shapes import Float, Target
from arena.loss.base import Loss
from arena.loss.class_weight import check_counts
from arena.loss.classification import cross_entropy


@dataclass(eq=False, repr=False)
class LogitAdjustment(Loss):
    r"""Cross entropy of logits to which the class shares are added: $\mathrm{CE}(z + \tau \log \pi,\; t)$ in nats.

    What is left for the model to learn at $\tau = 1$ is how likely a row is under each class, whatever the shares: the
    arg-max of its own logits has the best balanced accuracy. So `predict` gives balanced probabilities, and log loss,
    accuracy and calibration on rows with the natural shares are worse for it; `decision: natural` adds the shares
    again, which gives the probabilities that training fits.

    Source: Menon et al. 2021, "Long-Tail Learning via Logit Adjustment", eq. 10; at $\tau = 1$ it is the balanced
    softmax of Ren et al. 2020.

    The shares come from the training rows (`set_class_counts`) and are kept in checkpoints. Before that all classes are
    equal. Not to be combined with class weights or balanced sampling, which correct for the same thing.

    Args:
        tau: Strength, 0 to 1 and beyond; 0 is cross entropy.
        label_smoothing: Share of the target that is spread evenly over all classes.
        decision: Prior of the probabilities that `predict` gives.
    """

    tau: NonNegative = 1.0
    label_smoothing: Share = 0.0
    decision: Literal["balanced", "natural"] = "balanced"

    prior_source = "logit adjustment (loss.tau)"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shares = nn.Buffer(torch.full((len(self.labels),), 1 / len(self.labels)))

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Tensor:
        r"""Set the shares from the rows of each class that an epoch shows, `[K]`; no rows count as one row.

        Returns:
            Class counts at which the model's own logits should start, `[K]` float64 with the same sum: proportional to
            $\pi^{1-\tau}$, so that the first cost is that of the shares.

        Raises:
            UsageError: Another number of classes than `labels`.
        """
        check_counts(sampled, self.labels)
        counts = sampled.double().clamp_min(1)
        shares = counts / counts.sum()
        self.shares.copy_(shares)
        rest = shares ** (1 - self.tau)
        return sampled.double().sum() * rest / rest.sum()

    def prior_factors(self) -> Tensor | None:
        r"""Return $\pi^{-\tau}$, `[K]`: the model's own logits learn $\pi^{1-\tau}$ in place of the prior."""
        return self.shares**-self.tau if self.tau else None

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the cross entropy of the adjusted logits."""
        return cross_entropy(self._adjusted(logits), target, self.label_smoothing)

    def link(self, logits: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Add the shares where `decision` is natural."""
        return self._adjusted(logits) if self.decision == "natural" else logits

    def _adjusted(self, logits: Tensor) -> Tensor:
        return logits + self.tau * self.shares.to(logits.dtype).log()
