"""The mean over all items of an optimiser update, whatever micro-batches and processes they are divided between."""

import math
from collections.abc import Iterable

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from arena.core.types import LossOutput


class Update:
    r"""Losses of the micro-batches of one optimiser update, as the mean over all of its items.

    A micro-batch gives a mean $\ell_j$ over $n_j$ items; the update is $\sum_j n_j \ell_j / \sum_j n_j$ over
    micro-batches and processes. $\sum_j n_j$ is known when the last one is done, so each is differentiated as
    $\ell_j n_j / u$ with a constant u, and `finish` multiplies the gradients by $u / \sum_j n_j$. u is a power of two
    near the items of a first micro-batch: losses keep their size, which the loss scale of 16-bit training needs, and no
    bit depends on u. With one micro-batch in one process nothing is multiplied.
    """

    def __init__(self) -> None:
        self._unit = 0.0
        self._items: list[int] = []
        self._values: list[Tensor] = []
        self._names: list[str] = []

    def share(self, output: LossOutput, trainer: Trainer) -> Tensor:
        """The loss of a micro-batch as Lightning has to differentiate it, which divides it by the micro-batches."""
        if not _divided(trainer):
            return output.loss
        if not self._unit:
            self._unit = trainer.strategy.broadcast(2.0 ** round(math.log2(max(output.n, 1))))
        return output.loss * (output.n * trainer.accumulate_grad_batches / self._unit)

    def add(self, output: LossOutput) -> None:
        """Count a micro-batch."""
        self._names = ["loss", *output.parts]
        self._items.append(output.n)
        values = [output.loss.detach(), *output.parts.values()]
        self._values.append(torch.stack([value.float() for value in values]))

    def finish(self, parameters: Iterable[nn.Parameter], trainer: Trainer) -> dict[str, Tensor]:
        """Turn the gradients into those of the mean, and begin anew.

        A part that is not defined in a micro-batch (NaN: a head without a label there) is the mean of the others.

        Args:
            parameters: those with gradients are what the micro-batches added up to, averaged over the processes.
            trainer: says how many micro-batches and processes there are.

        Returns:
            Mean loss of the update, and of its parts, by name; in nats where the losses are.
        """
        items, rows, self._items, self._values = self._items, self._values, [], []
        if not _divided(trainer):
            return dict(zip(self._names, rows[0], strict=True))
        values = torch.stack(rows).double()
        known = ~torch.isnan(values)
        known[:, 0] = True
        counts = known * torch.tensor(items, dtype=torch.float64)[:, None].to(values.device)
        sums = torch.stack([torch.where(known, values * counts, 0.0).sum(0), counts.sum(0)])
        sums = all_sum(sums, trainer)
        sums[1, 0] = sums[1, 0].clamp_min(1)
        factor = self._unit * trainer.world_size / sums[1, 0]
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        return dict(zip(self._names, sums[0] / sums[1], strict=True))


class Apart:
    """The gradient of one term of the loss, kept apart from that of the others over an update.

    It is the mean over the micro-batches and processes with a weight for each: the items that the term is a mean of.
    """

    def __init__(self) -> None:
        self._sums: dict[nn.Parameter, Tensor] = {}
        self._weight = 0.0

    def add(self, term: Tensor, weight: float, parameters: Iterable[nn.Parameter], trainer: Trainer) -> None:
        """Count the term of a micro-batch, whose graph stays."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scale = scaler.get_scale() if scaler is not None else 1.0
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = torch.autograd.grad(term * (weight * scale), trained, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                # Divided now: the loss scale may change before the next one.
                self._sums[parameter] = gradient / scale + self._sums.get(parameter, 0.0)
        self._weight += weight

    def finish(self, trainer: Trainer) -> dict[nn.Parameter, Tensor]:
        """The gradient of the mean by parameter, and begin anew.

        Empty where it overflows 16 bits: the loss scale is too large, and the step of the other terms is left out too.
        """
        sums, self._sums, weight, self._weight = self._sums, {}, self._weight, 0.0
        if trainer.world_size > 1:
            weight = float(all_sum(torch.tensor(weight, dtype=torch.float64), trainer))
            for gradient in sums.values():
                torch.distributed.all_reduce(gradient)
        found = {parameter: gradient / max(weight, 1.0) for parameter, gradient in sums.items()}
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        return {} if scaled and not math.isfinite(norm(found.values())) else found


def all_sum(values: Tensor, trainer: Trainer) -> Tensor:
    """The sum over the processes."""
    if trainer.world_size > 1:
        values = values.to(trainer.strategy.root_device)
        torch.distributed.all_reduce(values)
    return values


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm over all tensors; waits for the device."""
    return float(sum(each.float().square().sum() for each in tensors)) ** 0.5


def _divided(trainer: Trainer) -> bool:
    """Whether an update may have more than one micro-batch."""
    return trainer.accumulate_grad_batches * trainer.world_size > 1
