"""Says once what the corrections for rare classes add up to."""

import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from arena.core.heads import Heads, Labels

log = logging.getLogger("arena")
NOTABLE = 0.1
"""A correction that changes the ratio of two classes by less than a tenth is none: exchanged answers do that."""


def effective_prior(served: Tensor, factors: Tensor | None) -> Tensor:
    """The shares of the classes that training amounts to, `[K]` float64.

    Sampling shows the rows in other shares, a loss multiplies these (`arena.loss.base.Loss.prior_factors`).

    Args:
        served: rows of each class as an epoch serves them, `[K]`.
        factors: of the loss, `[K]`; None for none.
    """
    amount = served.double() if factors is None else served.double() * factors.double().to(served.device)
    return amount / amount.sum()


def turned_round(natural: Tensor, effective: Tensor) -> bool:
    """Whether a rarer class has become commoner than a commoner one, by more than a hundredth of its share."""
    rarer = natural.unsqueeze(1) < natural.unsqueeze(0)
    return bool((rarer & (effective.unsqueeze(1) > 1.01 * effective.unsqueeze(0))).any())


class ImbalanceReport(Callback):
    """Logs the natural and the effective prior of each head where they differ, and warns of two corrections at once.

    A sampler, class weights and logit adjustment each correct the same shares. Together they do not help twice: shares
    of .47, .47 and .06, a sampler that balances them and weights of the inverse frequency train as if the rare class
    had a share of .80.

    Args:
        labels: classes of each head, or of the single classification.
    """

    def __init__(self, labels: dict[str, list[str]] | list[str]) -> None:
        chosen: Labels = labels
        self.heads = Heads(chosen)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, once the data are there and the loss knows them."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        loss: Any = pl_module.loss
        if trainer.global_rank or not hasattr(data, "sampled_class_counts") or not hasattr(loss, "prior_factors"):
            return
        natural, served = torch.from_numpy(data.class_counts("train")), torch.from_numpy(data.sampled_class_counts())
        factors = loss.prior_factors()
        for name, where in self.heads.slices.items():
            source = loss.prior_source if isinstance(loss.prior_source, str) else loss.prior_source[name]
            part = None if factors is None else factors[where].detach().cpu()
            report(name, self.heads.classes[name], natural[where], served[where], part, source)


def report(name: str, labels: list[str], natural: Tensor, served: Tensor, factors: Tensor | None, source: str) -> None:
    """The lines of one head.

    Args:
        name: of the head; empty for a single classification.
        labels: names of its K classes.
        natural: training rows of each class, `[K]`.
        served: the same as an epoch serves them, `[K]`.
        factors: of the loss, `[K]`, or None.
        source: what they come from.
    """
    present = natural > 0
    before = effective_prior(natural, None)
    after = effective_prior(served, factors)
    sampled = _notable((served.double() / natural)[present])
    weighed = factors is not None and _notable(factors[present])
    if not (sampled or weighed):
        return
    where = f"head {name}: " if name else ""
    text = f"natural prior {_shown(labels, before)}, effective prior {_shown(labels, after)}"
    if sampled and weighed:
        reversal = " and make rarer classes the commoner ones" if turned_round(before, after) else ""
        log.warning(
            "%sthe sampler (data.sampling) and %s both correct for rare classes%s: %s; drop one of them, the "
            "sampler by data.sampling=uniform",
            where, source, reversal, text,
        )  # fmt: skip
    else:
        log.info("%s%s (%s)", where, text, "by the sampler" if sampled else f"by {source}")


def _notable(factors: Tensor) -> bool:
    return len(factors) > 0 and bool(factors.max() > (1 + NOTABLE) * factors.min())


def _shown(labels: list[str], shares: Tensor) -> str:
    return ", ".join(f"{label} {100 * share:.1f}%" for label, share in zip(labels, shares.tolist(), strict=True))
