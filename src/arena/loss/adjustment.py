"""Logit adjustment: learning as if all classes were equally frequent, without drawing rows more often."""

from typing import Literal

import torch
from torch import Tensor

from arena.core.schema import NonNegative, Share
from arena.loss.base import Loss, at_least_float32
from arena.loss.class_weight import check_counts
from arena.loss.classification import cross_entropy


def logit_adjusted(logits: Tensor, target: Tensor, shares: Tensor, tau: float, label_smoothing: float = 0.0) -> Tensor:
    r"""$\mathrm{CE}(z + \tau \log \pi,\; t)$ for each row. Nats, `[N]`.

    Source: Menon et al. 2021, "Long-Tail Learning via Logit Adjustment", eq. 10; at $\tau = 1$ it is the balanced
    softmax of Ren et al. 2020.

    Args:
        logits: $z$, `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        shares: $\pi$, the share of each class in training, `[K]`, all greater than 0.
        tau: 0 is cross entropy.
        label_smoothing: share of the target that is spread evenly over all classes.
    """
    return cross_entropy(logits + tau * shares.to(logits.dtype).log(), target, label_smoothing)


class LogitAdjustment(Loss):
    r"""Cross entropy of logits to which the class shares are added in training, see `logit_adjusted`.

    What is left for the model to learn at $\tau = 1$ is how likely a row is under each class, whatever the shares: the
    arg-max of its own logits has the best balanced accuracy. So `predict` gives balanced probabilities, and log loss,
    accuracy and calibration on rows with the natural shares are worse for it; `decision: natural` adds the shares
    again, which gives the probabilities that training fits, those of the rows as they come.

    The shares come from the training rows (`set_class_counts`) and are kept in checkpoints. Before that all classes are
    equal.
    Not to be combined with class weights or balanced sampling, which correct for the same thing.

    Args:
        labels: names of the K classes, in the order of the logits.
        tau: how far, 0 to 1 and beyond; 0 is cross entropy.
        label_smoothing: share of the target that is spread evenly over all classes.
        decision: whose probabilities `predict` gives.
    """

    shares: Tensor
    prior_source = "logit adjustment (loss.tau)"

    def __init__(
        self,
        labels: list[str],
        tau: NonNegative = 1.0,
        label_smoothing: Share = 0.0,
        decision: Literal["balanced", "natural"] = "balanced",
    ) -> None:
        super().__init__(labels)
        self.tau, self.label_smoothing, self.decision = tau, label_smoothing, decision
        self.register_buffer("shares", torch.full((len(self.labels),), 1 / len(self.labels)))

    def set_class_counts(self, served: Tensor, natural: Tensor) -> Tensor:
        r"""Learn how many rows each class has; a class without rows counts as one row.

        Args:
            served: rows as an epoch serves them, `[K]`: the shares that training sees are the ones to correct for.
            natural: rows as they are, `[K]`.

        Returns:
            The rows of each class at which the model's own logits should start, `[K]` float64 with the same sum:
            proportional to $\pi^{1-\tau}$, so that the first cost is that of the shares.

        Raises:
            UsageError: another number of classes than `labels`.
        """
        check_counts(served, self.labels)
        counts = served.double().clamp_min(1)
        shares = counts / counts.sum()
        self.shares.copy_(shares)
        rest = shares ** (1 - self.tau)
        return served.double().sum() * rest / rest.sum()

    def prior_factors(self) -> Tensor | None:
        r"""$\pi^{-\tau}$, `[K]`: the model's own logits learn $\pi^{1-\tau}$ in place of the prior."""
        return self.shares**-self.tau if self.tau else None

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of the adjusted logits of each row, `[N]` nats."""
        return logit_adjusted(logits, target, self.shares, self.tau, self.label_smoothing)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of what `predict` gives, `[N, K]`."""
        logits = at_least_float32(logits)
        if self.decision == "natural":
            logits = logits + self.tau * self.shares.to(logits.dtype).log()
        return torch.log_softmax(logits, dim=-1)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, K]` float32: of the logits, or with the shares added, as `decision` says."""
        return self.log_probabilities(logits).exp().float()
