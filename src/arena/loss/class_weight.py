"""Factors of the classes: given, or made from how many rows each class has; at once, or from a later epoch on."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share, WholeNumber
from arena.loss.base import Loss

Rule = Literal["balanced", "sqrt", "effective"]
Weights = Rule | dict[str, Positive] | list[Positive] | None
"""What constructors take; they repeat it in full, because a configuration is checked against their source."""


def class_factors(labels: list[str], factors: dict[str, Positive] | list[Positive] | None, name: str) -> Tensor | None:
    """Factors in the order of `labels`, `[K]` float32; a class that a mapping leaves out has factor 1.

    Raises:
        UsageError: an unknown class, or another number of factors than classes. `name` is the key to blame.
    """
    if factors is None:
        return None
    valid = ", ".join(labels)
    if isinstance(factors, Mapping):
        unknown = sorted(set(factors) - set(labels))
        if unknown:
            raise UsageError(f"{name}: no class {', '.join(map(repr, unknown))}; the classes are {valid}")
        return torch.tensor([float(factors.get(label, 1.0)) for label in labels])
    if len(factors) != len(labels):
        raise UsageError(f"{name}: {len(factors)} factors for {len(labels)} classes; give one for each of {valid}")
    return torch.tensor([float(factor) for factor in factors])


def class_weights(counts: Tensor, rule: Rule, beta: float = 0.999, cap: float | None = None) -> Tensor:
    r"""Compute the factors of the classes from their rows $n_c$, `[K]` float64; their mean over the rows is 1.

    `balanced`: $n / (K n_c)$, the inverse frequency. `sqrt`: $n_c^{-1/2}$. `effective`: the inverse of the effective
    number of rows, $(1 - \beta) / (1 - \beta^{n_c})$ (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number
    of Samples"); a class is worth $1 / (1 - \beta)$ rows at most, so $\beta$ = 0.9 hardly tells classes of 60
    and of 470 rows apart.

    The mean is taken over rows, $\sum_c n_c w_c = n$, so that a loss keeps its size. Over classes it would not: with
    9,900, 90 and 10 rows .0027, .30 and 2.7 have the mean 1 and shrink the loss 124 times, and no factor of K classes
    could exceed K. The cap acts afterwards: where it bites, the mean is below 1, and only factors above it change.

    Args:
        counts: rows of each class, `[K]`; a class without rows counts as one row.
        rule: see above.
        beta: of the effective number, below 1.
        cap: the largest factor that is allowed; None for no limit.
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
    """Insist on one count for each class.

    Raises:
        UsageError: another number of counts than of labels.
    """
    if counts.shape != (len(labels),):
        raise UsageError(f"{len(counts)} class counts for the {len(labels)} classes of the loss")


class WeightedLoss(Loss):
    """A loss with a factor for each class, divided by the number of rows (`arena.loss.base.mean_over_rows`).

    Factors that come from counts, and those that set in later, are kept in checkpoints as they act at that time: a
    restored model has the validation loss of the moment. Factors of the configuration that act from the start are not.

    Deferred re-weighting (Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    algorithm 1): the first epochs learn from the rows as they are, the later ones move the boundary.

    Args:
        labels: names of the K classes, in the order of the logits.
        chosen: a rule of `class_weights`, which `set_class_counts` gives the counts; the factor of each class by name
            (a class left out has 1); a list in the order of `labels`; or None for no factors.
        beta: of the rule `effective`.
        cap: the largest factor that a rule may give; given factors are taken as they are.
        from_epoch: the first epoch, counted from 0, in which the factors act.
        key: the configuration key to blame.

    Attributes:
        class_weight: the factors that act now, `[K]` float32; None for none.
    """

    class_weight: Tensor | None
    chosen_weight: Tensor | None

    def __init__(
        self,
        labels: list[str],
        chosen: Weights = None,
        beta: Share = 0.999,
        cap: Positive = 10.0,
        from_epoch: WholeNumber = 0,
        key: str = "loss.class_weight",
    ) -> None:
        super().__init__(labels)
        self.prior_source = f"class weights ({key})"
        if beta == 1:
            raise UsageError("loss.class_weight_beta=1: a number below 1 is needed")
        self.rule: Rule | None = chosen if isinstance(chosen, str) else None
        self.beta, self.cap, self.from_epoch = beta, cap, from_epoch
        factors = torch.ones(len(self.labels)) if isinstance(chosen, str) else class_factors(self.labels, chosen, key)
        later = factors is not None and from_epoch > 0
        now = torch.ones_like(factors) if factors is not None and later else factors
        self.register_buffer("class_weight", now, persistent=later or self.rule is not None)
        self.register_buffer("chosen_weight", None if factors is None else factors.clone(), persistent=False)
        self._epoch: int | None = None

    def set_class_counts(self, served: Tensor, natural: Tensor) -> Tensor:
        """Learn how many rows each class has.

        Args:
            served: rows as an epoch serves them, `[K]`.
            natural: rows as they are, `[K]`, from which a rule makes the factors.

        Returns:
            The rows of each class at which the model's logits should start, `[K]`: those served.

        Raises:
            UsageError: another number of classes than `labels`.
        """
        check_counts(natural, self.labels)
        if self.rule is not None and self.chosen_weight is not None and self.class_weight is not None:
            self.chosen_weight.copy_(class_weights(natural, self.rule, self.beta, self.cap))
            if not self.from_epoch:
                self.class_weight.copy_(self.chosen_weight)
        return served

    def at(self, epoch: int, progress: float) -> None:
        """Let the factors act from their epoch on.

        Args:
            epoch: counted from 0.
            progress: share of the training that is done, 0 to 1.
        """
        if not self.from_epoch or epoch == self._epoch:
            return
        self._epoch = epoch
        if self.class_weight is not None and self.chosen_weight is not None:
            acting = self.chosen_weight if epoch >= self.from_epoch else torch.ones_like(self.chosen_weight)
            self.class_weight.copy_(acting)

    def prior_factors(self) -> Tensor | None:
        """The factors once they act, `[K]`: rows of class c that count w times are w times as many."""
        return self.chosen_weight
