"""Says so when a model gives one answer to everything."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.schema import Share

log = logging.getLogger("arena")


class CollapseWarning(Callback):
    """Warns after each validation in which (nearly) every row got the same class.

    A collapsed model hides behind its accuracy: it scores the share of the commonest class, its recall is 1 for one
    class and 0 for the others, its specificity 0 and its negative predictive value undefined.

    Args:
        labels: names of the classes.
        share: share of the predictions that one class may have before the warning comes.
    """

    def __init__(self, labels: list[str], share: Share = 0.99) -> None:
        self.labels = labels
        self.share = share

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the predicted classes of the validation split."""
        predictions: Any = pl_module.predictions.get("val")  # pyright: ignore
        if trainer.sanity_checking or predictions is None:
            return
        counts = predictions.probabilities.argmax(1).bincount(minlength=len(self.labels))
        most = int(counts.argmax())
        rows = int(counts.sum())
        if int(counts[most]) < self.share * rows or rows < 2:
            return
        spread = float(predictions.probabilities.std(0).max())
        log.warning(
            "collapsed at step %d: %d of %d validation rows are predicted as %s (probabilities vary by %.3f between "
            "rows); more data, a larger model, swapped answers, label smoothing or another learning rate may help",
            trainer.global_step, int(counts[most]), rows, self.labels[most], spread,
        )  # fmt: skip
