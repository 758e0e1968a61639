"""Weights of the heads of a multi-task loss: fixed, learned, or following the losses."""

from typing import Literal

import torch
from torch import Tensor, nn

from arena.core.shapes import Float

Weighting = Literal["fixed", "uncertainty", "dynamic"]
TEMPERATURE = 2.0
"""Of the dynamic weight average (Liu et al. 2019, section 3.3); the larger, the more equal the weights."""


def uncertainty_weighted(losses: Float[Tensor, "*N T"], log_variance: Float[Tensor, " T"]) -> Float[Tensor, "*N T"]:
    r"""Compute $e^{-s} L + s / 2$ of each head, the form for classification; its minimum is at $s = \ln 2 L$.

    Source: Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", section 3.2, with the logarithm of the variance $s = \ln \sigma^2$.
    """
    return torch.exp(-log_variance) * losses + log_variance / 2


def dynamic_weights(
    newer: Float[Tensor, " T"], older: Float[Tensor, " T"], temperature: float = TEMPERATURE
) -> Float[Tensor, " T"]:
    r"""Compute $T \cdot \mathrm{softmax}(w / \tau)$ with $w_h = L_h(t-1) / L_h(t-2)$: slow heads count more.

    $L$ is the mean loss of each head in the last epoch (`newer`) and in the one before it.

    Source: Liu, Johns and Davison 2019, "End-to-End Multi-Task Learning with Attention", section 3.3.
    """
    return len(newer) * torch.softmax(newer / older / temperature, dim=-1)


class TaskWeights(nn.Module):
    """Combines the costs of the heads on each row.

    Args:
        fixed: Weight of each head, `[T]`.
        weighting: `fixed` leaves it at that; `uncertainty` multiplies it with `uncertainty_weighted`, whose $s$ is
            learned and starts at 0; `dynamic` with `dynamic_weights`, from the third epoch on.
    """

    def __init__(self, fixed: list[float], weighting: Weighting) -> None:
        super().__init__()
        self.weighting = weighting
        self.fixed = nn.Buffer(torch.tensor(fixed), persistent=False)
        heads = len(fixed)
        if weighting == "uncertainty":
            self.log_variance = nn.Parameter(torch.zeros(heads))
        if weighting == "dynamic":
            self.dynamic = nn.Buffer(torch.ones(heads))
            self.sums, self.counts = nn.Buffer(torch.zeros(heads)), nn.Buffer(torch.zeros(heads))
            self.means = nn.Buffer(torch.full((2, heads), torch.nan))  # the last epoch, the one before
            # Not a whole number: those have no mean when weights of runs are averaged.
            self.epoch = nn.Buffer(torch.tensor(-1.0))
            self._epoch: int | None = None

    def forward(self, costs: Float[Tensor, "N T"]) -> Float[Tensor, " N"]:
        """Add up the weighted costs of the heads, 0 where a head has no label."""
        weights = self.fixed.to(costs.dtype)
        if self.weighting == "uncertainty":
            costs = uncertainty_weighted(costs, self.log_variance.to(costs.dtype))
        if self.weighting == "dynamic":
            weights = weights * self.dynamic.to(costs.dtype)
        # Not a product of matrices: that would be cut to 10 bits on a GPU which is allowed to.
        return (costs * weights).sum(dim=-1)

    def acting(self) -> Float[Tensor, " T"]:
        """Return the present factor of the loss of each head, detached."""
        if self.weighting == "uncertainty":
            return self.fixed * torch.exp(-self.log_variance.detach())
        return self.fixed * self.dynamic if self.weighting == "dynamic" else self.fixed

    def observe(self, sums: Float[Tensor, " T"], counts: Tensor) -> None:
        """Add up the costs of the heads in training, over labelled rows, and the numbers of these rows `[T]`."""
        if self.weighting == "dynamic":
            self.sums += sums
            self.counts += counts

    def at(self, epoch: int) -> None:
        """Set the dynamic weights of an epoch that begins."""
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
        # Before the third epoch, or with a head that had no label in one, the ratio is no number.
        self.dynamic.copy_(torch.where(torch.isfinite(found).all(), found, torch.ones_like(found)))
        self.sums.zero_()
        self.counts.zero_()
        self.epoch.fill_(epoch)
