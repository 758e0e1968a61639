"""R-Drop: a row that goes through the model twice, under different dropout, should get the same answer."""

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import closest

PATIENCE = 10
"""Training steps after which a divergence that was always exactly 0 is an error."""


def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    r"""$\frac{1}{2}(\mathrm{KL}(p \| q) + \mathrm{KL}(q \| p)) = \frac{1}{2} \sum_c (p_c - q_c)(\log p_c - \log q_c)$
    for each row, `[N]` nats. Summed over classes; the gradient goes through both sides.

    Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", eq. 2.

    Args:
        first: $\log p$, `[N, K]`.
        second: $\log q$, `[N, K]`.
    """
    return 0.5 * ((first.exp() - second.exp()) * (first - second)).sum(dim=-1)


class RDrop:
    """How strongly R-Drop acts, and whether it does anything at all.

    The paper adds the divergence to the sum of both copies' losses, here it is added to their mean: half the paper's
    alpha does the same.

    Args:
        given: `alpha`, the factor of the divergence, and `warmup`, the share of the training in which it rises to that.

    Raises:
        UsageError: another key, or a warm-up that is longer than the training.
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
        self._steps = 0
        self._most: Tensor | None = None

    @property
    def factor(self) -> float:
        """Alpha as it is now."""
        return self.alpha if self.progress >= self.warmup else self.alpha * self.progress / self.warmup

    def check(self, copies: int) -> None:
        """Insist on two copies of each row.

        Args:
            copies: how often each row is in a batch.

        Raises:
            UsageError: another number than two.
        """
        if self.alpha and copies != 2:
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} compares two copies of each row, the batch has {copies}; set "
                "data.copies=2"
            )

    def watch(self, divergence: Tensor, supervised: int) -> None:
        """Look, once and not in every step, whether dropout makes the copies differ.

        Raises:
            UsageError: they were the same in all of the first steps.
        """
        if self._steps >= PATIENCE or not supervised:
            return
        self._steps += 1
        found = divergence.detach().abs()
        self._most = found if self._most is None else torch.maximum(self._most, found)
        if self._steps == PATIENCE and float(self._most) == 0:
            raise UsageError(
                f"loss.rdrop.alpha={self.alpha} does nothing: in {PATIENCE} steps both copies of every row had "
                "the same probabilities; give the model dropout, or set loss.rdrop.alpha=0 and data.copies=1"
            )
