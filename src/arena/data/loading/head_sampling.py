"""How often an epoch serves each row when rare classes are wanted more often, over several heads at once."""

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.schema import Count, NonNegative, Positive, WholeNumber, closest
from arena.data.loading.sampling import Sampler, capped_copies

log = logging.getLogger("arena")


@dataclass(frozen=True)
class HeadPlan:
    """How training rows are served: the node `data.sampling` of texts with several labels.

    A row's weight is the largest over its heads, so that a row with a rare class in one head counts as rare: the
    product would reward rows that are rare twice, the mean would drown the rare head among many others.

    Attributes:
        method: "uniform", or "balanced": the weight of class c in a head is `(n_max / n_c) ** power`.
        power: 1 gives every class of a single head the same share, 0 changes nothing.
        multipliers: weight of single classes by head, `{stance: {NONE: 2.0}}`; on top of `method`.
        max_copies: no row comes more often in an epoch than this on average.
        seed: of the draws.
    """

    method: Literal["uniform", "balanced"] = "uniform"
    power: NonNegative = 1.0
    multipliers: dict[str, dict[str, Positive]] | None = None
    max_copies: Count | None = None
    seed: WholeNumber = 0

    def check(self, heads: Heads) -> "HeadPlan":
        """The plan itself. Raises a `UsageError` for a head or class that there is not, or a factor of 0 or less."""
        for head, factors in (self.multipliers or {}).items():
            if head not in heads.classes:
                raise UsageError(f"data.multipliers.{head}: no such head{closest(head, heads.names)}")
            for label, factor in factors.items():
                if label not in heads.classes[head]:
                    near = closest(label, heads.classes[head])
                    raise UsageError(f"data.multipliers.{head}.{label}: no such class{near}")
                if not isinstance(factor, int | float) or factor <= 0:
                    raise UsageError(f"data.multipliers.{head}.{label}={factor}: a number greater than 0 is needed")
        return self

    def weights(self, target: np.ndarray, heads: Heads) -> np.ndarray | None:
        """The weight of each row before the cap, `[M]`; None where all are equal.

        Args:
            target: class index of each training row in each head, `[M, T]`, negative where it has none.
            heads: their names and classes.
        """
        weights = np.zeros(len(target))
        for place, (head, labels) in enumerate(heads.classes.items()):
            index = target[:, place]
            factor = np.ones(len(labels))
            if self.method == "balanced":
                counts = np.bincount(index[index >= 0], minlength=len(labels))
                factor = (counts.max(initial=1) / np.maximum(counts, 1)) ** self.power
            given = (self.multipliers or {}).get(head, {})
            factor = factor * [given.get(label, 1.0) for label in labels]
            weights = np.maximum(weights, np.where(index >= 0, factor[np.maximum(index, 0)], 0.0))
        return None if np.ptp(weights) == 0 else weights

    def sampler(self, rows: np.ndarray, target: np.ndarray, heads: Heads) -> Sampler:
        """The sampler of some training rows; says in the log what it makes of them.

        Args:
            rows: their positions in the table, `[M]`.
            target: class index of every row of the table in each head, `[R, T]`.
            heads: their names and classes.
        """
        weights = self.weights(target[rows], heads)
        copies = None if weights is None else capped_copies(weights, self.max_copies)
        if copies is not None:
            log.info(
                "sampling: a row comes %.2f to %.2f times an epoch; effective sample size %.0f of %d rows",
                copies.min(), copies.max(), effective_sample_size(copies), len(rows),
            )  # fmt: skip
        return Sampler(rows, len(target), copies=copies, seed=self.seed)


def effective_sample_size(weights: np.ndarray) -> float:
    r"""$(\sum w)^2 / \sum w^2$: how many equally weighted rows would give a mean of the same variance (Kish 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def served(target: np.ndarray, sampler: Sampler, heads: Heads) -> np.ndarray:
    """Rows of each class that an epoch serves on average, heads side by side, `[C]` float64.

    Args:
        target: class index of every row of the table in each head, `[R, T]`.
        sampler: of the training rows.
        heads: their names and classes.
    """
    counts = []
    for index, size in zip(target[sampler.rows].T, heads.sizes, strict=True):
        copies = np.ones(len(index)) if sampler.copies is None else sampler.copies
        counts.append(np.bincount(index[index >= 0], copies[index >= 0], minlength=size))
    return np.concatenate(counts).astype(np.float64)
