"""Losses of preference models that give each answer a score."""

from dataclasses import dataclass

import torch
from torch import nn

from arena.core.errors import UsageError
from arena.core.schema import NonNegative, Share
from arena.core.shapes import PerClass, PerRow, Target
from arena.core.types import LossOutput, TextBatch
from arena.loss.base import Loss, has_target, mean_over_rows, target_probabilities
from arena.loss.classification import cross_entropy

SIDES = ("model_a", "model_b")


@dataclass(eq=False, repr=False)
class BradleyTerry(Loss):
    r"""Cross entropy with a margin for the winner and scores that stay around 0: $\mathrm{CE}(z - m\,w \odot t,\; t)$.

    $w$ is 1 for a win and 0 for a tie, which gets no margin. For two classes with the logits $z = (s/2, -s/2)$ and the
    winner A, the cost is $-\log \sigma(s - m)$, the loss of TRL's reward trainer. A soft target $(t, 1-t)$ moves the
    difference of the logits by $m (2t - 1)$: nothing where the votes are even. The margin does not see the label
    smoothing. With logits from two scores, cross entropy is the model of Bradley and Terry 1952; with a third one,
    $\frac{r_a + r_b}{2} + \log \nu$, that of Davidson 1970 for ties.

    Scores of different prompts are free to drift apart. `centering` adds $c\,\overline{(z_a + z_b)^2}$ (TRL's
    `center_rewards_coefficient`, Eisenstein et al. 2023, eq. 2; 0.01 there) over the rows of the loss, with their
    weights. It needs $z_a + z_b = r_a + r_b$, as in `formulation=score`; for other models it is harmless and useless.

    What is reported (`rows`) is the plain cross entropy of the label, so that it compares with other losses.
    """

    margin: NonNegative = 0.0
    centering: NonNegative = 0.0
    label_smoothing: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.centering and not set(SIDES) <= set(self.labels):
            raise UsageError(
                f"loss.centering={self.centering}: data.labels={self.labels} must hold both {' and '.join(SIDES)}"
            )
        wins = torch.tensor([float(label in SIDES) for label in self.labels])
        self.wins = nn.Buffer(wins, persistent=False)

    def cost(self, logits: PerClass, target: Target) -> PerRow:
        return cross_entropy(logits, target)

    def training_cost(self, logits: PerClass, target: Target, teacher: PerClass | None) -> PerRow:
        led = logits - self.margin * self.wins.to(logits.dtype) * target_probabilities(target, logits)
        return cross_entropy(led, target, self.label_smoothing)

    def forward(self, logits: PerClass, batch: TextBatch) -> LossOutput:
        """Compute the mean loss, see `Loss.forward`, with the penalty (in `parts`: `centering`) added to it."""
        output = super().forward(logits, batch)
        if not self.centering:
            return output
        active = has_target(batch.target) & (batch.weight != 0)
        sides = [self.labels.index(side) for side in SIDES]
        total = torch.where(active.unsqueeze(-1), logits, 0.0)[:, sides].to(output.loss.dtype).sum(dim=-1)
        penalty = self.centering * mean_over_rows(total.square(), batch.weight, active, batch.supervised)
        return LossOutput(output.loss + penalty, output.n, output.parts | {"centering": penalty.detach()})
