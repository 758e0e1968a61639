"""Looks at the model before its first step: does it know nothing, as it should, or something wrong?"""

import logging
import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.heads import Heads
from arena.core.schema import NonNegative
from arena.stats.scores import label_log_losses, log_loss, row_means

log = logging.getLogger("arena")


class FirstLoss(Callback):
    """Holds the log loss of the first batch, before any step, against ln K, that of equal probabilities.

    A head that starts at zero gives ln K exactly, one that starts at the class shares about their entropy. Far above
    ln K the model is sure of something wrong: a head of another task, states too large for a fresh head, answer words
    that the model would never say. It may recover, but a good part of the training goes into that.

    Of several heads it is the mean over the labels of a row, held against the mean of their ln K. The value is logged
    as `start/log_loss`, in evaluation mode, so that nothing random is used up.

    Args:
        labels: names of the classes, or those of each head.
        most: nats above ln K from which the warning comes in any case; below, three standard errors of the batch's mean
            are left to chance.
    """

    def __init__(self, labels: list[str] | dict[str, list[str]], most: NonNegative = 0.5) -> None:
        self.heads = Heads(labels)
        self.most = most

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """One forward pass more, at the very first batch of a run."""
        # Sharded models (several processes) may not be called outside of a step.
        if trainer.global_step or batch_idx or not batch.supervised or trainer.world_size > 1:
            return
        module: Any = pl_module
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            probabilities = module.loss.predict(module.model(batch)).float()
        for part, mode in modes:
            part.training = mode
        rows = row_log_losses(probabilities, batch.target, self.heads)
        # What equal probabilities would give: ln K, or the mean of ln K over the labels that a row has.
        equal = torch.cat([torch.full_like(p, 1 / p.shape[1]) for p in self.heads.split(probabilities).values()], dim=1)
        found, chance = float(rows.mean()), float(row_log_losses(equal, batch.target, self.heads).mean())
        spread = float(rows.std(ddof=1)) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
        # At once: what a step logs is written every `log_every_n_steps` steps only.
        for logger in trainer.loggers:
            logger.log_metrics({"start/log_loss": found}, step=0)
        name = f"ln {self.heads.width}" if not self.heads.named else "equal probabilities"
        text = f"before the first step: log loss {found:.4f} on {len(rows)} rows ({name} = {chance:.4f})"
        if found > chance + min(max(3 * spread, 0.05), self.most):
            log.warning(
                "%s: worse than equal probabilities; a head of another task, or answer words that this model does not "
                "say? A smaller start (model.start=uniform) or another template may help",
                text,
            )
        else:
            log.info("%s", text)


def row_log_losses(probabilities: torch.Tensor, target: torch.Tensor, heads: Heads) -> np.ndarray:
    """Compute the log loss of the rows with a target, nats, `[M]`; of several heads the mean over a row's labels.

    Args:
        probabilities: `[N, K]`, or `[N, C]` of several heads.
        target: class indices `[N]` (negative: none) or probabilities `[N, K]`; class indices `[N, T]` of several heads.
        heads: names and classes.
    """
    values, truth = (each.cpu().numpy() for each in (probabilities.double(), _exact(target)))
    if target.is_floating_point():
        known = np.isfinite(truth).all(axis=1) & (truth.sum(axis=1) > 0)
        return log_loss(values[known], truth[known])
    index = truth.reshape(len(truth), len(heads))
    some = (index >= 0).any(axis=1)
    return row_means(label_log_losses(list(heads.split(values[some]).values()), index[some]), index[some])


def _exact(target: torch.Tensor) -> torch.Tensor:
    """Soft targets in a type that NumPy has; bfloat16 is none."""
    return target.double() if target.is_floating_point() else target
