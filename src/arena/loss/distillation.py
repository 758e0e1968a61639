"""Learning from another model's probabilities beside the label."""

import logging

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.schema import Positive, Share
from arena.core.types import LossOutput, TextBatch
from arena.loss.base import Loss, at_least_float32
from arena.loss.classification import cross_entropy

log = logging.getLogger("arena")


def divergence_from_teacher(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    r"""$T^2\,\mathrm{KL}(q_T \,\|\, p_T)$ for each row, `[N]` nats, with $q_T \propto q^{1/T}$, $p_T =
    \mathrm{softmax}(z / T)$.

    The larger $T$, the more the classes count that the teacher thinks unlikely. $T^2$ makes up for the gradient, which
    shrinks as $1/T^2$.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.

    Args:
        logits: $z$, `[N, K]`.
        teacher: $q$, probabilities `[N, K]`; zeros are allowed.
        temperature: $T$.
    """
    softened = torch.softmax(teacher.to(logits.dtype).log() / temperature, dim=-1)
    student = torch.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student, softened, reduction="none").sum(dim=-1)


class Distillation(Loss):
    r"""$(1 - \lambda)\,\mathrm{CE} + \lambda\,T^2\,\mathrm{KL}$ to a teacher, see `divergence_from_teacher`.

    Rows for which `TextBatch.teacher` is NaN, and batches without one, cost the cross entropy of the label in full.
    `rows` is always that: what is reported is about labels.

    Args:
        labels: names of the K classes, in the order of the logits.
        share: $\lambda$, 0 is cross entropy with the label, 1 listens to the teacher only.
        temperature: $T$; 1 compares the probabilities as they are.
    """

    uses_teacher = True

    def __init__(self, labels: list[str], share: Share = 0.5, temperature: Positive = 1.0) -> None:
        super().__init__(labels)
        self.share, self.temperature = share, temperature
        self._said = False

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of each row in nats, `[N]`."""
        return cross_entropy(logits, target)

    def training_rows(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """Cost of label and teacher of each row, `[N]` nats."""
        label = self.rows(logits, batch)
        if batch.teacher is None:
            return label
        taught = torch.isfinite(batch.teacher).all(dim=-1)
        # A row of NaN would reach the gradient of the others through the product with 0.
        teacher = torch.where(taught.unsqueeze(-1), batch.teacher, 1.0)
        divergence = divergence_from_teacher(at_least_float32(logits), teacher, self.temperature)
        return torch.where(taught, (1 - self.share) * label + self.share * divergence, label)

    def forward(self, logits: Tensor, batch: TextBatch) -> LossOutput:
        """As `Loss.forward`; says once where nobody teaches."""
        if batch.teacher is None and not self._said:
            self._said = True
            log.warning("loss=distillation without a teacher is cross entropy; give data.teacher=FILE")
        return super().forward(logits, batch)
