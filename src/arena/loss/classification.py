"""Losses for one choice out of K classes: cross entropy, reshaped forms of it, and two for wrong labels."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import Focus, NonNegative, Positive, Share
from arena.core.shapes import Float, PerClass, PerRow, Target
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss


def cross_entropy(
    logits: PerClass,
    target: Target,
    label_smoothing: float = 0.0,
    class_weight: Float[Tensor, " K"] | None = None,
) -> PerRow:
    r"""Compute $-\sum_c w_c q_c \log p_c$ of each row in nats, with $q = (1 - \epsilon)\,t + \epsilon / K$."""
    if target.is_floating_point():
        target = target.to(logits.dtype)
    weight = None if class_weight is None else class_weight.to(logits.dtype)
    return functional.cross_entropy(logits, target, weight, reduction="none", label_smoothing=label_smoothing)


def missed(logits: PerClass, target: Target) -> PerRow:
    r"""Compute $\sum_c (1 - t_c) p_c$, the probability of the other classes."""
    return ((1 - target_probabilities(target, logits)) * torch.softmax(logits, dim=-1)).sum(dim=-1)


@dataclass(eq=False, repr=False, kw_only=True)
class CrossEntropy(WeightedLoss):
    """Cross entropy in nats, see `cross_entropy`; its minimum is the true probability (without smoothing and weights).

    The class-balanced loss of Cui et al. 2019 is `class_weight: effective`.
    """

    label_smoothing: Share = 0.0
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        return cross_entropy(logits, target, self.label_smoothing, self.acting_weight)


@dataclass(eq=False, repr=False, kw_only=True)
class Focal(WeightedLoss):
    r"""Focal loss: $(1 - p_t)^\gamma \cdot \mathrm{CE}_{\alpha,\epsilon}$ in nats, $p_t = \sum_c t_c p_c$.

    $\alpha$ stays outside $p_t$, and label smoothing acts on the cross entropy only. Keeps the arg-max but not the
    probabilities: for a true probability of 0.94 in three classes, gamma 3.5 asks for 0.625. Compare log losses only
    after a temperature has been fitted.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, with softmax in place of the sigmoid.
    """

    gamma: Focus = 2.0
    alpha: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None
    label_smoothing: Share = 0.0

    weight_option = "alpha"

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        # 1 - p_t as the sum of the other classes: the subtraction would round to 0 from p_t = 1 - 6e-8 on. The clamp
        # keeps the slope of x ** gamma finite at 0 for gamma < 1.
        miss = missed(logits, target).clamp_min(torch.finfo(logits.dtype).tiny)
        return miss.pow(self.gamma) * cross_entropy(logits, target, self.label_smoothing, self.acting_weight)


@dataclass(eq=False, repr=False)
class GeneralizedCrossEntropy(Loss):
    r"""Generalised cross entropy for noisy labels: $\sum_c t_c (1 - p_c^q) / q$, at most $1/q$. Not with focal.

    Source: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", eq. 6.
    """

    q: Share = 0.7

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        if self.q == 0:
            return cross_entropy(logits, target)
        cost = -torch.expm1(self.q * torch.log_softmax(logits, dim=-1)) / self.q
        return (target_probabilities(target, logits) * cost).sum(dim=-1)


@dataclass(eq=False, repr=False)
class SymmetricCrossEntropy(Loss):
    r"""Cross entropy with its reverse, $\alpha\,\mathrm{CE} + \beta\,\mathrm{RCE}$, for noisy labels.

    RCE is the cross entropy with label and prediction swapped, $-\sum_c p_c \log q_c$ for a label $q$ of zeros and a
    one, where $\log 0$ is the number $A < 0$: $-A \sum_c t_c (1 - p_c)$, at most $-A$. Linear in soft targets.

    Source: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", eq. 6 to 8. Their alpha
    is 0.1 for ten classes and 6 for a hundred: little cross entropy where labels are poor.
    """

    alpha: NonNegative = 0.1
    beta: NonNegative = 1.0
    log_zero: float = -4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.log_zero >= 0:
            raise UsageError(f"loss.log_zero={self.log_zero}: a negative number is needed")
        if self.alpha == self.beta == 0:
            raise UsageError(
                "loss.alpha=0 and loss.beta=0: nothing would be learned; one of them must be greater than 0"
            )

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        reverse = self.log_zero * missed(logits, target)
        return self.alpha * cross_entropy(logits, target) - self.beta * reverse


def others_of(probabilities: PerClass) -> PerClass:
    """Compute 1 - p of each class as the sum of the other classes: the subtraction would round to 0 at p near 1.

    At least the smallest positive number, so that the slope of a power of it stays finite.
    """
    classes = probabilities.shape[-1]
    ones = torch.ones(classes, classes, dtype=probabilities.dtype, device=probabilities.device)
    rest = probabilities.unsqueeze(-2) * (ones - torch.eye(classes, dtype=ones.dtype, device=ones.device))
    return rest.sum(dim=-1).clamp_min(torch.finfo(probabilities.dtype).tiny)


@dataclass(eq=False, repr=False)
class Dice(Loss):
    r"""Self-adjusting dice loss: $\sum_c 1 - \frac{2 u_c t_c + \gamma}{u_c + t_c + \gamma}$, a surrogate of F1.

    With $u_c = (1 - p_c)^\alpha p_c$, right and sure rows stop to count. Not a likelihood: the probabilities are not
    calibrated, and the value is in no unit. Beyond $p = 1 / (1 + \alpha)$ it pays to be less sure: keep $\alpha$ small;
    the authors' experiments have 0.01, where that point is at 0.99.

    Source: Li et al. 2020, "Dice Loss for Data-imbalanced NLP Tasks", for each row by itself; the authors' code adds
    the denominators of a whole batch, so that the loss of a row depends on its neighbours.
    """

    power: NonNegative = 0.01
    smooth: Positive = 1.0

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        t, p = target_probabilities(target, logits), torch.softmax(logits, dim=-1)
        u = others_of(p).pow(self.power) * p
        return (1 - (2 * u * t + self.smooth) / (u + t + self.smooth)).sum(dim=-1)


@dataclass(eq=False, repr=False)
class Asymmetric(Loss):
    r"""Asymmetric focusing for a single label: $-\sum_c q_c f_c \log p_c$ with $q = (1 - \epsilon) t + \epsilon / K$.

    $f$ is $(1 - p_c)^{\gamma^+}$ for the label, else $p_c^{\gamma^-}$: without smoothing $\gamma^-$ does nothing, and
    with $\gamma^+ = 0$ too this is cross entropy. Linear in soft targets.

    Source: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", in the form for a single label that
    the authors and timm give.
    """

    gamma_positive: Focus = 1.0
    gamma_negative: Focus = 4.0
    label_smoothing: Share = 0.1

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        t, log_p = target_probabilities(target, logits), torch.log_softmax(logits, dim=-1)
        p, spread = log_p.exp(), self.label_smoothing / logits.shape[-1]
        right = (1 - self.label_smoothing + spread) * others_of(p).pow(self.gamma_positive)
        wrong = spread * p.clamp_min(torch.finfo(p.dtype).tiny).pow(self.gamma_negative)
        return -((t * right + (1 - t) * wrong) * log_p).sum(dim=-1)


@dataclass(eq=False, repr=False, kw_only=True)
class Poly(WeightedLoss):
    r"""Poly-1 loss: $\sum_c w_c q_c (-\log p_c + \epsilon (1 - p_c))$ with the smoothed target $q$ (as timm).

    Its minimum is surer than the true probability for $\epsilon > 0$: fit a temperature.

    Source: Leng et al. 2022, "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions".
    """

    epsilon: float = 1.0
    label_smoothing: Share = 0.0
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon < -1:
            raise UsageError(f"loss.epsilon={self.epsilon}: a number from -1 on is needed")

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        smoothing, classes = self.label_smoothing, logits.shape[-1]
        q = (1 - smoothing) * target_probabilities(target, logits) + smoothing / classes
        if self.acting_weight is not None:
            q = q * self.acting_weight.to(logits.dtype)
        log_p = torch.log_softmax(logits, dim=-1)
        return (q * (self.epsilon * others_of(log_p.exp()) - log_p)).sum(dim=-1)
