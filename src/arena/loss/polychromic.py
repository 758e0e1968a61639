r"""quality - lambda * diversity, with a diversity that has a gradient.

A score of decoded text is a number to autograd: subtracting it changes the logged loss and nothing else. Here the
gradient of its expectation over the model's own samples is estimated (`leave_one_out`), or a diversity of the
predicted distributions is used that needs no samples (`entropy`, `gem`, `ce_temperature`).
"""

from typing import Any, Literal

import torch
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import Count, NonNegative, Positive, Share, WholeNumber
from arena.core.types import LossOutput, ReplyBatch, TokenLogits
from arena.loss.language import LanguageModel

SAMPLED = ("leave_one_out", "detached")


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

    Samples are drawn by `arena.task.sampling`; this class says what is asked for and what it is worth.

    Args:
        lambda_: weight of the diversity (`loss.lambda`).
        estimator: see the table.
        score: of a set of replies (`arena.diversity.scores`); needed where replies are sampled.
        reward: quality of each reply, from 0 to 1 (a checker of `arena.evaluation.generation`), which multiplies the
            score of its set by the mean: the polychromic objective (arXiv 2509.25424). None for the score alone. A
            reply that cannot be judged earns 0; a prompt none of whose replies can be judged is left out.
        n_generations: replies sampled for each prompt.
        max_examples_for_diversity: prompts of a batch that replies are sampled for.
        compute_every_n_steps: samples are drawn at every such step, and their gradient, clipped apart, is multiplied by
            it there. Without samples it is how often the norms of the gradients are measured.
        max_new_tokens: of a sampled reply.
        temperature: at which it is sampled; its log probability is that at this temperature.
        length_divisor: what log probabilities of whole replies are divided by in the gradient. 1 is the gradient of
            lambda E[D]. The quality is a mean over tokens, the log probability of a reply a sum over as many: with the
            length of a reply here, lambda weighs D against nats a token. A constant, and not each reply's own length,
            which would favour long ones.
        sequences_at_once: sampled replies in one forward pass with gradients; 0 for all.
        beta: temperature of `gem` and `ce_temperature`.
        label_smoothing: see `LanguageModel`.
        seed: of the samples' own random stream.

    Raises:
        UsageError: no score, or fewer replies than it is defined on without one of them.
    """

    def __init__(
        self,
        lambda_: NonNegative,
        estimator: Literal["leave_one_out", "entropy", "gem", "ce_temperature", "detached"] = "leave_one_out",
        score: Any = None,
        reward: Any = None,
        n_generations: Count = 4,
        max_examples_for_diversity: Count = 4,
        compute_every_n_steps: Count = 1,
        max_new_tokens: Count = 48,
        temperature: Positive = 1.0,
        length_divisor: Positive = 1.0,
        sequences_at_once: WholeNumber = 0,
        beta: Positive = 0.7,
        label_smoothing: Share = 0.0,
        seed: WholeNumber = 0,
    ) -> None:
        super().__init__(label_smoothing)
        self.weight, self.estimator, self.reward = lambda_, estimator, reward
        self.score = score
        self.replies, self.examples, self.every = n_generations, max_examples_for_diversity, compute_every_n_steps
        self.max_new_tokens, self.temperature, self.seed = max_new_tokens, temperature, seed
        self.at_once, self.beta, self.divisor = sequences_at_once, beta, length_divisor
        if self.samples and score is None:
            raise UsageError(f"loss.score: a value is needed for loss.estimator={estimator}; distinct, for example")
        # A set without one of its members must have a score too.
        least = score.min_texts + 1 if self.samples else 1
        if self.samples and n_generations < least:
            raise UsageError(
                f"loss.n_generations={n_generations}: at least {least} are needed, for the score without one of them"
            )

    @property
    def samples(self) -> bool:
        """Whether replies are sampled in training."""
        return self.estimator in SAMPLED

    @property
    def trains(self) -> bool:
        """Whether the diversity has a gradient at all."""
        return self.weight > 0 and self.estimator != "detached"

    def spread(self, logits: Tensor, log_probability: Tensor) -> tuple[Tensor, Tensor]:
        """The diversity that needs no samples, and the entropy, of each token, `[m]`."""
        diversity, entropy = super().spread(logits, log_probability)
        if self.estimator == "entropy":
            diversity = -(log_probability.exp() * log_probability).sum(dim=-1)
        elif self.estimator == "gem":
            q = torch.softmax(logits.detach() / self.beta, dim=-1)
            diversity = -(q * log_probability).sum(dim=-1)
        return diversity, entropy

    def costs(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `LanguageModel.costs`; `ce_temperature` needs the target for its diversity."""
        cost, log_loss, entropy, diversity = super().costs(logits, target)
        if self.estimator == "ce_temperature":
            flattened = torch.log_softmax(logits / self.beta, dim=-1).gather(1, target[:, None])[:, 0]
            diversity = log_loss + self.beta * flattened
        return cost, log_loss, entropy, diversity

    def forward(self, logits: TokenLogits, batch: ReplyBatch) -> LossOutput:
        """The loss as far as it needs no samples."""
        output, diversity = self.both(logits, batch)
        output.loss = output.loss - self.weight * diversity
        return output


def surrogate(value: Tensor, credit: Tensor, log_probability: Tensor, times: float = 1.0) -> Tensor:
    r"""A number that is D and whose gradient is an estimate of that of E[D].

    $D + t (G - \mathrm{sg}(G))$, $G = \frac{1}{m} \sum_x \sum_i \mathrm{sg}(D(S) - D(S \setminus i)) \log \pi(y_i | x)$
    with sg for what gives no gradient. $\nabla G$ is unbiased for $\nabla E[D]$ for any set score:
    $D(S \setminus i)$ does not depend on $y_i$, so it is a baseline that takes away variance and nothing else (the
    marginal credit of arXiv 2602.01062). Centring by the mean of the group instead shrinks the gradient of a mean
    pairwise distance to (n - 2) / n of it.

    Args:
        value: D(S) of each prompt, `[m]`; NaN for a prompt that is left out. To leave one out for what its replies are
            would be a bias (`arena.diversity.scores.credits_of`).
        credit: D(S) - D(S without i), `[m, n]`.
        log_probability: log pi(y_i | x) in nats at the temperature of the sampling, `[m, n]`, with its gradient.
        times: t, what the gradient is multiplied by.
    """
    known = torch.isfinite(value) & torch.isfinite(credit).all(dim=1)
    number = known.sum().clamp(min=1)
    level = torch.where(known, value, 0.0).sum() / number
    each = torch.where(known[:, None], credit, 0.0).detach() * log_probability
    estimate = each.sum() / number
    return level.detach() + times * (estimate - estimate.detach())
