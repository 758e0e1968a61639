"""Losses that give cross entropy another shape: self-adjusting dice, asymmetric focusing, Poly-1."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import Focus, NonNegative, Positive, Share
from arena.core.shapes import Float, Target
from arena.loss.base import Loss, target_probabilities
from arena.loss.class_weight import WeightedLoss


def others_of(probabilities: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
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
    calibrated, and the value is in no unit. The factor turns the term of the label round at $p = 1 / (1 + \alpha)$,
    beyond which it pays to be less sure; at $\alpha = 1$, which the paper writes about, a row of two classes costs as
    much when it is surely wrong as when it is surely right. Keep $\alpha$ small: the authors' experiments have 0.01,
    where that point is at 0.99.

    Source: Li et al. 2020, "Dice Loss for Data-imbalanced NLP Tasks", for each row by itself. The authors' code
    adds the denominators of a whole batch, so that the loss of a row depends on its neighbours; here it does not.

    Args:
        power: $\alpha$.
        smooth: $\gamma$, added above and below, so that classes that are not the label count too.
    """

    power: NonNegative = 0.01
    smooth: Positive = 1.0

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the dice loss."""
        t, p = target_probabilities(target, logits), torch.softmax(logits, dim=-1)
        u = others_of(p).pow(self.power) * p
        return (1 - (2 * u * t + self.smooth) / (u + t + self.smooth)).sum(dim=-1)


@dataclass(eq=False, repr=False)
class Asymmetric(Loss):
    r"""Asymmetric focusing for a single label: $-\sum_c q_c f_c \log p_c$ with $q = (1 - \epsilon) t + \epsilon / K$.

    $f$ is $(1 - p_c)^{\gamma^+}$ for the label, else $p_c^{\gamma^-}$. The probability of a class that is not the label
    enters through its share of the smoothing only: without smoothing $\gamma^-$ does nothing, and with $\gamma^+ = 0$
    too this is cross entropy. A soft target stands for its votes: its cost is the mean of what each vote would cost as
    a row of its own.

    Source: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", in the form for a single label that
    the authors and timm give.

    Args:
        gamma_positive: $\gamma^+$; the larger, the less the rows count that are already right.
        gamma_negative: $\gamma^-$; the larger, the less the smoothing of the other classes counts.
        label_smoothing: $\epsilon$.
    """

    gamma_positive: Focus = 1.0
    gamma_negative: Focus = 4.0
    label_smoothing: Share = 0.1

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the asymmetric loss."""
        t, log_p = target_probabilities(target, logits), torch.log_softmax(logits, dim=-1)
        p, spread = log_p.exp(), self.label_smoothing / logits.shape[-1]
        right = (1 - self.label_smoothing + spread) * others_of(p).pow(self.gamma_positive)
        wrong = spread * p.clamp_min(torch.finfo(p.dtype).tiny).pow(self.gamma_negative)
        return -((t * right + (1 - t) * wrong) * log_p).sum(dim=-1)


@dataclass(eq=False, repr=False, kw_only=True)
class Poly(WeightedLoss):
    r"""Poly-1 loss: $\sum_c w_c q_c (-\log p_c + \epsilon (1 - p_c))$, an expansion of cross entropy.

    $q$ is the target with label smoothing, in both terms (as timm has it). Its minimum is surer than the true
    probability for $\epsilon > 0$: fit a temperature.

    Source: Leng et al. 2022, "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions".

    Args:
        epsilon: $\epsilon$, -1 or more; 0 is cross entropy.
        label_smoothing: Share of the target that is spread evenly over all classes.
        class_weight: See `arena.loss.class_weight.WeightedLoss`.

    Raises:
        UsageError: `epsilon` is below -1, where being surely right would cost more than being nearly so.
    """

    epsilon: float = 1.0
    label_smoothing: Share = 0.0
    class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon < -1:
            raise UsageError(f"loss.epsilon={self.epsilon}: a number from -1 on is needed")

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the Poly-1 loss."""
        smoothing, classes = self.label_smoothing, logits.shape[-1]
        q = (1 - smoothing) * target_probabilities(target, logits) + smoothing / classes
        if self.acting_weight is not None:
            q = q * self.acting_weight.to(logits.dtype)
        log_p = torch.log_softmax(logits, dim=-1)
        return (q * (self.epsilon * others_of(log_p.exp()) - log_p)).sum(dim=-1)
