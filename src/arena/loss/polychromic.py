r"""quality - lambda * diversity, with a diversity that has a gradient.

A score of decoded text is a number to autograd: subtracting it changes the logged loss and nothing else. Here the
gradient of its expectation over the model's own samples is estimated (`leave_one_out`), or a diversity of the
predicted distributions is used that needs no samples (`entropy`, `gem`, `ce_temperature`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import Count, NonNegative, Positive, WholeNumber
from arena.core.shapes import Float
from arena.core.types import LossOutput, ReplyBatch, TokenLogits
from arena.loss.language import LanguageModel, entropy_of

SAMPLED = ("leave_one_out", "detached")


@dataclass(eq=False, repr=False, kw_only=True)
class Polychromic(LanguageModel):
    r"""Cross entropy minus lambda times a diversity.

    lambda means the same for every `compute_every_n_steps`: the gradients add up to the same in expectation, also under
    clipping. An optimiser that divides by root mean squares (AdamW) still takes fewer, larger terms for more noise.

    | estimator | diversity D | its gradient |
    |---|---|---|
    | leave_one_out | a set score of n sampled replies to a prompt, mean over prompts | unbiased, see `surrogate` |
    | entropy | mean entropy of the predicted distributions, nats | exact |
    | gem | $\sum_y q_y \log(1 / p_y)$, q = softmax(z / beta) held fixed | exact |
    | ce_temperature | $CE(z) - \beta\,CE(z / \beta)$ | exact |
    | detached | as leave_one_out | none: a number is subtracted, which trains exactly as lambda 0 |

    With lambda 1, `gem` is GEM with a linear h (arXiv 2408.16673), and `ce_temperature` is cross entropy at that
    temperature: its gradient is the same, so it is the control for what GEM gains.

    Samples are drawn by `arena.task.sampling`, with the options of this class.
    """

    lambda_: NonNegative
    estimator: Literal["leave_one_out", "entropy", "gem", "ce_temperature", "detached"] = "leave_one_out"
    score: Any = None
    reward: Any = None
    n_generations: Count = 4
    max_examples_for_diversity: Count = 4
    compute_every_n_steps: Count = 1
    max_new_tokens: Count = 48
    temperature: Positive = 1.0
    length_divisor: Positive = 1.0
    sequences_at_once: WholeNumber = 0
    beta: Positive = 0.7
    seed: WholeNumber = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.samples:
            return
        if self.score is None:
            raise UsageError(
                f"loss.score: a value is needed for loss.estimator={self.estimator}; distinct, for example"
            )
        min_replies = self.score.min_texts + 1  # a set without one of its members must have a score too
        if self.n_generations < min_replies:
            raise UsageError(
                f"loss.n_generations={self.n_generations}: at least {min_replies} are needed, for the score without "
                "one of them"
            )

    @property
    def samples(self) -> bool:
        """True where replies are sampled in training."""
        return self.estimator in SAMPLED

    @property
    def trains(self) -> bool:
        """True where the diversity has a gradient."""
        return self.lambda_ > 0 and self.estimator != "detached"

    def diversity(self, logits: Tensor, log_probability: Tensor, log_loss: Tensor, target: Tensor) -> Tensor:
        """Compute the diversity that needs no samples, `[m]`; zeros for the other estimators."""
        match self.estimator:
            case "entropy":
                return entropy_of(log_probability)
            case "gem":
                q = torch.softmax(logits.detach() / self.beta, dim=-1)
                return -(q * log_probability).sum(dim=-1)
            case "ce_temperature":
                flattened = torch.log_softmax(logits / self.beta, dim=-1).gather(1, target[:, None])[:, 0]
                return log_loss + self.beta * flattened
        return super().diversity(logits, log_probability, log_loss, target)

    def forward(self, logits: TokenLogits, batch: ReplyBatch) -> LossOutput:
        """Compute the loss as far as it needs no samples."""
        output, diversity = self.both(logits, batch)
        output.loss = output.loss - self.lambda_ * diversity
        return output


def surrogate(
    value: Float[Tensor, " m"], credit: Float[Tensor, "m n"], log_probability: Float[Tensor, "m n"], times: float = 1.0
) -> Float[Tensor, ""]:
    r"""Compute a number that is D and whose gradient is an estimate of that of E[D].

    $D + t (G - \mathrm{sg}(G))$, $G = \frac{1}{m} \sum_x \sum_i \mathrm{sg}(D(S) - D(S \setminus i)) \log \pi(y_i | x)$
    with sg for what gives no gradient and t for `times`. $\nabla G$ is unbiased for $\nabla E[D]$ for any set score:
    $D(S \setminus i)$ does not depend on $y_i$, so it is a baseline that takes away variance and nothing else (the
    marginal credit of arXiv 2602.01062). Centring by the mean of the group instead shrinks the gradient of a mean
    pairwise distance to (n - 2) / n of it.

    `value` is D(S) of each prompt, NaN for one that is left out (to leave one out for what its replies are would be a
    bias, see `arena.diversity.scores.credits_of`), `credit` is D(S) - D(S without i). Log probabilities are in nats at
    the temperature of the sampling.
    """
    known = torch.isfinite(value) & torch.isfinite(credit).all(dim=1)
    number = known.sum().clamp(min=1)
    level = torch.where(known, value, 0.0).sum() / number
    each = torch.where(known[:, None], credit, 0.0).detach() * log_probability
    estimate = each.sum() / number
    return level.detach() + times * (estimate - estimate.detach())
