"""Says so when a model gives one answer to everything."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from arena.core.heads import Heads
from arena.core.schema import Share

log = logging.getLogger("arena")
REMEDIES = "more data, a larger model, swapped answers, label smoothing or another learning rate"
REMEDIES_OF_A_HEAD = "more data, a larger model, balanced sampling or class weights, or another learning rate"


class CollapseWarning(Callback):
    """Warns the first time that (nearly) every row of a validation got the same class, and says at the end how often.

    A collapsed model hides behind its accuracy: it scores the share of the commonest class, its recall is 1 for one
    class and 0 for the others, its specificity 0 and its negative predictive value undefined. Each of several heads is
    looked at alone.

    Args:
        labels: names of the classes, or those of each head.
        share: share of the predictions that one class may have before the warning comes.
    """

    def __init__(self, labels: list[str] | dict[str, list[str]], share: Share = 0.99) -> None:
        self.heads = Heads(labels)
        self.share = share
        self._collapsed = dict.fromkeys(self.heads.names, 0)
        self._validations = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the predicted classes of the validation split."""
        predictions: Any = pl_module.predictions.get("val")  # pyright: ignore
        if trainer.sanity_checking or predictions is None:
            return
        self._validations += 1
        for head, probabilities in self.heads.split(predictions.probabilities).items():
            self._look(head, probabilities, trainer.global_step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how often each head was collapsed, if more than once."""
        for head, times in self._collapsed.items():
            if times > 1:
                log.warning(
                    "%scollapsed at %d of %d validations", f"head {head} " if head else "", times, self._validations
                )

    def _look(self, head: str, probabilities: Tensor, step: int) -> None:
        classes = self.heads.classes[head]
        counts = probabilities.argmax(1).bincount(minlength=len(classes))
        most = int(counts.argmax())
        rows = int(counts.sum())
        if int(counts[most]) < self.share * rows or rows < 2:
            return
        self._collapsed[head] += 1
        if self._collapsed[head] > 1:
            return
        spread = float(probabilities.std(0).max())
        log.warning(
            "%scollapsed at step %d: %d of %d validation rows are predicted as %s (probabilities vary by %.3f between "
            "rows); %s may help",
            f"head {head} " if head else "", step, int(counts[most]), rows, classes[most], spread,
            REMEDIES_OF_A_HEAD if head else REMEDIES,
        )  # fmt: skip
