"""Losses that give cross entropy another shape: self-adjusting dice, asymmetric focusing, Poly-1."""

from typing import Literal

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import Focus, NonNegative, Positive, Share, WholeNumber
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss


def others_of(probabilities: Tensor) -> Tensor:
    """1 - p of each class as the sum of the other classes, `[N, K]`: the subtraction would round to 0 at p near 1.

    At least the smallest positive number, so that the slope of a power of it stays finite.
    """
    classes = probabilities.shape[-1]
    ones = torch.ones(classes, classes, dtype=probabilities.dtype, device=probabilities.device)
    rest = probabilities.unsqueeze(-2) * (ones - torch.eye(classes, dtype=ones.dtype, device=ones.device))
    return rest.sum(dim=-1).clamp_min(torch.finfo(probabilities.dtype).tiny)


def dice(logits: Tensor, target: Tensor, power: float, smooth: float) -> Tensor:
    r"""$\sum_c 1 - \frac{2 u_c t_c + \gamma}{u_c + t_c + \gamma}$ with $u_c = (1 - p_c)^\alpha p_c$, each row, `[N]`.

    Source: Li et al. 2020, "Dice Loss for Data-imbalanced NLP Tasks", for each row by itself. The authors' code
    adds the denominators of a whole batch, so that the loss of a row depends on its neighbours; here it does not.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        power: $\alpha$.
        smooth: $\gamma$.
    """
    t = target_probabilities(target, logits)
    p = torch.softmax(logits, dim=-1)
    u = others_of(p).pow(power) * p
    return (1 - (2 * u * t + smooth) / (u + t + smooth)).sum(dim=-1)


def asymmetric(
    logits: Tensor, target: Tensor, gamma_positive: float, gamma_negative: float, label_smoothing: float
) -> Tensor:
    r"""$-\sum_c q_c f_c \log p_c$ for each row, `[N]`: $f$ is $(1 - p_c)^{\gamma^+}$ for the label, else
    $p_c^{\gamma^-}$.

    $q = (1 - \epsilon) t + \epsilon / K$. The probability of a class that is not the label enters through its share of
    the smoothing only: without smoothing $\gamma^-$ does nothing, and with $\gamma^+ = 0$ too this is cross entropy.
    A soft target stands for its votes: its cost is the mean of what each vote would cost as a row of its own.

    Source: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", in the form for a single label that
    the authors and timm give.

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        gamma_positive: $\gamma^+$; the larger, the less the rows count that are already right.
        gamma_negative: $\gamma^-$.
        label_smoothing: $\epsilon$.
    """
    t = target_probabilities(target, logits)
    log_p = torch.log_softmax(logits, dim=-1)
    p = log_p.exp()
    spread = label_smoothing / logits.shape[-1]
    right = (1 - label_smoothing + spread) * others_of(p).pow(gamma_positive)
    wrong = spread * p.clamp_min(torch.finfo(p.dtype).tiny).pow(gamma_negative)
    return -((t * right + (1 - t) * wrong) * log_p).sum(dim=-1)


def poly(
    logits: Tensor, target: Tensor, epsilon: float, label_smoothing: float = 0.0, class_weight: Tensor | None = None
) -> Tensor:
    r"""$\sum_c w_c q_c (-\log p_c + \epsilon (1 - p_c))$ for each row, `[N]`.

    $q$ is the target with label smoothing, in both terms (as timm has it). Without it: $\mathrm{CE} + \epsilon (1 -
    p_t)$, the expansion of cross entropy in powers of $1 - p_t$ with another factor of the first one.

    Source: Leng et al. 2022, "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions".

    Args:
        logits: `[N, K]`.
        target: class indices `[N]` or probabilities `[N, K]`.
        epsilon: above 0 the model becomes surer of itself, below 0 less sure.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weight: $w$, `[K]`.
    """
    q = (1 - label_smoothing) * target_probabilities(target, logits) + label_smoothing / logits.shape[-1]
    if class_weight is not None:
        q = q * class_weight.to(logits.dtype)
    log_p = torch.log_softmax(logits, dim=-1)
    return (q * (epsilon * others_of(log_p.exp()) - log_p)).sum(dim=-1)


class Dice(Loss):
    r"""Self-adjusting dice loss, see `dice`: a surrogate of F1 in which right and sure rows stop to count.

    Not a likelihood: the probabilities are not calibrated, and the value is in no unit. The factor $(1 - p)^\alpha$
    turns the term of the label round at $p = 1 / (1 + \alpha)$, beyond which it pays to be less sure; at $\alpha = 1$,
    which the paper writes about, a row of two classes costs as much when it is surely wrong as when it is surely right.
    Keep $\alpha$ small: the authors' experiments have 0.01, where that point is at 0.99.

    Args:
        labels: names of the K classes, in the order of the logits.
        power: $\alpha$.
        smooth: $\gamma$, added above and below, so that classes that are not the label count too.
    """

    def __init__(self, labels: list[str], power: NonNegative = 0.01, smooth: Positive = 1.0) -> None:
        super().__init__(labels)
        self.power, self.smooth = power, smooth

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Dice loss of each row, `[N]`."""
        return dice(logits, target, self.power, self.smooth)


class Asymmetric(Loss):
    """Asymmetric focusing for a single label, see `asymmetric`; `gamma_negative` acts only beside label smoothing.

    Args:
        labels: names of the K classes, in the order of the logits.
        gamma_positive: focusing of the label's term, as gamma of the focal loss.
        gamma_negative: focusing of the other classes' terms, which hold the smoothing; the larger, the less they count.
        label_smoothing: share of the target that is spread evenly over all classes.
    """

    def __init__(
        self,
        labels: list[str],
        gamma_positive: Focus = 1.0,
        gamma_negative: Focus = 4.0,
        label_smoothing: Share = 0.1,
    ) -> None:
        super().__init__(labels)
        self.gamma_positive, self.gamma_negative = gamma_positive, gamma_negative
        self.label_smoothing = label_smoothing

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Asymmetric loss of each row, `[N]`."""
        return asymmetric(logits, target, self.gamma_positive, self.gamma_negative, self.label_smoothing)


class Poly(WeightedLoss):
    """Poly-1 loss, see `poly`. Its minimum is surer than the true probability for epsilon above 0: fit a temperature.

    Args:
        labels: names of the K classes, in the order of the logits.
        epsilon: factor of 1 - p of the label, -1 or more; 0 is cross entropy.
        label_smoothing: share of the target that is spread evenly over all classes.
        class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch: as in
            `arena.loss.classification.CrossEntropy`.

    Raises:
        UsageError: `epsilon` is below -1, where being surely right would cost more than being nearly so.
    """

    def __init__(
        self,
        labels: list[str],
        epsilon: float = 1.0,
        label_smoothing: Share = 0.0,
        class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None,
        class_weight_beta: Share = 0.999,
        class_weight_cap: Positive = 10.0,
        class_weight_from_epoch: WholeNumber = 0,
    ) -> None:
        super().__init__(labels, class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch)
        if epsilon < -1:
            raise UsageError(f"loss.epsilon={epsilon}: a number from -1 on is needed")
        self.epsilon, self.label_smoothing = epsilon, label_smoothing

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Poly-1 loss of each row, `[N]`."""
        return poly(logits, target, self.epsilon, self.label_smoothing, self.class_weight)
