"""Distillation: learning from another model's probabilities beside the label."""

import logging
from dataclasses import dataclass

import torch
from torch.nn import functional

from arena.core.schema import Positive, Share
from arena.core.shapes import PerClass, PerRow, Target
from arena.loss.base import Loss
from arena.loss.classification import cross_entropy

log = logging.getLogger("arena")


def divergence_from_teacher(logits: PerClass, teacher: PerClass, temperature: float) -> PerRow:
    r"""Compute $T^2\,\mathrm{KL}(q_T \,\|\, p_T)$ in nats, $q_T \propto q^{1/T}$, $p_T = \mathrm{softmax}(z / T)$.

    The larger $T$, the more the classes count that the teacher finds unlikely. $T^2$ makes up for the gradient, which
    shrinks as $1/T^2$. Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section
    2.
    """
    softened = torch.softmax(teacher.to(logits.dtype).log() / temperature, dim=-1)
    student = torch.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student, softened, reduction="none").sum(dim=-1)


@dataclass(eq=False, repr=False)
class Distillation(Loss):
    r"""$(1 - \lambda)\,\mathrm{CE} + \lambda\,T^2\,\mathrm{KL}$ to a teacher, see `divergence_from_teacher`.

    Rows without a teacher (NaN) cost the cross entropy of the label in full, which is also what is reported (`rows`).
    """

    share: Share = 0.5
    temperature: Positive = 1.0

    uses_teacher = True
    _warned = False

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        return cross_entropy(logits, target)

    def training_cost(self, logits: PerClass, target: Target, teacher: PerClass | None) -> PerRow:
        label = self.cost(logits, target)
        if teacher is None:
            if not self._warned:
                self._warned = True
                log.warning("loss=distillation without a teacher is cross entropy; give data.teacher=FILE")
            return label
        known = torch.isfinite(teacher).all(dim=-1)
        # A row of NaN would reach the gradient of the others through the product with 0.
        safe = torch.where(known.unsqueeze(-1), teacher, 1.0)
        divergence = divergence_from_teacher(logits, safe, self.temperature)
        return torch.where(known, (1 - self.share) * label + self.share * divergence, label)
