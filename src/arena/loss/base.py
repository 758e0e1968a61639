"""What every loss over classes has in common: which rows count, the reduction, the link function."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, LossOutput, TextBatch, precise


def has_target(target: Tensor) -> Tensor:
    """Which rows can be learned from, `[N]` bool.

    Args:
        target: class indices `[N]`, `UNLABELLED` where unknown, or probabilities `[N, K]`, NaN or all zero there.
    """
    if not target.is_floating_point():
        return target != UNLABELLED
    total = target.sum(dim=-1)
    return torch.isfinite(total) & (total > 0)


def target_probabilities(target: Tensor, like: Tensor) -> Tensor:
    """The target as probabilities `[N, K]` in the type of the logits `like`; indices become one-hot rows."""
    if target.is_floating_point():
        return target.to(like.dtype)
    return nn.functional.one_hot(target, like.shape[-1]).to(like.dtype)


def mean_over_rows(rows: Tensor, weight: Tensor, active: Tensor, n: int) -> Tensor:
    r"""$\frac{1}{n}\sum_i w_i \ell_i$ over the active rows, in nats.

    Divided by the number of rows and not by the sum of the weights: the sum changes from batch to batch with the
    classes that happen to be in it, so a rare class would get its weight back as a smaller step exactly where it
    occurs, accumulated micro-batches would disagree with one large batch, and the mean of an epoch would not be the
    mean of its batches. Dividing by `n`, weight 2 is the same as the row occurring twice in the sum.

    Args:
        rows: loss of each row `[N]`.
        weight: weight of each row `[N]`.
        active: rows that count `[N]` bool; the others give exactly 0.
        n: number of supervised rows; 0 gives a zero that is still attached to the graph.
    """
    return torch.where(active, weight.to(rows.dtype) * rows, 0.0).sum() / max(n, 1)


class Loss(nn.Module):
    """A loss over K classes and its link function. Subclasses say what one row costs.

    Everything is computed in float32, whatever the logits come in (float64 stays float64, for gradient checks): in
    bfloat16 the difference of two logits near 100 has steps of a half.

    Args:
        labels: names of the K classes, in the order of the logits.

    Attributes:
        uses_teacher: whether the loss learns from `TextBatch.teacher`; the others refuse a batch that has one.
        prior_source: what `prior_factors` come from, in words for a person.
    """

    uses_teacher = False
    prior_source = ""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self.labels = list(labels)

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each row in nats before row weights, `[N]`: what a subclass defines.

        Args:
            logits: `[N, K]`, float32 or float64.
            target: class indices `[N]` or probabilities `[N, K]`, usable in every row.
        """
        raise NotImplementedError

    def training_rows(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """What each row costs in training, `[N]`: that of `rows`, unless training asks for more than the label.

        Args: as `rows`.
        """
        return self.rows(logits, batch)

    def rows(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """Loss of each row in nats before row weights, `[N]` float32; NaN where there is no target.

        Args:
            logits: `[N, K]`, any floating type.
            batch: target `[N]` or `[N, K]`.

        Raises:
            UsageError: the model has another number of classes than `labels`.
        """
        return self._each(self.cost, logits, batch)

    def _each(self, cost: Callable[[Tensor, Tensor], Tensor], logits: Tensor, batch: TextBatch) -> Tensor:
        """`cost` of the rows that have a target, `[N]` float32; NaN in the others."""
        if logits.shape[-1] != len(self.labels):
            raise UsageError(
                f"the model gives {logits.shape[-1]} logits per row but the loss has {len(self.labels)} classes "
                f"({', '.join(self.labels)}): set the model's number of classes from data.labels"
            )
        known = has_target(batch.target)
        column = known.unsqueeze(-1) if batch.target.is_floating_point() else known
        target = torch.where(column, batch.target, torch.zeros_like(batch.target))
        # Not masked by 0 * x: with x not finite that is NaN, in the backward pass too.
        return torch.where(known, cost(at_least_float32(logits), target), torch.nan)

    def forward(self, logits: Tensor, batch: TextBatch) -> LossOutput:
        """The mean loss over the supervised rows of a batch.

        Rows without a target (`UNLABELLED`, a NaN or zero row of probabilities, or weight 0) give exactly 0 and no
        gradient, even where their logits are not finite.

        Args:
            logits: `[N, K]`, any floating type.
            batch: target `[N]` or `[N, K]`, weight `[N]`, and the number of supervised rows.

        Raises:
            UsageError: the model has another number of classes than `labels`, or there is a teacher that this loss
                would not listen to.
        """
        if not self.uses_teacher:
            refuse_teacher(self, batch)
        active = has_target(batch.target) & (batch.weight != 0)
        rows = self.training_rows(torch.where(active.unsqueeze(-1), logits, 0.0), batch)
        return LossOutput(mean_over_rows(rows, batch.weight, active, batch.supervised), batch.supervised, {})

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, K]` float32 of the classes: the softmax of the logits."""
        return torch.softmax(logits.float(), dim=-1)

    def per_example_outputs(self, logits: Tensor, batch: TextBatch) -> dict[str, Tensor]:
        """What is kept of each row to be judged: `probabilities` `[N, K]`, `log_probabilities` (float64),
        `target` and `loss` `[N]` (`rows`)."""
        return class_outputs(self, logits, batch)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of what `predict` gives, `[N, K]` float32, or float64 for such logits."""
        return torch.log_softmax(at_least_float32(logits), dim=-1)

    def prior_factors(self) -> Tensor | None:
        """By how much the loss multiplies the prior of each class in training, `[K]`; None where it does not.

        Training from rows with the shares q and these factors w is, at the minimum, training from rows with shares in
        proportion to q w. `set_class_counts` must have run.
        """
        return None


def class_outputs(loss: Any, logits: Tensor, batch: TextBatch) -> dict[str, Tensor]:
    """See `Loss.per_example_outputs`; for every loss over classes, of several heads as well."""
    return {
        "probabilities": loss.predict(logits).float(),
        "log_probabilities": loss.log_probabilities(precise(logits)),
        "target": batch.target,
        "loss": loss.rows(logits, batch),
    }


def refuse_teacher(loss: nn.Module, batch: TextBatch) -> None:
    """Insist that a batch for a loss that does not listen to a teacher has none.

    Raises:
        UsageError: it has one.
    """
    if batch.teacher is not None:
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(loss).__name__).lower()
        raise UsageError(f"data.teacher is given but loss={name} does not use it; choose loss=distillation")


def at_least_float32(logits: Tensor) -> Tensor:
    """The logits as float32, or as float64 where they are that."""
    return logits if logits.dtype == torch.float64 else logits.float()
