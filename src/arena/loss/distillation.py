"""Distillation: learning from another model's probabilities beside the label."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.schema import Positive, Share
from arena.core.shapes import Float, Target
from arena.loss.base import Loss
from arena.loss.classification import cross_entropy

log = logging.getLogger("arena")


def divergence_from_teacher(
    logits: Float[Tensor, "N K"], teacher: Float[Tensor, "N K"], temperature: float
) -> Float[Tensor, " N"]:
    r"""Compute $T^2\,\mathrm{KL}(q_T \,\|\, p_T)$ of each row in nats, $q_T \propto q^{1/T}$, $p_T =
    \mathrm{softmax}(z / T)$.

    The larger $T$, the more the classes count that the teacher finds unlikely (its $q$ may hold zeros). $T^2$ makes up
    for the gradient, which shrinks as $1/T^2$.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
    """
    softened = torch.softmax(teacher.to(logits.dtype).log() / temperature, dim=-1)
    student = torch.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student, softened, reduction="none").sum(dim=-1)


@dataclass(eq=False, repr=False)
class Distillation(Loss):
    r"""$(1 - \lambda)\,\mathrm{CE} + \lambda\,T^2\,\mathrm{KL}$ to a teacher, see `divergence_from_teacher`.

    Rows for which `TextBatch.teacher` is NaN, and batches without one, cost the cross entropy of the label in full,
    which is also what is reported (`rows`).

    Args:
        share: $\lambda$; 0 is cross entropy with the label, 1 uses the teacher only.
        temperature: $T$; 1 compares the probabilities as they are.
    """

    share: Share = 0.5
    temperature: Positive = 1.0

    uses_teacher = True
    _warned = False

    def cost(self, logits: Float[Tensor, "N K"], target: Target) -> Float[Tensor, " N"]:
        """Compute the cross entropy with the label."""
        return cross_entropy(logits, target)

    def training_cost(
        self, logits: Float[Tensor, "N K"], target: Target, teacher: Float[Tensor, "N K"] | None
    ) -> Float[Tensor, " N"]:
        """Compute the cost of label and teacher; warns once where there is no teacher."""
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
