"""Base of the losses over classes: supervised rows, reduction and link function."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.shapes import Bool, Float, PerClass, PerRow, Target
from arena.core.types import UNLABELLED, LossOutput, TextBatch, precise


def has_target(target: Target) -> Bool[Tensor, " N"]:
    """Find the rows that can be learned from."""
    if not target.is_floating_point():
        return target != UNLABELLED
    total = target.sum(dim=-1)
    return torch.isfinite(total) & (total > 0)


def target_probabilities(target: Target, like: PerClass) -> PerClass:
    """Convert targets to probabilities in the type of the logits `like`; indices become one-hot rows."""
    if target.is_floating_point():
        return target.to(like.dtype)
    return nn.functional.one_hot(target, like.shape[-1]).to(like.dtype)


def mean_over_rows(rows: PerRow, weight: PerRow, active: Bool[Tensor, " N"], n: int) -> Float[Tensor, ""]:
    r"""Compute $\frac{1}{n}\sum_i w_i \ell_i$ over the active rows; the others give exactly 0.

    Divided by the number n of supervised rows and not by the sum of the weights, which changes from batch to batch: a
    rare class would get its weight back as a smaller step exactly where it occurs, accumulated micro-batches would
    disagree with one large batch, and the mean of an epoch would not be that of its batches. So weight 2 is the row
    twice. With n = 0 the result is a zero on the graph.
    """
    return torch.where(active, weight.to(rows.dtype) * rows, 0.0).sum() / max(n, 1)


def check_width(logits: Tensor, labels: list[str]) -> None:
    """Raise a `UsageError` where the model has another number of classes than the loss."""
    if logits.shape[-1] != len(labels):
        raise UsageError(
            f"the model gives {logits.shape[-1]} logits per row but the loss has {len(labels)} classes "
            f"({', '.join(labels)}): set the model's number of classes from data.labels"
        )


@dataclass(eq=False, repr=False)
class Loss(nn.Module):
    """A loss over K classes and its link function; a subclass defines `cost` and, as a dataclass, its options.

    Everything is computed in float32, whatever the logits come in (float64 stays, for gradient checks): in bfloat16 the
    difference of two logits near 100 has steps of a half.
    """

    labels: list[str]

    uses_teacher = False
    """True for a loss that learns from `TextBatch.teacher`; the others refuse a batch that has one."""
    prior_source = ""
    """Origin of `prior_factors`, for messages."""

    def __post_init__(self) -> None:
        super().__init__()  # not before: a dataclass sets its plain fields first, which a module allows

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        """Compute the loss of each row in nats before row weights; every target is known."""
        raise NotImplementedError

    def training_cost(self, logits: PerClass, target: Target, teacher: PerClass | None) -> PerRow:
        """Compute what training minimises, where that is not the `cost` that is reported."""
        return self.cost(logits, target)

    def rows(self, logits: PerClass, batch: TextBatch, training: bool = False) -> PerRow:
        """Compute the loss of each row in nats before row weights; NaN where there is no target."""
        check_width(logits, self.labels)
        known = has_target(batch.target)
        column = known.unsqueeze(-1) if batch.target.is_floating_point() else known
        target, logits = torch.where(column, batch.target, 0), at_least_float32(logits)
        cost = self.training_cost(logits, target, batch.teacher) if training else self.cost(logits, target)
        # Not masked by 0 * x: with x not finite that is NaN, in the backward pass too.
        return torch.where(known, cost, torch.nan)

    def forward(self, logits: PerClass, batch: TextBatch) -> LossOutput:
        """Compute the mean loss over the supervised rows of a batch.

        Rows without a target, and those of weight 0, give exactly 0 and no gradient, even where their logits are not
        finite.
        """
        refuse_teacher(self, batch)
        active = has_target(batch.target) & (batch.weight != 0)
        rows = self.rows(torch.where(active.unsqueeze(-1), logits, 0.0), batch, training=True)
        return LossOutput(mean_over_rows(rows, batch.weight, active, batch.supervised), batch.supervised, {})

    def link(self, logits: PerClass) -> PerClass:
        """Turn the model's logits into those whose softmax is predicted."""
        return logits

    def predict(self, logits: PerClass) -> PerClass:
        """Compute the probabilities of the classes, float32."""
        return torch.softmax(self.link(logits.float()), dim=-1)

    def log_probabilities(self, logits: PerClass) -> PerClass:
        """Compute the logarithms of the predicted probabilities, float32, or float64 for such logits."""
        return torch.log_softmax(self.link(at_least_float32(logits)), dim=-1)

    def per_example_outputs(self, logits: Tensor, batch: TextBatch) -> dict[str, Tensor]:
        """Compute what is kept of each row to be judged: `probabilities` and `log_probabilities` (float64) `[N, K]`,
        `target`, and `loss` `[N]` (`rows`)."""
        return {
            "probabilities": self.predict(logits).float(),
            "log_probabilities": self.log_probabilities(precise(logits)),
            "target": batch.target,
            "loss": self.rows(logits, batch),
        }

    def prior_factors(self) -> Float[Tensor, " K"] | None:
        """Return the factors by which training multiplies the prior of each class; None for none.

        Training from rows with the shares q and the factors w is, at the minimum, training from rows with shares in
        proportion to q w. `set_class_counts` must have run.
        """
        return None


def refuse_teacher(loss: Loss, batch: TextBatch) -> None:
    """Raise a `UsageError` for a batch with a teacher that the loss does not use."""
    if batch.teacher is not None and not loss.uses_teacher:
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(loss).__name__).lower()
        raise UsageError(f"data.teacher is given but loss={name} does not use it; choose loss=distillation")


def at_least_float32(logits: Tensor) -> Tensor:
    """Convert logits to float32; float64 ones stay."""
    return logits if logits.dtype == torch.float64 else logits.float()
