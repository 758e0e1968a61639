"""One loss for several heads: each head has a loss of its own, and the heads are weighed against each other."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from arena.core.closest import closest
from arena.core.errors import UsageError
from arena.core.heads import Heads, Labels
from arena.core.schema import NonNegative, check_arguments
from arena.core.shapes import Bool, Float, PerRow
from arena.core.types import LossOutput, TextBatch
from arena.loss.base import Loss, check_width, has_target, mean_over_rows, refuse_teacher
from arena.loss.class_weight import check_counts
from arena.loss.classification import CrossEntropy
from arena.loss.multi_task import RDrop, TaskWeights, symmetric_divergence


class MultiHead(Loss):
    r"""$\frac{1}{n} \sum_i \sum_h w_h f_h \ell_{ih}$ over the rows with a label, plus R-Drop where it is asked for.

    $\ell_{ih}$ is the loss of head h on row i, 0 where the head has no label there. $f_h$ is how many labelled rows the
    head with the most has for each one of head h (from the training rows as they are, kept in checkpoints), so that
    heads of which labels are missing weigh as much as the others, and the mean over rows stays exact for unequal
    batches.
    """

    def __init__(
        self,
        labels: Labels,
        head: Callable[..., Loss] = CrossEntropy,
        overrides: dict[str, Any] | None = None,
        task_weights: dict[str, NonNegative] | None = None,
        weighting: Literal["fixed", "uncertainty", "dynamic"] = "fixed",
        normalise: bool = False,
        rdrop: dict[str, NonNegative] | None = None,
    ) -> None:
        self.heads = Heads(labels)
        super().__init__(self.heads.columns)
        own, fixed = overrides or {}, task_weights or {}
        for key, given in (("loss.overrides", own), ("loss.task_weights", fixed)):
            for name in given:
                if name not in self.heads.names:
                    raise UsageError(f"{key}.{name}: no such head{closest(name, self.heads.names)}")
        self.losses = nn.ModuleList(
            _made(f"loss.overrides.{name}", head, own.get(name) or {}, classes)
            for name, classes in self.heads.classes.items()
        )
        self.weights = TaskWeights([float(fixed.get(name, 1)) for name in self.heads.names], weighting)
        self.normalise = normalise
        self.rdrop = RDrop(rdrop)
        self.head_factor = nn.Buffer(torch.ones(len(self.heads)))

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Float[Tensor, " C"]:
        """Set the factors of the heads and their losses' class counts, see `WeightedLoss.set_class_counts`; `[C]`."""
        check_counts(natural, self.labels)
        check_counts(sampled, self.labels)
        starts, factors = [], []
        labelled = [natural[where].double().sum() for where in self.heads.slices.values()]
        for (loss, where), rows in zip(self._losses(), labelled, strict=True):
            drawn, rest = sampled[where], natural[where]
            start = loss.set_class_counts(drawn, rest) if hasattr(loss, "set_class_counts") else drawn
            starts.append(start.double())
            factor = max(labelled) / rows if rows > 0 else torch.tensor(1.0, dtype=torch.float64)
            shares = (drawn.double() + 1) / (drawn.double() + 1).sum()
            factors.append(factor / -(shares * shares.log()).sum() if self.normalise else factor)
        self.head_factor.copy_(torch.stack(factors))
        return torch.cat(starts)

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Raise a `UsageError` where the node `data` of the configuration lacks what R-Drop needs."""
        self.rdrop.check(data.get("copies", 1))

    def at(self, epoch: int, progress: float) -> None:
        """Set deferred factors, dynamic weights and the warm-up of R-Drop."""
        self.rdrop.progress = progress
        self.weights.at(epoch)
        for loss in self.losses:
            if hasattr(loss, "at"):
                loss.at(epoch, progress)  # pyright: ignore[reportCallIssue]

    def rows(self, logits: Float[Tensor, "N C"], batch: TextBatch, training: bool = False) -> PerRow:
        """Compute the weighted sum of the heads' losses of each row; NaN where no head has a label."""
        labelled = self._labelled(logits, batch)
        rows = self.weights(self._costs(logits, batch, labelled, training) * self.head_factor)
        return torch.where(labelled.any(dim=-1), rows, torch.nan)

    def forward(self, logits: Float[Tensor, "N C"], batch: TextBatch) -> LossOutput:
        """Compute the mean loss over the rows of a batch that have a label.

        A head without a label in a row, and all heads of a row of weight 0, give exactly 0 and no gradient (but that of
        R-Drop), even where their logits are not finite. Raises a `UsageError` as `Loss.forward`, and for R-Drop that
        cannot work.
        """
        refuse_teacher(self, batch)
        labelled = self._labelled(logits, batch) & (batch.weight != 0).unsqueeze(-1)
        active = labelled.any(dim=-1)
        costs = self._costs(logits, batch, labelled, training=True)
        loss = mean_over_rows(self.weights(costs * self.head_factor), batch.weight, active, batch.supervised)
        sums, counts = costs.detach().sum(dim=0), labelled.sum(dim=0)
        if self.training:
            self.weights.observe(sums, counts)
        means = sums / counts  # NaN for a head without a label in this batch
        named = self.heads.names if self.heads.named else []
        parts = {f"loss_{name}": means[place] for place, name in enumerate(named)}
        if self.weights.weighting != "fixed":
            parts |= {f"weight_{name}": self.weights.acting()[place] for place, name in enumerate(named)}
        if self.training and self.rdrop.alpha:
            divergence = self._divergence(logits, batch, active)
            loss = loss + self.rdrop.factor * divergence
            parts["rdrop"] = divergence.detach()
        return LossOutput(loss, batch.supervised, parts)

    def predict(self, logits: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        """Compute the probabilities, float32, which sum to 1 within each head."""
        return torch.cat([loss.predict(logits[..., where]) for loss, where in self._losses()], dim=-1)

    def log_probabilities(self, logits: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        """Compute the logarithms of the predicted probabilities."""
        return torch.cat([loss.log_probabilities(logits[..., where]) for loss, where in self._losses()], dim=-1)

    def prior_factors(self) -> Float[Tensor, " C"] | None:
        """Join the `prior_factors` of the heads, 1 in heads that have none; None if no head has."""
        found = [loss.prior_factors() for loss, _ in self._losses()]
        if all(each is None for each in found):
            return None
        ones = self.head_factor.new_ones
        pairs = zip(found, self.heads.sizes, strict=True)
        return torch.cat([ones(size) if each is None else each for each, size in pairs])

    @property
    def prior_source(self) -> dict[str, str]:
        """Origin of the factors of each head, for messages."""
        return {name: loss.prior_source for name, (loss, _) in zip(self.heads.names, self._losses(), strict=True)}

    def _losses(self) -> list[tuple[Any, slice]]:
        """The loss of each head, and the place of its classes among the C."""
        return list(zip(self.losses, self.heads.slices.values(), strict=True))

    def _target(self, batch: TextBatch, place: int) -> Tensor:
        return batch.target[:, place] if self.heads.named else batch.target

    def _labelled(self, logits: Tensor, batch: TextBatch) -> Bool[Tensor, "N T"]:
        check_width(logits, self.labels)
        return torch.stack([has_target(self._target(batch, place)) for place in range(len(self.heads))], dim=-1)

    def _costs(
        self, logits: Float[Tensor, "N C"], batch: TextBatch, labelled: Bool[Tensor, "N T"], training: bool
    ) -> Float[Tensor, "N T"]:
        """Compute the cost of each head on each row; exactly 0 and without gradient where it has no label."""
        costs = []
        for place, (loss, where) in enumerate(self._losses()):
            known = labelled[:, place]
            safe = torch.where(known.unsqueeze(-1), logits[:, where], 0.0)
            rows = loss.rows(safe, replace(batch, target=self._target(batch, place)), training)
            costs.append(torch.where(known, rows, 0.0))
        return torch.stack(costs, dim=-1)

    def _divergence(
        self, logits: Float[Tensor, "N C"], batch: TextBatch, active: Bool[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """Compute the mean over rows of the weighted divergence between the two copies of each row, nats."""
        self.rdrop.check(batch.copies)
        half = len(batch) // 2
        logs = self.log_probabilities(torch.where(active.unsqueeze(-1), logits, 0.0))
        pairs = self.heads.split(logs).values()
        each = torch.stack([symmetric_divergence(part[:half], part[half:]) for part in pairs], dim=-1)
        rows = (each * self.weights.acting().to(each.dtype)).sum(dim=-1)
        mean = mean_over_rows(rows, batch.weight[:half], active[:half], batch.supervised // 2)
        self.rdrop.watch(mean, batch.supervised)
        return mean


def _made(key: str, head: Any, own: Any, classes: list[str]) -> Loss:
    """Make the loss of one head: `own` where it makes one, else `head` with the options `own`."""
    for where, made in (("loss.head", head), (key, own)):
        if isinstance(made, nn.Module):
            raise UsageError(f"{where}: it is made for each head, with the head's labels; give {where}._partial_=true")
    if not isinstance(own, Mapping):
        return own(labels=classes)
    if own:
        made = head.func if isinstance(head, partial) else head
        check_arguments({"_target_": f"{made.__module__}.{made.__qualname__}", "_partial_": True, **own}, key)
    return head(labels=classes, **own)
