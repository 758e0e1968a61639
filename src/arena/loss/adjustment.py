"""Logit adjustment: learning as if all classes were equally frequent, without drawing rows more often."""

from typing import Literal

import torch
from torch import Tensor

from arena.errors import UsageError
from arena.loss.base import Loss, at_least_float32
from arena.loss.classification import cross_entropy
from arena.schema import NonNegative, Share


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

    The shares come from the training rows (`start_at`) and are kept in checkpoints. Before that all classes are equal.
    Not to be combined with class weights or balanced sampling, which correct for the same thing.

    Args:
        labels: names of the K classes, in the order of the logits.
        tau: how far, 0 to 1 and beyond; 0 is cross entropy.
        label_smoothing: share of the target that is spread evenly over all classes.
        decision: whose probabilities `predict` gives.
    """

    shares: Tensor

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

    def start_at(self, class_counts: Tensor) -> Tensor:
        r"""Learn how many training rows each class has, `[K]`; a class without rows counts as one row.

        Returns:
            The rows of each class at which the model's own logits should start, `[K]` float64 with the same sum:
            proportional to $\pi^{1-\tau}$, so that the first cost is that of the shares.

        Raises:
            UsageError: another number of classes than `labels`.
        """
        if class_counts.shape != (len(self.labels),):
            raise UsageError(f"{len(class_counts)} class counts for the {len(self.labels)} classes of the loss")
        counts = class_counts.double().clamp_min(1)
        shares = counts / counts.sum()
        self.shares.copy_(shares)
        rest = shares ** (1 - self.tau)
        return class_counts.double().sum() * rest / rest.sum()

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of the adjusted logits of each row, `[N]` nats."""
        return logit_adjusted(logits, target, self.shares, self.tau, self.label_smoothing)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, K]` float32: of the logits, or with the shares added, as `decision` says."""
        logits = at_least_float32(logits)
        if self.decision == "natural":
            logits = logits + self.tau * self.shares.to(logits.dtype).log()
        return torch.softmax(logits, dim=-1).float()
