"""R-Drop: two passes of a row through the model, under different dropout, should predict the same."""

from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.core.shapes import Float

PATIENCE = 10
"""Training steps after which a divergence that was always exactly 0 is an error."""


def symmetric_divergence(first: Float[Tensor, "N K"], second: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    r"""Compute $\frac{1}{2}(\mathrm{KL}(p \| q) + \mathrm{KL}(q \| p)) = \frac{1}{2} \sum_c (p_c - q_c)(\log p_c - \log
    q_c)$ of each row in nats, from $\log p$ and $\log q$; the gradient goes through both sides.

    Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", eq. 2.
    """
    return 0.5 * ((first.exp() - second.exp()) * (first - second)).sum(dim=-1)


class RDrop:
    """Strength of R-Drop, and a check that it does anything at all.

    The paper adds the divergence to the sum of both copies' losses, here it is added to their mean: half the paper's
    alpha does the same.

    Args:
        given: `alpha`, the factor of the divergence, and `warmup`, the share of the training in which it rises to that.

    Raises:
        UsageError: Another key, or a warm-up that is longer than the training.
    """

    def __init__(self, given: dict[str, float] | None) -> None:
        given = given or {}
        for key in given:
            if key not in ("alpha", "warmup"):
                raise UsageError(f"loss.rdrop.{key}: no such key{closest(key, ['alpha', 'warmup'])}")
        self.alpha, self.warmup = float(given.get("alpha", 0.0)), float(given.get("warmup", 0.0))
        if self.warmup > 1:
            raise UsageError(f"loss.rdrop.warmup={self.warmup}: a number from 0 to 1 is needed")
        self.progress = 1.0
        self._seen: list[Tensor] = []

    @property
    def factor(self) -> float:
        """Alpha at the present `progress`, the finished share of the training."""
        return self.alpha if self.progress >= self.warmup else self.alpha * self.progress / self.warmup

    def check(self, copies: int) -> None:
        """Raise a `UsageError` for a batch that does not hold each row twice."""
        if self.alpha and copies != 2:
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} compares two copies of each row, the batch has {copies}; set "
                "data.copies=2"
            )

    def watch(self, divergence: Tensor, supervised: int) -> None:
        """Check, once and not in every step, that dropout makes the copies differ.

        Raises:
            UsageError: They were the same in all of the first steps.
        """
        if len(self._seen) >= PATIENCE or not supervised:
            return
        self._seen.append(divergence.detach())
        if len(self._seen) == PATIENCE and not any(map(bool, self._seen)):
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} does nothing: in {PATIENCE} steps both copies of every row had "
                "the same probabilities; give the model dropout, or set loss.rdrop.alpha=0 and data.copies=1"
            )
