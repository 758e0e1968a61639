"""The training rows of an epoch: how often each comes, in which order of answers, and whether easy ones come first.

Every epoch has the same number of rows, and its draw is a function of (seed, epoch) alone: a run that was stopped goes
on with exactly the rows that would have come.
"""

import logging
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.core.schema import Count, InputPath, NonNegative, Positive, WholeNumber, closest
from arena.data.target.hardness import row_losses
from arena.data.target.labels import swap_permutation

log = logging.getLogger("arena")

SMALLEST_LOSS = 0.1
"""Share of the mean loss that every row counts for at least in "hard" sampling: what is known is not forgotten."""


@dataclass(frozen=True)
class LoaderSettings:
    """Sizes of batches, and processes that make them: the node `data.loader`; see
    `arena.data.loading.loader.BucketLoader`.

    Attributes:
        batch_size, eval_batch_size: rows in a training batch, for each process, and in a batch without gradients.
        window: batches that are sorted by length together; 1 is plain shuffling and pads most.
        num_workers: processes that make batches.
        seed: of the order of the training rows.
    """

    batch_size: Count = 32
    eval_batch_size: Count = 64
    window: Count = 100
    num_workers: WholeNumber = 0
    seed: WholeNumber = 0


@dataclass(frozen=True)
class Plan:
    """How comparisons are sampled in training: the node `data.sampling`.

    Attributes:
        swap: order of the answers in training: as in the file, both orders of every pair, or a coin for each.
        method: rows come once each, or so that classes are balanced, or more often the harder they are.
        power: how far: 0 changes nothing, 1 balances fully, or makes copies proportional to the loss.
        max_copies: no row comes more often in an epoch than this on average.
        hardness: predictions of a baseline for the training rows (csv or parquet with id and loss or probabilities).
        curriculum_epochs: epochs from easy to hard at the beginning.
        seed: of the draws.
    """

    swap: Literal["none", "both", "random"] = "none"
    method: Literal["uniform", "balanced", "hard"] = "uniform"
    power: NonNegative = 1.0
    max_copies: Count | None = None
    hardness: InputPath | None = None
    curriculum_epochs: WholeNumber = 0
    seed: WholeNumber = 0

    def check(self, labels: list[str]) -> Self:
        """The settings themselves. Raises a `UsageError` where something that they need is not given."""
        if self.swap != "none" and swap_permutation(labels) is None:
            raise UsageError(f"data.swap={self.swap}: data.labels={labels} must hold both model_a and model_b")
        if self.hardness is None and (self.method == "hard" or self.curriculum_epochs):
            ordered = f"data.curriculum_epochs={self.curriculum_epochs}"
            key = "data.sampling=hard" if self.method == "hard" else ordered
            raise UsageError(f"{key} needs data.hardness=FILE, the predictions of a baseline for the training rows")
        return self

    def sampler(self, rows: np.ndarray, ids: list[str], target: np.ndarray, labels: list[str]) -> "Sampler":
        """The sampler of the training rows at these positions of the table, `[M]`, with these ids, `[M]`, given the
        class index of every row of the table, `[R]`; raises as `row_losses`."""
        losses = copies = None
        if self.hardness is not None:
            losses = row_losses(self.hardness, ids, [labels[index] for index in target[rows]])
        if self.method == "balanced":
            copies = balanced_copies(target[rows], self.power, self.max_copies)
        elif self.method == "hard" and losses is not None:
            copies = hard_copies(losses, self.power, self.max_copies)
        return Sampler(rows, len(target), self.swap, copies, losses, self.curriculum_epochs, self.seed)


@dataclass(frozen=True)
class HeadPlan:
    """How texts with several labels are sampled in training: the node `data.sampling`.

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

    def check(self, heads: Heads) -> Self:
        """The settings themselves. Raises a `UsageError` for an unknown head or class, or a factor of 0 or less."""
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
        """The weight of each row before the cap, `[M]`, given its class index in each head, `[M, T]` (negative where it
        has none); None where all are equal."""
        weights = np.zeros(len(target))
        for index, (head, labels) in zip(target.T, heads.classes.items(), strict=True):
            given = (self.multipliers or {}).get(head, {})
            factor = np.array([given.get(label, 1.0) for label in labels])
            if self.method == "balanced":
                counts = np.bincount(index[index >= 0], minlength=len(labels))
                factor = factor * (counts.max(initial=1) / np.maximum(counts, 1)) ** self.power
            weights = np.maximum(weights, np.where(index >= 0, factor[np.maximum(index, 0)], 0.0))
        return None if np.ptp(weights) == 0 else weights

    def sampler(self, rows: np.ndarray, target: np.ndarray, heads: Heads) -> "Sampler":
        """The sampler of the training rows at these positions, `[M]`, given the class indices `[R, T]` of all rows."""
        weights = self.weights(target[rows], heads)
        copies = None if weights is None else capped_copies(weights, self.max_copies)
        if copies is not None:
            log.info(
                "sampling: a row comes %.2f to %.2f times an epoch; effective sample size %.0f of %d rows",
                copies.min(), copies.max(), effective_sample_size(copies), len(rows),
            )  # fmt: skip
        return Sampler(rows, len(target), copies=copies, seed=self.seed)


@dataclass(frozen=True)
class Sampler:
    """The rows of each epoch.

    A position p below `total` is row p of the table; p + `total` is the same row with the two answers swapped.

    Attributes:
        rows: positions of the M training rows, `[M]`.
        total: rows of the whole table.
        swap: "both" gives every row in both orders, "random" tosses a coin for each row and epoch.
        copies: how often a row comes in an epoch on average, `[M]`, mean 1; None for once each.
        difficulty: the larger, the later a row comes in the first `curriculum_epochs` epochs, `[M]`; None for no order.
        curriculum_epochs: epochs from easy to hard before the order is random.
        seed: of the draws.
    """

    rows: np.ndarray
    total: int
    swap: Literal["none", "both", "random"] = "none"
    copies: np.ndarray | None = None
    difficulty: np.ndarray | None = None
    curriculum_epochs: int = 0
    seed: int = 0

    @property
    def size(self) -> int:
        """Rows of an epoch."""
        return len(self.rows) * (2 if self.swap == "both" else 1)

    def class_counts(self, target: np.ndarray, permutation: np.ndarray | None, classes: int) -> np.ndarray:
        """Rows of each of K classes in an epoch on average, `[K]` float64, summing to M.

        Args:
            target: class index of every row of the table, `[R]`; rows with a negative one count for no class.
            permutation: class k is class `permutation[k]` once the answers are swapped, `[K]`; used with a `swap`.
        """
        index = target[self.rows]
        copies = np.ones(len(index)) if self.copies is None else self.copies
        counts = np.bincount(index[index >= 0], copies[index >= 0], minlength=classes).astype(np.float64)
        return counts if self.swap == "none" or permutation is None else (counts + counts[permutation]) / 2

    def head_class_counts(self, target: np.ndarray, heads: Heads) -> np.ndarray:
        """The same for class indices of several heads, `[R, T]`: heads side by side, `[C]`."""
        columns = zip(target.T, heads.sizes, strict=True)
        return np.concatenate([self.class_counts(index, None, size) for index, size in columns])

    def ordered(self, epoch: int) -> bool:
        """Tell whether the rows of this epoch come in an order that the loader must keep."""
        return self.difficulty is not None and epoch < self.curriculum_epochs

    def draw(self, epoch: int) -> np.ndarray:
        """Positions of this epoch, `[size]`."""
        index = np.arange(len(self.rows))
        # Other streams than that of the loader's order, which is seeded with [seed, epoch].
        if self.copies is not None:
            index = systematic(self.copies, np.random.default_rng([self.seed, epoch, 1]))
        if self.ordered(epoch) and self.difficulty is not None:
            index = index[np.argsort(self.difficulty[index], kind="stable")]
        chosen = self.rows[index]
        if self.swap == "random":
            coin = np.random.default_rng([self.seed, epoch, 2]).integers(0, 2, len(chosen))
            return chosen + self.total * coin
        if self.swap == "both":
            if self.ordered(epoch):
                return np.stack([chosen, chosen + self.total], axis=1).ravel()  # equally hard: side by side
            return np.concatenate([chosen, chosen + self.total])
        return chosen


def effective_sample_size(weights: np.ndarray) -> float:
    r"""$(\sum w)^2 / \sum w^2$: how many equally weighted rows would give a mean of the same variance (Kish 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def systematic(copies: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Indices `[M]` in which index i occurs `floor(copies[i])` or `ceil(copies[i])` times, `copies[i]` on average.

    Systematic resampling (Carpenter, Clifford and Fearnhead 1999) over a random order: far less noise than M
    independent draws, which leave out e^-1 = 37% of the rows even at equal weights.
    """
    order = draw.permutation(len(copies))
    ends = np.cumsum(copies[order])
    ends *= len(copies) / ends[-1]
    ends[-1] = len(copies)
    counts = np.diff(np.floor(np.concatenate([[0.0], ends]) + draw.random()).astype(np.int64))
    return np.sort(np.repeat(order, counts))


def balanced_copies(classes: np.ndarray, power: float = 1.0, max_copies: float | None = None) -> np.ndarray:
    """Copies of each row in an epoch so that class c has a share proportional to `n_c ** (1 - power)`, `[M]`, mean 1.

    No row comes more often than `max_copies`; the rest is shared out among the others.
    """
    _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return capped_copies(counts[index].astype(np.float64) ** -power, max_copies)


def hard_copies(loss: np.ndarray, power: float = 1.0, max_copies: float | None = None) -> np.ndarray:
    """Copies of each row in an epoch, proportional to `max(loss, SMALLEST_LOSS * mean loss) ** power`, `[M]`, mean 1,
    given a baseline's loss on each row in nats, `[M]`; see `balanced_copies`."""
    return capped_copies(np.maximum(loss, SMALLEST_LOSS * loss.mean()) ** power, max_copies)


def capped_copies(weights: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """`min(maximum, s * weights)` with the scale s for which the mean is 1, `[M]`."""
    scaled = weights / weights.mean()
    if maximum is None or scaled.max() <= maximum:
        return scaled
    # The mean rises with s: halve the interval until it is found. At s = maximum / smallest weight every row is capped.
    low, high = 1.0, maximum / scaled.min()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(maximum, middle * scaled).mean() < 1 else (low, middle)
    return np.minimum(maximum, high * scaled)
