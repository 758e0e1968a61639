"""Says so when the diversity term does next to nothing."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.schema import Count, Share

log = logging.getLogger("arena")


class DiversityShare(Callback):
    """Warns once where the gradient of lambda * diversity stays small beside that of the quality.

    The share of the loss says nothing: a score without a gradient has a share too. What counts is
    `train/gradient_ratio` (`arena.task.sampling`).

    Args:
        least: ratio of the norms below which the warning comes.
        patience: scored steps over which the ratio is averaged.
    """

    def __init__(self, least: Share = 0.03, patience: Count = 20) -> None:
        self.least, self.patience = least, patience
        self._ratios: list[float] = []
        self._seen: Any = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        """Look at what was scored last."""
        module: Any = pl_module
        scored = getattr(module, "scored", None)
        if not scored or scored is self._seen or len(self._ratios) >= self.patience or not module.loss.trains:
            return
        self._seen = scored
        self._ratios.append(scored["gradient_ratio"])
        mean = sum(self._ratios) / len(self._ratios)
        if len(self._ratios) == self.patience and mean < self.least:
            log.warning(
                "the diversity term is weak: over %d scored steps its gradient is %.1f%% of the quality's, though it "
                "makes up %.1f%% of the loss; raise loss.lambda, loss.n_generations or loss.max_examples_for_diversity",
                self.patience, 100 * mean, 100 * scored["diversity_share"],
            )  # fmt: skip
