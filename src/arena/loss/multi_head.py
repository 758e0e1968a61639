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
from arena.core.types import LossOutput, TextBatch
from arena.loss.base import Loss, class_outputs, has_target, mean_over_rows, refuse_teacher
from arena.loss.class_weight import check_counts
from arena.loss.classification import CrossEntropy
from arena.loss.rdrop import RDrop, symmetric_divergence
from arena.loss.task_weight import TaskWeights


class MultiHead(nn.Module):
    r"""$\frac{1}{n} \sum_i \sum_h w_h f_h \ell_{ih}$ over the rows with a label, plus R-Drop where it is asked for.

    $\ell_{ih}$ is the loss of head h on row i, 0 where the head has no label there. $f_h$ is how many labelled rows the
    head with the most has for each one of head h (from the training rows as they are, kept in checkpoints), so that
    heads of which labels are missing weigh as much as the others, and the mean over rows stays exact for unequal
    batches.

    `head` makes the loss of a head from its labels; `overrides` gives single heads other options of that loss, or a
    loss of their own.

    Args:
        labels: classes of each head by its name; or the classes of a single classification, whose targets may then be
            indices `[N]` or probabilities `[N, K]`.
        head: makes the loss of each head (`_partial_`), called with its `labels`.
        overrides: by head, options of `head` that are different, or what makes another loss (`_partial_` too).
        task_weights: $w_h$ of each head by name; 1 for those left out.
        weighting: `fixed`: these; `uncertainty`: times $e^{-s_h}$ with learned $s_h$ and $w_h s_h / 2$ added (Kendall
            et al. 2018); `dynamic`: times the dynamic weight average of the last two epochs (Liu et al. 2019), see
            `arena.loss.task_weight`.
        normalise: divide the loss of each head by the entropy of its training shares, so that a cross entropy starts
            at 1 whatever the classes.
        rdrop: `alpha` and `warmup`, see `arena.loss.rdrop.RDrop`; needs two copies of each row in training, and acts on
            all heads of rows with any label, with the heads' weights.

    Raises:
        UsageError: a head or an option that does not exist, in `overrides` or `task_weights`.
    """

    head_factor: Tensor

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
        super().__init__()
        self.heads = Heads(labels)
        own = overrides or {}
        _check_names("loss.overrides", own, self.heads)
        _check_names("loss.task_weights", task_weights or {}, self.heads)
        self.losses = nn.ModuleList(
            _made(f"loss.overrides.{name}", head, own.get(name) or {}, classes)
            for name, classes in self.heads.classes.items()
        )
        self.weights = TaskWeights([float((task_weights or {}).get(name, 1)) for name in self.heads.names], weighting)
        self.normalise = normalise
        self.rdrop = RDrop(rdrop)
        self.register_buffer("head_factor", torch.ones(len(self.heads)))

    def set_class_counts(self, served: Tensor, natural: Tensor) -> Tensor:
        """Learn how many rows each class of each head has.

        Args:
            served: rows as an epoch serves them, `[C]`.
            natural: rows as they are, `[C]`.

        Returns:
            The rows of each class at which the heads' logits should start, `[C]`.

        Raises:
            UsageError: another number of counts than of classes.
        """
        check_counts(natural, self.heads.columns)
        check_counts(served, self.heads.columns)
        starts, factors = [], []
        labelled = [natural[where].double().sum() for where in self.heads.slices.values()]
        for loss, rows, where in zip(self._losses(), labelled, self.heads.slices.values(), strict=True):
            start = (
                loss.set_class_counts(served[where], natural[where])
                if hasattr(loss, "set_class_counts")
                else served[where]
            )
            starts.append(start.double())
            factor = max(labelled) / rows if rows > 0 else torch.tensor(1.0, dtype=torch.float64)
            shares = (served[where].double() + 1) / (served[where].double() + 1).sum()
            entropy = -(shares * shares.log()).sum()
            factors.append(factor / entropy if self.normalise else factor)
        self.head_factor.copy_(torch.stack(factors))
        return torch.cat(starts)

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Hold the node `data` of the configuration against what this loss will need of a batch.

        Raises:
            UsageError: R-Drop without two copies of each row.
        """
        self.rdrop.check(data.get("copies", 1))

    def at(self, epoch: int, progress: float) -> None:
        """Learn where training stands: deferred factors, dynamic weights and the warm-up of R-Drop follow it.

        Args:
            epoch: counted from 0.
            progress: share of the training that is done, 0 to 1.
        """
        self.rdrop.progress = progress
        self.weights.at(epoch)
        for loss in self._losses():
            if hasattr(loss, "at"):
                loss.at(epoch, progress)

    def rows(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """Weighted sum of the heads' losses of each row, `[N]`; NaN where no head has a label.

        Args:
            logits: `[N, C]`, any floating type.
            batch: target `[N, T]`, or that of a single classification.

        Raises:
            UsageError: the model has another number of classes than `labels`.
        """
        labelled = self._labelled(logits, batch)
        rows = self.weights(self._costs(logits, batch, labelled, "rows") * self.head_factor)
        return torch.where(labelled.any(dim=-1), rows, torch.nan)

    def forward(self, logits: Tensor, batch: TextBatch) -> LossOutput:
        """The mean loss over the rows of a batch that have a label; see the class.

        A head without a label in a row, and all heads of a row of weight 0, give exactly 0 and no gradient (but that of
        R-Drop), even where their logits are not finite.

        Args:
            logits: `[N, C]`, any floating type.
            batch: target `[N, T]`, weight `[N]`, and the number of rows with a label.

        Raises:
            UsageError: the model has another number of classes than `labels`; a teacher; R-Drop without two copies of
                each row, or on a model without dropout.
        """
        refuse_teacher(self, batch)
        labelled = self._labelled(logits, batch) & (batch.weight != 0).unsqueeze(-1)
        active = labelled.any(dim=-1)
        costs = self._costs(logits, batch, labelled, "training_rows")
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

    def per_example_outputs(self, logits: Tensor, batch: TextBatch) -> dict[str, Tensor]:
        """See `Loss.per_example_outputs`; `[N, C]` and `[N, T]`."""
        return class_outputs(self, logits, batch)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, C]` float32, which sum to 1 within each head: each head by its own loss."""
        split = self.heads.split(logits).values()
        return torch.cat([loss.predict(part) for loss, part in zip(self._losses(), split, strict=True)], dim=-1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of what `predict` gives, `[N, C]`."""
        split = self.heads.split(logits).values()
        return torch.cat([loss.log_probabilities(part) for loss, part in zip(self._losses(), split, strict=True)], -1)

    def prior_factors(self) -> Tensor | None:
        """`Loss.prior_factors` of each head side by side, `[C]`, 1 in heads that have none; None if no head has."""
        found = [loss.prior_factors() for loss in self._losses()]
        if all(each is None for each in found):
            return None
        sizes = self.heads.sizes
        return torch.cat(
            [self.head_factor.new_ones(size) if f is None else f for f, size in zip(found, sizes, strict=True)]
        )

    @property
    def prior_source(self) -> dict[str, str]:
        """What the factors of each head come from, in words for a person."""
        return {name: loss.prior_source for name, loss in zip(self.heads.names, self._losses(), strict=True)}

    @property
    def uses_teacher(self) -> bool:
        """No head learns from a teacher."""
        return False

    def _losses(self) -> list[Any]:
        return list(self.losses)

    def _target(self, batch: TextBatch, place: int) -> Tensor:
        return batch.target[:, place] if self.heads.named else batch.target

    def _labelled(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """Which heads have a label in which rows, `[N, T]` bool."""
        if logits.shape[-1] != self.heads.width:
            raise UsageError(
                f"the model gives {logits.shape[-1]} logits per row but the loss has {self.heads.width} classes "
                f"({', '.join(self.heads.columns)}): set the model's number of classes from data.labels"
            )
        return torch.stack([has_target(self._target(batch, place)) for place in range(len(self.heads))], dim=-1)

    def _costs(self, logits: Tensor, batch: TextBatch, labelled: Tensor, which: str) -> Tensor:
        """What each head costs on each row, `[N, T]`; exactly 0 and without gradient where it has no label."""
        costs = []
        for place, (loss, where) in enumerate(zip(self._losses(), self.heads.slices.values(), strict=True)):
            known = labelled[:, place]
            safe = torch.where(known.unsqueeze(-1), logits[:, where], 0.0)
            rows = getattr(loss, which)(safe, replace(batch, target=self._target(batch, place)))
            costs.append(torch.where(known, rows, 0.0))
        return torch.stack(costs, dim=-1)

    def _divergence(self, logits: Tensor, batch: TextBatch, active: Tensor) -> Tensor:
        """Mean over rows of the weighted divergence between the two copies of each row, nats."""
        self.rdrop.check(batch.copies)
        half = len(batch) // 2
        logs = self.log_probabilities(torch.where(active.unsqueeze(-1), logits, 0.0))
        pairs = self.heads.split(logs).values()
        each = torch.stack([symmetric_divergence(part[:half], part[half:]) for part in pairs], dim=-1)
        rows = (each * self.weights.acting().to(each.dtype)).sum(dim=-1)
        mean = mean_over_rows(rows, batch.weight[:half], active[:half], batch.supervised // 2)
        self.rdrop.watch(mean, batch.supervised)
        return mean


def _check_names(key: str, given: Mapping[str, Any], heads: Heads) -> None:
    """Insist that all keys of a mapping are heads; `key` is the configuration key to blame."""
    for name in given:
        if name not in heads.names:
            raise UsageError(f"{key}.{name}: no such head{closest(name, heads.names)}")


def _made(key: str, head: Any, own: Any, classes: list[str]) -> Loss:
    """The loss of one head: `own` where it makes one, else `head` with the options `own`."""
    for where, made in (("loss.head", head), (key, own)):
        if isinstance(made, nn.Module):
            raise UsageError(f"{where}: it is made for each head, with the head's labels; give {where}._partial_=true")
    if not isinstance(own, Mapping):
        return own(labels=classes)
    if own:
        made = head.func if isinstance(head, partial) else head
        check_arguments({"_target_": f"{made.__module__}.{made.__qualname__}", "_partial_": True, **own}, key)
    return head(labels=classes, **own)
