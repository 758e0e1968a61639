"""One class against the rest, then which of the rest: a likelihood in two stages."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.schema import Positive, Share, WholeNumber
from arena.loss.base import at_least_float32, target_probabilities
from arena.loss.class_weight import WeightedLoss


def two_stage_log_probabilities(logits: Tensor, first: int) -> Tensor:
    r"""$\log \sigma(d)$ for the first class, $\log \sigma(-d) + \log \mathrm{softmax}(z_{-f})_c$ for the others.

    $d = z_f - \overline{z_{-f}}$: the logit of the first class counts from the mean of the others, because nothing else
    fixes the zero of a row's logits. (From their log-sum-exp it would be the ordinary softmax again.)

    Args:
        logits: $z$, `[N, K]`.
        first: $f$, index of the class that the first stage is about.

    Returns:
        `[N, K]`; the probabilities sum to 1.
    """
    # Two slices and not a list of places, which would be copied to the device in every step.
    rest = torch.cat([logits[..., :first], logits[..., first + 1 :]], dim=-1)
    lead = logits[..., first] - rest.mean(dim=-1)
    within = functional.logsigmoid(-lead).unsqueeze(-1) + torch.log_softmax(rest, dim=-1)
    return torch.cat([within[..., :first], functional.logsigmoid(lead).unsqueeze(-1), within[..., first:]], dim=-1)


class TwoStage(WeightedLoss):
    r"""Binary cross entropy of one class against the rest, and cross entropy among the rest for rows of the rest.

    $\ell = -\sum_c w_c t_c \log p_c$ with `two_stage_log_probabilities`. For a class that answers another question than
    the others ("no stance" beside "against" and "in favour"): its rows do not pull at the boundary between the others.
    A proper score, as cross entropy is. The largest logit need not be the likeliest class: `predict` says which is.

    Args:
        labels: names of the K classes, three or more, in the order of the logits.
        first: the class of the first stage; None for the first of `labels`.
        class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch: as in
            `arena.loss.classification.CrossEntropy`.

    Raises:
        UsageError: fewer than three classes, where both stages are one, or `first` is none of them.
    """

    def __init__(
        self,
        labels: list[str],
        first: str | None = None,
        class_weight: Literal["balanced", "sqrt", "effective"] | dict[str, Positive] | list[Positive] | None = None,
        class_weight_beta: Share = 0.999,
        class_weight_cap: Positive = 10.0,
        class_weight_from_epoch: WholeNumber = 0,
    ) -> None:
        super().__init__(labels, class_weight, class_weight_beta, class_weight_cap, class_weight_from_epoch)
        if len(self.labels) < 3:
            raise UsageError(f"loss=two_stage: three or more classes are needed, there are {', '.join(self.labels)}")
        if first is not None and first not in self.labels:
            raise UsageError(f"loss.first={first}: no such class; the classes are {', '.join(self.labels)}")
        self.first = 0 if first is None else self.labels.index(first)

    def set_class_counts(self, served: Tensor, natural: Tensor) -> Tensor:
        """Return the counts for logits that give the shares of the rows through the two stages, `[K]`."""
        super().set_class_counts(served, natural)
        counts = served.double().clamp_min(1)
        others = counts[[place for place in range(len(counts)) if place != self.first]]
        start = counts.clone()
        start[self.first] = counts[self.first] / others.sum() * others.log().mean().exp()
        return served.double().sum() * start / start.sum()

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cost of both stages of each row, `[N]` nats."""
        wanted = target_probabilities(target, logits)
        if self.class_weight is not None:
            wanted = wanted * self.class_weight.to(logits.dtype)
        return -(wanted * two_stage_log_probabilities(logits, self.first)).sum(dim=-1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of what `predict` gives, `[N, K]`."""
        return two_stage_log_probabilities(at_least_float32(logits), self.first)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities `[N, K]` float32: the product of the stages."""
        return self.log_probabilities(logits).exp().float()
