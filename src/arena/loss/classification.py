"""Losses for one choice out of K classes: cross entropy, focal loss, and two that are robust to wrong labels."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import Focus, NonNegative, Positive, Share
from arena.core.shapes import Float, Target
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss


def cross_entropy(
    logits: Float[Tensor, "N K"],
    target: Target,
    label_smoothing: float = 0.0,
    class_weight: Float[Tensor, " K"] | None = None,
) -> Float[Tensor, " N"]:
    r"""Compute $-\sum_c w_c q_c \log p_c$ of each row in nats, with $q = (1 - \epsilon)\,t + \epsilon / K$."""
    if target.is_floating_point():
        target = target.to(logits.dtype)
    weight = None if class_weight is None else class_weight.to(logits.dtype)
    return functional.cross_entropy(logits, target, weight, reduction="none", label_smoothing=label_smoothing)


def missed(logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
    r"""Compute $\sum_c (1 - t_c) p_c$, the probability of the other classes."""
    return ((1 - target_probabilities(target, logits)) * torch.softmax(logits, dim=-1)).sum(dim=-1)


@dataclass(eq=False, repr=False, kw_only=True)
class CrossEntropy(WeightedLoss):
    """Cross entropy in nats, see `cross_entropy`; its minimum is the true probability (without smoothing and weights).

    The class-balanced loss of Cui et al. 2019 is `class_weight: effective`.

    Args:
        label_smoothing: Share of the target that is spread evenly over all classes.
        class_weight: See `arena.loss.class_weight.WeightedLoss`.
    """

    label_smoothing: Share = 0.0
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the cross entropy."""
        return cross_entropy(logits, target, self.label_smoothing, self.acting_weight)


@dataclass(eq=False, repr=False, kw_only=True)
class Focal(WeightedLoss):
    r"""Focal loss: $(1 - p_t)^\gamma \cdot \mathrm{CE}_{\alpha,\epsilon}$ in nats, $p_t = \sum_c t_c p_c$.

    $\alpha$ stays outside $p_t$ (inside, as in often copied code, the weight of a class changes how hard its rows
    look), and label smoothing acts on the cross entropy only: the factor looks at the label itself.

    Keeps the arg-max but not the probabilities: for a true probability of 0.94 in three classes, gamma 3.5 asks for
    0.625. Compare log losses only after a temperature has been fitted.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, with softmax in place of the sigmoid.

    Args:
        gamma: 0 gives cross entropy; the larger, the less the rows count that are already right.
        alpha: The class weights, see `arena.loss.class_weight.WeightedLoss`.
        label_smoothing: Share of the target that is spread evenly over all classes.
    """

    gamma: Focus = 2.0
    alpha: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None
    label_smoothing: Share = 0.0

    weight_option = "alpha"

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the focal loss."""
        # 1 - p_t as the sum of the other classes: the subtraction would round to 0 from p_t = 1 - 6e-8 on. The clamp
        # keeps the slope of x ** gamma finite at 0 for gamma < 1.
        miss = missed(logits, target).clamp_min(torch.finfo(logits.dtype).tiny)
        return miss.pow(self.gamma) * cross_entropy(logits, target, self.label_smoothing, self.acting_weight)


@dataclass(eq=False, repr=False)
class GeneralizedCrossEntropy(Loss):
    r"""Generalised cross entropy for noisy labels, $\sum_c t_c (1 - p_c^q) / q$. Not to be combined with focal.

    At most $1/q$: a wrong label can pull only so hard.

    Source: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", eq. 6.

    Args:
        q: 0 is cross entropy in nats, 1 is $1 - p_t$; between them, robustness against speed of learning.
    """

    q: Share = 0.7

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the generalised cross entropy; nats only in the limit of q = 0."""
        if self.q == 0:
            return cross_entropy(logits, target)
        cost = -torch.expm1(self.q * torch.log_softmax(logits, dim=-1)) / self.q
        return (target_probabilities(target, logits) * cost).sum(dim=-1)


@dataclass(eq=False, repr=False)
class SymmetricCrossEntropy(Loss):
    r"""Cross entropy with its reverse, $\alpha\,\mathrm{CE} + \beta\,\mathrm{RCE}$, for noisy labels.

    RCE is the cross entropy with label and prediction exchanged, $-\sum_c p_c \log q_c$ for a label $q$ of zeros and a
    one, where $\log 0$ is the number $A < 0$: $-A \sum_c t_c (1 - p_c)$, at most $-A$. A soft target stands for its
    votes: its cost is the mean of what each vote would cost as a row of its own.

    Source: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", eq. 6 to 8. Their
    alpha is 0.1 for ten classes and 6 for a hundred: little cross entropy where labels are poor, much where there is
    much to learn.

    Args:
        alpha: Factor of the cross entropy.
        beta: Factor of the reverse cross entropy.
        log_zero: $A$.

    Raises:
        UsageError: `log_zero` is not negative, or both factors are 0.
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

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the symmetric cross entropy; nats only for alpha 1 and beta 0."""
        reverse = self.log_zero * missed(logits, target)
        return self.alpha * cross_entropy(logits, target) - self.beta * reverse
