"""Class weights: given, or made from the class counts; from the first epoch on, or deferred."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share, WholeNumber
from arena.core.shapes import Float
from arena.loss.base import Loss

Rule = Literal["balanced", "sqrt", "effective"]


def class_factors(
    labels: list[str], factors: dict[str, Positive] | list[Positive] | None, key: str
) -> Float[Tensor, " K"] | None:
    """Put given factors into the order of `labels`; a class that a mapping leaves out has factor 1."""
    if factors is None:
        return None
    valid = ", ".join(labels)
    if isinstance(factors, Mapping):
        unknown = sorted(set(factors) - set(labels))
        if unknown:
            raise UsageError(f"{key}: no class {', '.join(map(repr, unknown))}; the classes are {valid}")
        return torch.tensor([float(factors.get(label, 1.0)) for label in labels])
    if len(factors) != len(labels):
        raise UsageError(f"{key}: {len(factors)} factors for {len(labels)} classes; give one for each of {valid}")
    return torch.tensor([float(factor) for factor in factors])


def class_weights(counts: Tensor, rule: Rule, beta: float = 0.999, cap: float | None = None) -> Float[Tensor, " K"]:
    r"""Compute class weights from the class counts $n_c$ `[K]`, float64; no rows count as one row.

    `balanced`: $n / (K n_c)$, the inverse frequency. `sqrt`: $n_c^{-1/2}$. `effective`: the inverse of the effective
    number of rows, $(1 - \beta) / (1 - \beta^{n_c})$ (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number
    of Samples"); a class is worth $1 / (1 - \beta)$ rows at most.

    The mean over rows is 1, $\sum_c n_c w_c = n$, so that a loss keeps its size: with a mean of 1 over classes, 9,900,
    90 and 10 rows would shrink it 124 times. The cap acts afterwards and changes only factors above it.
    """
    rows = counts.double().clamp_min(1)
    match rule:
        case "balanced":
            weights = rows.sum() / (len(rows) * rows)
        case "sqrt":
            weights = rows.rsqrt()
        case "effective":
            weights = (1 - beta) / (1 - beta**rows)
    weights = weights * rows.sum() / (weights * rows).sum()
    return weights if cap is None else weights.clamp_max(cap)


def check_counts(counts: Tensor, labels: list[str]) -> None:
    """Raise a `UsageError` for another number of counts than of labels."""
    if counts.shape != (len(labels),):
        raise UsageError(f"{len(counts)} class counts for the {len(labels)} classes of the loss")


@dataclass(eq=False, repr=False, kw_only=True)
class WeightedLoss(Loss):
    """A loss with a factor for each class, divided by the number of rows (`arena.loss.base.mean_over_rows`).

    A subclass has the option `class_weight` (or another one, `weight_option`): a rule of `class_weights`; the factor of
    each class by name, 1 for those left out; a list in the order of `labels`; or None. Factors that come from counts or
    set in later are kept in checkpoints as they act at that time (`acting_weight`, `[K]`).

    Deferred re-weighting (`class_weight_from_epoch`; Cao et al. 2019, "Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss", algorithm 1): the first epochs learn from the rows as they are, the later
    ones move the boundary.
    """

    class_weight_beta: Share = 0.999
    class_weight_cap: Positive = 10.0
    class_weight_from_epoch: WholeNumber = 0

    weight_option = "class_weight"

    def __post_init__(self) -> None:
        super().__post_init__()
        key = f"loss.{self.weight_option}"
        self.prior_source = f"class weights ({key})"
        if self.class_weight_beta == 1:
            raise UsageError("loss.class_weight_beta=1: a number below 1 is needed")
        given: Any = getattr(self, self.weight_option)
        by_rule = given in get_args(Rule)
        self._rule: Rule | None = given if by_rule else None
        chosen = torch.ones(len(self.labels)) if by_rule else class_factors(self.labels, given, key)
        if chosen is None:
            self.acting_weight = self.chosen_weight = None
        else:
            later = self.class_weight_from_epoch > 0
            acting = torch.ones_like(chosen) if later else chosen.clone()
            self.acting_weight = nn.Buffer(acting, persistent=later or self._rule is not None)
            self.chosen_weight = nn.Buffer(chosen, persistent=False)
        self._epoch: int | None = None
        self.register_load_state_dict_pre_hook(_under_todays_name)

    def set_class_counts(self, sampled: Tensor, natural: Tensor) -> Tensor:
        """Set the factors of a rule from the `natural` class counts of the training split, `[K]`.

        Returns the class counts at which the model's logits should start: those `sampled`, which an epoch shows.
        """
        check_counts(natural, self.labels)
        if self._rule is not None and self.chosen_weight is not None and self.acting_weight is not None:
            self.chosen_weight.copy_(class_weights(natural, self._rule, self.class_weight_beta, self.class_weight_cap))
            if not self.class_weight_from_epoch:
                self.acting_weight.copy_(self.chosen_weight)
        return sampled

    def at(self, epoch: int, progress: float) -> None:
        """Let the factors act from their epoch on; `epoch` counts from 0, `progress` is the finished share."""
        if not self.class_weight_from_epoch or epoch == self._epoch:
            return
        self._epoch = epoch
        if self.acting_weight is not None and self.chosen_weight is not None:
            later = epoch >= self.class_weight_from_epoch
            self.acting_weight.copy_(self.chosen_weight if later else torch.ones_like(self.chosen_weight))

    def prior_factors(self) -> Tensor | None:
        """Return the factors once they act, `[K]`: rows of class c that count w times are w times as many."""
        return self.chosen_weight


def _under_todays_name(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Load checkpoints in which the acting factors were called `class_weight`."""
    if f"{prefix}class_weight" in state:
        state[f"{prefix}acting_weight"] = state.pop(f"{prefix}class_weight")
