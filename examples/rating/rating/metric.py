"""How far scores are from those that were given, and whether they order answers alike."""

import math

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

NAMES = {"mae": False, "rmse": False, "spearman": True}
"""Whether more is better."""


def values(score: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Mean absolute error, root mean squared error and Spearman's rank correlation (NaN where a side is constant)."""
    if not len(score):
        return dict.fromkeys(NAMES, math.nan)
    apart = score - target
    constant = np.ptp(score) == 0 or np.ptp(target) == 0
    rank = math.nan if constant else float(spearmanr(score, target).statistic)  # pyright: ignore
    return {"mae": float(np.abs(apart).mean()), "rmse": math.sqrt(float((apart**2).mean())), "spearman": rank}


class RatingMetrics(nn.Module):
    """`values` over a whole split; see `arena.task.module.Metrics`.

    Attributes:
        labels: there are no classes.
    """

    required_outputs = ("score", "target")
    names = tuple(NAMES)

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []
        self._pending: list[tuple[Tensor, Tensor]] = []

    def reset(self) -> None:
        """Forget all rows."""
        self._pending = []

    def update(self, score: Tensor, target: Tensor) -> None:
        """Add rows, `[N]` each."""
        self._pending.append((score, target))

    def compute(self) -> dict[str, float]:
        """Every value by name."""
        score, target = (torch.cat(column).double().numpy() for column in zip(*self._pending, strict=True))
        return values(score, target)

    def higher_is_better(self, name: str) -> bool | None:
        """The direction of a metric; a `KeyError` where there is none of this name."""
        return NAMES[name]
