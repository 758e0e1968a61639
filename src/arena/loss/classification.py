"""Losses for one choice out of K classes: cross entropy, focal loss, and two that bear wrong labels."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import Focus, NonNegative, Positive, Share, WholeNumber
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss


def cross_entropy(
    logits: Tensor, target: Tensor, label_smoothing: float = 0.0, class_weight: Tensor | None = None
) -> Tensor:
    r"""$-\sum_c w_c q_c \log p_c$ for each row, with $q = (1 - \epsilon)\,t + \epsilon / K$. Nats, `[N]`.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        label_smoothing: $\epsilon$, the share of the target that is spread evenly over all classes.
        class_weight: $w$, `[K]`.
    """
    if target.is_floating_point():
        target = target.to(logits.dtype)
    weight = None if class_weight is None else class_weight.to(logits.dtype)
    return functional.cross_entropy(logits, target, weight, reduction="none", label_smoothing=label_smoothing)


def focal(
    logits: Tensor, target: Tensor, gamma: float, alpha: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    r"""$(1 - p_t)^\gamma \cdot \mathrm{CE}_{\alpha,\epsilon}$ for each row, with $p_t = \sum_c t_c p_c$. Nats, `[N]`.

    $\alpha$ stays outside $p_t$ (inside, as in often copied code, the weight of a class changes how hard its rows
    look), and label smoothing acts on the cross entropy only: the factor looks at the label itself.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, with softmax in place of the sigmoid.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        gamma: 0 gives cross entropy; the larger, the less the rows count that are already right.
        alpha: factor of each class, `[K]`.
        label_smoothing: share of the target that is spread evenly over all classes.
    """
    others = 1 - target_probabilities(target, logits)
    # 1 - p_t as the sum of the other classes: the subtraction would round to 0 from p_t = 1 - 6e-8 on. The clamp keeps
    # the slope of x ** gamma finite at 0 for gamma < 1.
    miss = (others * torch.softmax(logits, dim=-1)).sum(dim=-1).clamp_min(torch.finfo(logits.dtype).tiny)
    return miss.pow(gamma) * cross_entropy(logits, target, label_smoothing, alpha)


def generalized_cross_entropy(logits: Tensor, target: Tensor, q: float) -> Tensor:
    r"""$\sum_c t_c (1 - p_c^q) / q$ for each row, `[N]`. Bounded by $1/q$, so a wrong label can pull only so hard.

    $q \to 0$ is cross entropy in nats (and taken as such at 0), $q = 1$ is $1 - p_t$.

    Source: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", eq. 6.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        q: between 0 and 1.
    """
    if q == 0:
        return cross_entropy(logits, target)
    cost = -torch.expm1(q * torch.log_softmax(logits, dim=-1)) / q
    return (target_probabilities(target, logits) * cost).sum(dim=-1)


def symmetric_cross_entropy(logits: Tensor, target: Tensor, alpha: float, beta: float, log_zero: float) -> Tensor:
    r"""$\alpha\,\mathrm{CE} + \beta\,\mathrm{RCE}$ for each row, `[N]`, with $\mathrm{RCE} = -A \sum_c t_c (1 - p_c)$.

    RCE is the cross entropy with label and prediction exchanged, $-\sum_c p_c \log q_c$ for a label $q$ of zeros and a
    one, where $\log 0$ is the number $A < 0$. It is bounded by $-A$, as generalised cross entropy is. A soft target
    stands for its votes: its cost is the mean of what each vote would cost as a row of its own.

    Source: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", eq. 6 to 8.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        alpha: factor of the cross entropy.
        beta: factor of the reverse cross entropy.
        log_zero: $A$.
    """
    others = 1 - target_probabilities(target, logits)
    miss = (others * torch.softmax(logits, dim=-1)).sum(dim=-1)
    return alpha * cross_entropy(logits, target) - beta * log_zero * miss


class CrossEntropy(WeightedLoss):
    """Cross entropy in nats, see `cross_entropy`; its minimum is the true probability (without smoothing and weights).

    The class-balanced loss of Cui et al. 2019 is `class_weight: effective`.

    Args:
        labels: names of the K classes, in the order of the logits.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weight: factor of each class by name (a class left out has 1), a list in the order of `labels`, or a rule
            that makes them from the training rows, see `arena.loss.class_weight`.
        class_weight_beta: of `effective`.
        class_weight_cap: the largest factor that a rule may give, after their mean has been made 1.
        class_weight_from_epoch: the first epoch, counted from 0, in which the factors act (deferred re-weighting).
    """

    def __init__(
        self,
        labels: list[str],
        label_smoothing: Share = 0.0,
        class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None,
        class_weight_beta: Share = 0.999,
        class_weight_cap: Positive = 10.0,
        class_weight_from_epoch: WholeNumber = 0,
    ) -> None:
        super().__init__(labels, class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch)
        self.label_smoothing = label_smoothing

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of each row, `[N]` nats."""
        return cross_entropy(logits, target, self.label_smoothing, self.class_weight)


class Focal(WeightedLoss):
    """Focal loss for K classes, see `focal`. Keeps the arg-max but not the probabilities: its minimum is too modest.

    For a true probability of 0.94 in three classes, gamma 3.5 asks for 0.625. Compare log losses only after a
    temperature has been fitted.

    Args:
        labels: names of the K classes, in the order of the logits.
        gamma: 0 gives cross entropy; the larger, the less the rows count that are already right.
        alpha: factor of each class by name (a class left out has 1), a list in the order of `labels`, or a rule that
            makes them from the training rows, see `arena.loss.class_weight`.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weight_beta: of `effective`.
        class_weight_cap: the largest factor that a rule may give, after their mean has been made 1.
        class_weight_from_epoch: the first epoch, counted from 0, in which the factors act (deferred re-weighting).
    """

    def __init__(
        self,
        labels: list[str],
        gamma: Focus = 2.0,
        alpha: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None,
        label_smoothing: Share = 0.0,
        class_weight_beta: Share = 0.999,
        class_weight_cap: Positive = 10.0,
        class_weight_from_epoch: WholeNumber = 0,
    ) -> None:
        super().__init__(labels, alpha, class_weight_beta, class_weight_cap, class_weight_from_epoch, "loss.alpha")
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Focal loss of each row, `[N]` nats."""
        return focal(logits, target, self.gamma, self.class_weight, self.label_smoothing)


class GeneralizedCrossEntropy(Loss):
    """Generalised cross entropy for noisy labels, see `generalized_cross_entropy`. Not to be combined with focal.

    Args:
        labels: names of the K classes, in the order of the logits.
        q: 0 is cross entropy, 1 the share of wrong probability; between them, robustness against speed of learning.
    """

    def __init__(self, labels: list[str], q: Share = 0.7) -> None:
        super().__init__(labels)
        self.q = q

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Generalised cross entropy of each row, `[N]`; nats only in the limit of q = 0."""
        return generalized_cross_entropy(logits, target, self.q)


class SymmetricCrossEntropy(Loss):
    """Cross entropy with its reverse for noisy labels, see `symmetric_cross_entropy`.

    The authors' alpha is 0.1 for ten classes and 6 for a hundred: little cross entropy where labels are poor, much
    where there is much to learn.

    Args:
        labels: names of the K classes, in the order of the logits.
        alpha: factor of the cross entropy.
        beta: factor of the reverse cross entropy.
        log_zero: the negative number that stands for log 0 in it.

    Raises:
        UsageError: `log_zero` is not negative, or both factors are 0.
    """

    def __init__(
        self, labels: list[str], alpha: NonNegative = 0.1, beta: NonNegative = 1.0, log_zero: float = -4.0
    ) -> None:
        super().__init__(labels)
        if log_zero >= 0:
            raise UsageError(f"loss.log_zero={log_zero}: a negative number is needed")
        if alpha == beta == 0:
            raise UsageError(
                "loss.alpha=0 and loss.beta=0: nothing would be learned; one of them must be greater than 0"
            )
        self.alpha, self.beta, self.log_zero = alpha, beta, log_zero

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Symmetric cross entropy of each row, `[N]`; nats only for alpha 1 and beta 0."""
        return symmetric_cross_entropy(logits, target, self.alpha, self.beta, self.log_zero)
