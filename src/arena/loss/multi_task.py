"""Parts of the loss of several heads: weights of the heads, fixed, learned or following the losses; and R-Drop."""

from typing import Literal

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.core.shapes import Float, PerClass, PerRow

Weighting = Literal["fixed", "uncertainty", "dynamic"]
TEMPERATURE = 2.0
"""Of the dynamic weight average (Liu et al. 2019, section 3.3); the larger, the more equal the weights."""
PATIENCE = 10
"""Training steps after which an R-Drop divergence that was always exactly 0 is an error."""


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
    """Combines the costs of the heads on each row, with `fixed` weights `[T]` at first.

    `uncertainty` multiplies these with `uncertainty_weighted`, whose $s$ is learned and starts at 0; `dynamic` with
    `dynamic_weights`, from the third epoch on.
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

    def forward(self, costs: Float[Tensor, "N T"]) -> PerRow:
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


def symmetric_divergence(first: PerClass, second: PerClass) -> PerRow:
    r"""Compute $\frac{1}{2}(\mathrm{KL}(p \| q) + \mathrm{KL}(q \| p)) = \frac{1}{2} \sum_c (p_c - q_c)(\log p_c - \log
    q_c)$ of each row in nats, from $\log p$ and $\log q$; the gradient goes through both sides.

    Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", eq. 2.
    """
    return 0.5 * ((first.exp() - second.exp()) * (first - second)).sum(dim=-1)


class RDrop:
    """Strength of R-Drop (`alpha`, and `warmup`, the share of the training in which it rises to that).

    The paper adds the divergence to the sum of both copies' losses, here it is added to their mean: half the paper's
    alpha does the same.
    """

    def __init__(self, given: dict[str, float] | None) -> None:
        given = given or {}
        for key in given:
            if key not in ("alpha", "warmup"):
                raise UsageError(f"loss.rdrop.{key}: no such key{closest(key, ['alpha', 'warmup'])}")
        self.alpha, self.warmup = float(given.get("alpha", 0.0)), float(given.get("warmup", 0.0))
        if self.warmup > 1:
            raise UsageError(f"loss.rdrop.warmup={self.warmup}: a number from 0 to 1 is needed")
        self.progress = 1.0
        self._seen: list[Tensor] = []

    @property
    def factor(self) -> float:
        """Alpha at the present `progress`, the finished share of the training."""
        return self.alpha if self.progress >= self.warmup else self.alpha * self.progress / self.warmup

    def check(self, copies: int) -> None:
        """Raise a `UsageError` for a batch that does not hold each row twice."""
        if self.alpha and copies != 2:
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} compares two copies of each row, the batch has {copies}; set "
                "data.copies=2"
            )

    def watch(self, divergence: Tensor, supervised: int) -> None:
        """Check, once and not in every step, that dropout makes the copies differ."""
        if len(self._seen) >= PATIENCE or not supervised:
            return
        self._seen.append(divergence.detach())
        if len(self._seen) == PATIENCE and not any(map(bool, self._seen)):
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} does nothing: in {PATIENCE} steps both copies of every row had "
                "the same probabilities; give the model dropout, or set loss.rdrop.alpha=0 and data.copies=1"
            )
