"""How much each head counts: fixed weights, weights that are learned, weights that follow the losses."""

from typing import Literal

import torch
from torch import Tensor, nn

Weighting = Literal["fixed", "uncertainty", "dynamic"]
TEMPERATURE = 2.0
"""Of the dynamic weight average (Liu et al. 2019, section 3.3); the larger, the more equal the weights."""


def uncertainty_weighted(losses: Tensor, log_variance: Tensor) -> Tensor:
    r"""$e^{-s} L + s / 2$ of each head, `[..., T]`.

    The form for classification; its minimum over $s$ is at $s = \ln 2 L$.

    Source: Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", section 3.2, with $s = \ln \sigma^2$.

    Args:
        losses: $L$, `[..., T]`.
        log_variance: $s$, `[T]`.
    """
    return torch.exp(-log_variance) * losses + log_variance / 2


def dynamic_weights(newer: Tensor, older: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    r"""$T \cdot \mathrm{softmax}(w / \tau)$ with $w_h = L_h(t-1) / L_h(t-2)$, `[T]`: slow heads count more.

    Source: Liu, Johns and Davison 2019, "End-to-End Multi-Task Learning with Attention", section 3.3.

    Args:
        newer: mean loss of each head in the last epoch, `[T]`.
        older: the same one epoch before, `[T]`.
        temperature: $\tau$.
    """
    return len(newer) * torch.softmax(newer / older / temperature, dim=-1)


class TaskWeights(nn.Module):
    """Turns what the heads cost on each row into one cost.

    Args:
        fixed: weight of each head, `[T]`.
        weighting: `fixed` leaves it at that; `uncertainty` multiplies it with `uncertainty_weighted`, whose $s$ is
            learned and starts at 0; `dynamic` with `dynamic_weights`, from the third epoch on.
    """

    fixed: Tensor
    dynamic: Tensor
    sums: Tensor
    counts: Tensor
    means: Tensor
    epoch: Tensor

    def __init__(self, fixed: list[float], weighting: Weighting) -> None:
        super().__init__()
        self.weighting = weighting
        self.register_buffer("fixed", torch.tensor(fixed), persistent=False)
        heads = len(fixed)
        if weighting == "uncertainty":
            self.log_variance = nn.Parameter(torch.zeros(heads))
        if weighting == "dynamic":
            self.register_buffer("dynamic", torch.ones(heads))
            self.register_buffer("sums", torch.zeros(heads))
            self.register_buffer("counts", torch.zeros(heads))
            self.register_buffer("means", torch.full((2, heads), torch.nan))  # the last epoch, the one before
            # Not a whole number: those have no mean when weights of runs are averaged.
            self.register_buffer("epoch", torch.tensor(-1.0))
            self._epoch: int | None = None

    def forward(self, costs: Tensor) -> Tensor:
        """Cost of each row, `[N]`, from what the heads cost on it, `[N, T]`, 0 where a head has no label."""
        weights = self.fixed.to(costs.dtype)
        if self.weighting == "uncertainty":
            costs = uncertainty_weighted(costs, self.log_variance.to(costs.dtype))
        if self.weighting == "dynamic":
            weights = weights * self.dynamic.to(costs.dtype)
        # Not a product of matrices: that would be cut to 10 bits on a GPU which is allowed to.
        return (costs * weights).sum(dim=-1)

    def acting(self) -> Tensor:
        """What the loss of each head is multiplied with now, `[T]`, detached."""
        if self.weighting == "uncertainty":
            return self.fixed * torch.exp(-self.log_variance.detach())
        return self.fixed * self.dynamic if self.weighting == "dynamic" else self.fixed

    def observe(self, sums: Tensor, counts: Tensor) -> None:
        """Keep what the heads cost in training: sums over labelled rows and their numbers, `[T]`."""
        if self.weighting == "dynamic":
            self.sums += sums
            self.counts += counts

    def at(self, epoch: int) -> None:
        """Choose the dynamic weights of an epoch, once it begins."""
        if self.weighting != "dynamic":
            return
        if self._epoch is None:
            self._epoch = int(self.epoch)  # of a checkpoint; once a run, so that it may wait for the device
        if epoch == self._epoch:
            return
        self._epoch = epoch
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.sums)
            torch.distributed.all_reduce(self.counts)
        self.means.copy_(torch.stack([self.sums / self.counts, self.means[0]]))
        found = dynamic_weights(self.means[0], self.means[1])
        # Without two epochs behind, or with a head that had no label in one, the ratio is no number.
        self.dynamic.copy_(torch.where(torch.isfinite(found).all(), found, torch.ones_like(found)))
        self.sums.zero_()
        self.counts.zero_()
        self.epoch.fill_(epoch)
