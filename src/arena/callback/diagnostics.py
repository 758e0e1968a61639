"""Diagnostics of a training: a loss that is no number, a wrong start, a collapse, corrections that add up."""

import logging
import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from arena.core.errors import DivergedError
from arena.core.heads import Heads
from arena.core.schema import Count, NonNegative, Share
from arena.stats.scores import label_log_losses, log_loss, row_means

log = logging.getLogger("arena")
REMEDIES = "more data, a larger model, swapped answers, label smoothing or another learning rate"
REMEDIES_OF_A_HEAD = "more data, a larger model, balanced sampling or class weights, or another learning rate"
NOTABLE = 0.1
"""A correction that changes the ratio of two classes by less than 10% is none: swapped answers do that."""


class FiniteLoss(Callback):
    """Raises `DivergedError` (exit code 76) once a training loss is NaN or infinite.

    The flag stays on the device and is read every `trainer.log_every_n_steps` steps and before each validation, so
    that the step needs no synchronisation; on a CPU, where reading costs nothing, every step is checked.
    """

    def __init__(self) -> None:
        self._bad: Tensor | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Note a bad loss; read the flag where that is cheap."""
        bad = ~torch.isfinite(outputs["loss"].detach())
        self._bad = bad if self._bad is None else self._bad | bad
        every: int = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if bad.device.type == "cpu" or trainer.global_step % every == 0:
            self.on_validation_start(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Never evaluate or save weights that came from a bad loss."""
        if self._bad is not None and bool(self._bad):
            saver: Any = trainer.checkpoint_callback
            kept = saver.kept() if saver is not None else "no checkpoint was asked for"
            raise DivergedError(
                f"the training loss is not finite at step {trainer.global_step}; {kept}; "
                "lower optim.lr, lower trainer.gradient_clip_val, or use trainer.precision=32-true"
            )


class FirstLoss(Callback):
    """Compares the log loss of the first batch, before any step, with ln K, that of equal probabilities.

    A head that starts at zero gives ln K exactly, one that starts at the class prior about its entropy. Far above ln K
    the model is sure of something wrong: a head of another task, states too large for a fresh head, answer words that
    the model would never say. Of several heads it is the mean over the labels of a row, against the mean of their ln K.
    It is logged as `start/log_loss`, in evaluation mode, so that nothing random is used up. The warning comes `margin`
    nats above ln K in any case, and below that from three standard errors of the batch's mean.
    """

    def __init__(self, labels: list[str] | dict[str, list[str]], margin: NonNegative = 0.5) -> None:
        self.heads = Heads(labels)
        self.margin = margin

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """One additional forward pass, at the very first batch of a run."""
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
        if found > chance + min(max(3 * spread, 0.05), self.margin):
            log.warning(
                "%s: worse than equal probabilities; a head of another task, or answer words that this model does not "
                "say? A smaller start (model.start=uniform) or another template may help",
                text,
            )
        else:
            log.info("%s", text)


def row_log_losses(probabilities: Tensor, target: Tensor, heads: Heads) -> np.ndarray:
    """Compute the log loss of the rows with a target, nats, `[M]`; of several heads the mean over a row's labels.

    Args:
        probabilities: `[N, K]`, or `[N, C]` of several heads.
        target: class indices `[N]` (negative: none) or probabilities `[N, K]`; class indices `[N, T]` of several heads.
        heads: names and classes.
    """
    soft = target.is_floating_point()
    values = probabilities.double().cpu().numpy()
    truth = (target.double() if soft else target).cpu().numpy()  # NumPy has no bfloat16
    if soft:
        known = np.isfinite(truth).all(axis=1) & (truth.sum(axis=1) > 0)
        return log_loss(values[known], truth[known])
    index = truth.reshape(len(truth), len(heads))
    some = (index >= 0).any(axis=1)
    return row_means(label_log_losses(list(heads.split(values[some]).values()), index[some]), index[some])


class CollapseWarning(Callback):
    """Warns the first time that (nearly) every row of a validation got the same class, and counts it at the end.

    A collapsed model hides behind its accuracy, the share of the commonest class: its recall is 1 for one class and 0
    for the others, its specificity 0 and its negative predictive value undefined. Heads are checked one by one; `share`
    is the share of the predictions that one class may have.
    """

    def __init__(self, labels: list[str] | dict[str, list[str]], share: Share = 0.99) -> None:
        self.heads = Heads(labels)
        self.share = share
        self._collapsed = dict.fromkeys(self.heads.names, 0)
        self._validations = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the predicted classes of the validation split."""
        predictions: Any = pl_module.predictions.get("val")  # pyright: ignore
        if trainer.sanity_checking or predictions is None:
            return
        self._validations += 1
        for head, probabilities in self.heads.split(predictions.probabilities).items():
            self._check(head, probabilities, trainer.global_step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log how often each head was collapsed, if more than once."""
        for head, times in self._collapsed.items():
            if times > 1:
                log.warning("%scollapsed at %d of %d validations", _prefix(head, " "), times, self._validations)

    def _check(self, head: str, probabilities: Tensor, step: int) -> None:
        classes = self.heads.classes[head]
        counts = probabilities.argmax(1).bincount(minlength=len(classes))
        commonest, rows = int(counts.argmax()), int(counts.sum())
        if int(counts[commonest]) < self.share * rows or rows < 2:
            return
        self._collapsed[head] += 1
        if self._collapsed[head] == 1:
            log.warning(
                "%scollapsed at step %d: %d of %d validation rows are predicted as %s (probabilities vary by %.3f "
                "between rows); %s may help",
                _prefix(head, " "), step, int(counts[commonest]), rows, classes[commonest],
                float(probabilities.std(0).max()), REMEDIES_OF_A_HEAD if head else REMEDIES,
            )  # fmt: skip


class ImbalanceReport(Callback):
    """Logs the natural and the effective class prior of each head where they differ, and warns of two corrections.

    A sampler, class weights and logit adjustment each correct the same shares. Together they do not help twice: shares
    of .47, .47 and .06, a sampler that balances them and weights of the inverse frequency train as if the rare class
    had a share of .80.
    """

    def __init__(self, labels: dict[str, list[str]] | list[str]) -> None:
        self.heads = Heads(labels)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, once the data are there and the loss knows them."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        loss: Any = pl_module.loss
        if trainer.global_rank or not hasattr(data, "sampled_class_counts") or not hasattr(loss, "prior_factors"):
            return
        natural, sampled = torch.from_numpy(data.class_counts("train")), torch.from_numpy(data.sampled_class_counts())
        factors = loss.prior_factors()
        for name, where in self.heads.slices.items():
            source = loss.prior_source if isinstance(loss.prior_source, str) else loss.prior_source[name]
            part = None if factors is None else factors[where].detach().cpu()
            self._report(name, natural[where], sampled[where], part, source)

    def _report(self, name: str, natural: Tensor, sampled: Tensor, factors: Tensor | None, source: str) -> None:
        """Log one head: its class counts `[K]`, those of an epoch, the loss's factors and where these come from."""
        present = natural > 0
        before, after = effective_prior(natural, None), effective_prior(sampled, factors)
        by_sampler = _notable((sampled.double() / natural)[present])
        by_loss = factors is not None and _notable(factors[present])
        labels = self.heads.classes[name]
        text = f"natural prior {_format(labels, before)}, effective prior {_format(labels, after)}"
        if by_sampler and by_loss:
            reversal = " and make rarer classes the commoner ones" if prior_reversed(before, after) else ""
            log.warning(
                "%sthe sampler (data.sampling) and %s both correct for rare classes%s: %s; drop one of them, the "
                "sampler by data.sampling=uniform",
                _prefix(name), source, reversal, text,
            )  # fmt: skip
        elif by_sampler or by_loss:
            log.info("%s%s (%s)", _prefix(name), text, "by the sampler" if by_sampler else f"by {source}")


def effective_prior(sampled: Tensor, factors: Tensor | None) -> Tensor:
    """The class prior that training amounts to, `[K]` float64.

    Args:
        sampled: rows of each class in an epoch, `[K]`.
        factors: by which the loss multiplies them, `[K]` (`arena.loss.base.Loss.prior_factors`); None for none.
    """
    amount = sampled.double() if factors is None else sampled.double() * factors.double().to(sampled.device)
    return amount / amount.sum()


def prior_reversed(natural: Tensor, effective: Tensor) -> bool:
    """True where a rarer class has become commoner than a commoner one, by more than 1% of its share."""
    rarer = natural.unsqueeze(1) < natural.unsqueeze(0)
    return bool((rarer & (effective.unsqueeze(1) > 1.01 * effective.unsqueeze(0))).any())


class DiversityShare(Callback):
    """Warns once where the gradient of lambda * diversity stays small beside that of the quality.

    The share of the loss means nothing: a score without a gradient has a share too. What counts is
    `train/gradient_ratio` (`arena.task.sampling`), here its mean over `patience` scored steps.
    """

    def __init__(self, min_ratio: Share = 0.03, patience: Count = 20) -> None:
        self.min_ratio, self.patience = min_ratio, patience
        self._ratios: list[float] = []
        self._seen: Any = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Add the step that was scored last."""
        module: Any = pl_module
        scored = getattr(module, "scored", None)
        if not scored or scored is self._seen or len(self._ratios) >= self.patience or not module.loss.trains:
            return
        self._seen = scored
        self._ratios.append(scored["gradient_ratio"])
        mean = sum(self._ratios) / len(self._ratios)
        if len(self._ratios) == self.patience and mean < self.min_ratio:
            log.warning(
                "the diversity term is weak: over %d scored steps its gradient is %.1f%% of the quality's, though it "
                "makes up %.1f%% of the loss; raise loss.lambda, loss.n_generations or loss.max_examples_for_diversity",
                self.patience, 100 * mean, 100 * scored["diversity_share"],
            )  # fmt: skip


def _prefix(head: str, end: str = ": ") -> str:
    return f"head {head}{end}" if head else ""


def _notable(factors: Tensor) -> bool:
    return len(factors) > 0 and bool(factors.max() > (1 + NOTABLE) * factors.min())


def _format(labels: list[str], shares: Tensor) -> str:
    return ", ".join(f"{label} {100 * share:.1f}%" for label, share in zip(labels, shares.tolist(), strict=True))
