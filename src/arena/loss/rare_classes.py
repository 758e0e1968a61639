"""Losses for rare classes: logit adjustment, margins, and one class against the rest first."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import NonNegative, Positive, Share
from arena.core.shapes import Float, PerClass, PerRow, Target
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss, check_counts
from arena.loss.classification import cross_entropy


@dataclass(eq=False, repr=False)
class LogitAdjustment(Loss):
    r"""Cross entropy of logits to which the class shares are added: $\mathrm{CE}(z + \tau \log \pi,\; t)$ in nats.

    What is left for the model to learn at $\tau = 1$ is how likely a row is under each class, whatever the shares: the
    arg-max of its own logits has the best balanced accuracy. So `predict` gives balanced probabilities, and log loss,
    accuracy and calibration on rows with the natural shares are worse for it; `decision: natural` adds the shares
    again, which gives the probabilities that training fits. The shares are those of the training rows and kept in
    checkpoints. Not to be combined with class weights or balanced sampling, which correct for the same thing.

    Source: Menon et al. 2021, "Long-Tail Learning via Logit Adjustment", eq. 10; at $\tau = 1$ it is the balanced
    softmax of Ren et al. 2020.
    """

    tau: NonNegative = 1.0
    label_smoothing: Share = 0.0
    decision: Literal["balanced", "natural"] = "balanced"

    prior_source = "logit adjustment (loss.tau)"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shares = nn.Buffer(torch.full((len(self.labels),), 1 / len(self.labels)))

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Tensor:
        r"""Set the shares from the class counts, see `WeightedLoss.set_class_counts`; no rows count as one row.

        The model's own logits should start at counts in proportion to $\pi^{1-\tau}$: the first cost is that of the
        shares.
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

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        return cross_entropy(self._adjusted(logits), target, self.label_smoothing)

    def link(self, logits: PerClass) -> PerClass:
        return self._adjusted(logits) if self.decision == "natural" else logits

    def _adjusted(self, logits: Tensor) -> Tensor:
        return logits + self.tau * self.shares.to(logits.dtype).log()


def margins(counts: Tensor, max_margin: float) -> Float[Tensor, " K"]:
    r"""Compute $\Delta_c \propto n_c^{-1/4}$ with the largest being `max_margin`, float64; no rows count as one row."""
    raw = counts.double().clamp_min(1) ** -0.25
    return max_margin * raw / raw.max()


@dataclass(eq=False, repr=False, kw_only=True)
class Ldam(WeightedLoss):
    r"""Label-distribution-aware margins: $\mathrm{CE}(s\,(z - \Delta \odot t),\; t)$ in nats, see `margins`.

    With `class_weight` and `class_weight_from_epoch` it is LDAM-DRW. The paper's $s$ is 30 and belongs to a head whose
    features and weights have length 1; the heads here are plain and would start with losses of tens of nats. At $s$ = 1
    a margin of 0.5 is 0.5 nats. The loss that is reported contains the margins, which are kept in checkpoints.

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss".
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

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        led = logits - self.margin.to(logits.dtype) * target_probabilities(target, logits)
        return cross_entropy(self.scale * led, target, class_weight=self.acting_weight)

    def link(self, logits: PerClass) -> PerClass:
        return self.scale * logits


def two_stage_log_probabilities(logits: PerClass, first: int) -> PerClass:
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

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        wanted = target_probabilities(target, logits)
        if self.acting_weight is not None:
            wanted = wanted * self.acting_weight.to(logits.dtype)
        return -(wanted * two_stage_log_probabilities(logits, self._index)).sum(dim=-1)

    def link(self, logits: PerClass) -> PerClass:
        return two_stage_log_probabilities(logits, self._index)
