"""Losses of preference models that give each answer a score."""

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import NonNegative, Share
from arena.core.types import LossOutput, TextBatch
from arena.loss.base import Loss, has_target, mean_over_rows, target_probabilities
from arena.loss.classification import cross_entropy

SIDES = ("model_a", "model_b")


def bradley_terry(
    logits: Tensor, target: Tensor, wins: Tensor, margin: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    r"""$\mathrm{CE}(z - m\,w \odot t,\; t)$ for each row: the winner has to lead by $m$ nats. Nats, `[N]`.

    For two classes with the logits $z = (s/2, -s/2)$ and the winner A, the cost is
    $-\log \frac{e^{s/2 - m}}{e^{s/2 - m} + e^{-s/2}} = -\log \sigma(s - m)$, the loss of TRL's reward trainer. A soft
    target $(t, 1-t)$ moves the difference of the logits by $m (2t - 1)$: nothing where the votes are even.

    Args:
        logits: $z$, `[N, K]`.
        target: $t$, class indices `[N]` or probabilities `[N, K]`.
        wins: $w$, 1 for a class that stands for a win and 0 for a tie, which gets no margin, `[K]`.
        margin: $m$, nats.
        label_smoothing: share of the target that is spread evenly over all classes; the margin does not see it.
    """
    led = logits - margin * wins.to(logits.dtype) * target_probabilities(target, logits)
    return cross_entropy(led, target, label_smoothing)


class BradleyTerry(Loss):
    r"""Cross entropy with a margin for the winner and scores that stay around 0, see `bradley_terry`.

    With two logits from two scores, $z = (r_a, r_b)$ or anything with that difference, cross entropy is the model of
    Bradley and Terry 1952; with a third one, $\frac{r_a + r_b}{2} + \log \nu$, that of Davidson 1970 for ties.

    Adding a number to both scores of a row changes no probability, so scores of different prompts are free to drift
    apart. `centering` adds $c\,\overline{(z_a + z_b)^2}$ (TRL's `center_rewards_coefficient`, Eisenstein et al. 2023,
    eq. 2; 0.01 there) over the rows that the loss is a mean of, with their weights. It asks of the model that its
    logits are the scores themselves, $z_a + z_b = r_a + r_b$: a model that scores answers shifts its logits of a row by
    one number to keep to that. For other models it holds the sum of two logits near 0, which is harmless and useless.

    `rows` is the plain cross entropy of the label in nats, without margin, smoothing and centering, so that what is
    reported compares with other losses.

    Args:
        labels: names of the K classes, in the order of the logits.
        margin: nats by which the winner's logit has to lead.
        centering: factor of the mean of $(z_a + z_b)^2$.
        label_smoothing: share of the target that is spread evenly over all classes.

    Raises:
        UsageError: there is something to centre, but not a class for each of the two answers.
    """

    wins: Tensor

    def __init__(
        self,
        labels: list[str],
        margin: NonNegative = 0.0,
        centering: NonNegative = 0.0,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__(labels)
        if centering and not set(SIDES) <= set(self.labels):
            raise UsageError(
                f"loss.centering={centering}: data.labels={self.labels} must hold both {' and '.join(SIDES)}"
            )
        self.margin, self.centering, self.label_smoothing = margin, centering, label_smoothing
        wins = torch.tensor([float(label in SIDES) for label in self.labels])
        self.register_buffer("wins", wins, persistent=False)

    def cost(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of each row in nats, `[N]`."""
        return cross_entropy(logits, target)

    def training_rows(self, logits: Tensor, batch: TextBatch) -> Tensor:
        """Cross entropy of each row with margin and smoothing, `[N]` nats."""

        def cost(logits: Tensor, target: Tensor) -> Tensor:
            return bradley_terry(logits, target, self.wins, self.margin, self.label_smoothing)

        return self._each(cost, logits, batch)

    def forward(self, logits: Tensor, batch: TextBatch) -> LossOutput:
        """As `Loss.forward`, with the part `centering` added where it is asked for (and told in `parts`)."""
        output = super().forward(logits, batch)
        if not self.centering:
            return output
        active = has_target(batch.target) & (batch.weight != 0)
        sides = [self.labels.index(side) for side in SIDES]
        total = torch.where(active.unsqueeze(-1), logits, 0.0)[:, sides].to(output.loss.dtype).sum(dim=-1)
        penalty = self.centering * mean_over_rows(total.square(), batch.weight, active, batch.supervised)
        return LossOutput(output.loss + penalty, output.n, output.parts | {"centering": penalty.detach()})
