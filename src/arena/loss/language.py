"""Losses of a language model, computed a chunk of the vocabulary's width at a time."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from arena.core.schema import Share
from arena.core.shapes import Float, Int
from arena.core.types import LossOutput, ReplyBatch, TokenLogits

VALUES_AT_ONCE = 2**25
"""Logits in memory at a time (128 MB in float32): the larger the vocabulary, the fewer tokens."""
FEWEST = 16
"""Tokens of a chunk at least."""


class Tokens(NamedTuple):
    """Costs of the M target tokens in nats, `[M]` each: what training minimises, -log p, the entropy of the predicted
    distribution, and the diversity term of the loss, zeros for a loss without one.
    """

    cost: Tensor
    log_loss: Tensor
    entropy: Tensor
    diversity: Tensor


@dataclass(eq=False, repr=False)
class LanguageModel(nn.Module):
    r"""Cross entropy of the reply tokens, $-\log p(y_t \mid x, y_{<t})$, mean over the tokens of a batch, in float32.

    The logits of a chunk are made, used and thrown away, and made again in the backward pass, so that memory does not
    grow with tokens times vocabulary. The log loss that is reported has no label smoothing.
    """

    label_smoothing: Share = 0.0

    def __post_init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []

    def costs(self, logits: Float[Tensor, "m V"], target: Int[Tensor, " m"]) -> Tokens:
        """Compute the costs of the m tokens of a chunk from float32 logits over the vocabulary."""
        log_probability = torch.log_softmax(logits, dim=-1)
        log_loss = -log_probability.gather(1, target[:, None])[:, 0]
        with torch.no_grad():
            entropy = entropy_of(log_probability)
        cost = log_loss
        if self.label_smoothing:
            cost = (1 - self.label_smoothing) * log_loss - self.label_smoothing * log_probability.mean(dim=-1)
        return Tokens(cost, log_loss, entropy, self.diversity(logits, log_probability, log_loss, target))

    def diversity(self, logits: Tensor, log_probability: Tensor, log_loss: Tensor, target: Tensor) -> Tensor:
        """Compute the diversity at each token `[m]`, for a subclass with a term for it."""
        return torch.zeros_like(log_loss)

    def tokens(self, logits: TokenLogits) -> Tokens:
        """Compute the costs of the target tokens of a batch, chunk by chunk."""
        step = max(FEWEST, VALUES_AT_ONCE // logits.vocabulary)
        compute = partial(self._chunk, logits)
        if torch.is_grad_enabled():
            compute = partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)
        starts = range(0, max(1, len(logits.target)), step)
        parts = [compute(logits.states[i : i + step], logits.target[i : i + step]) for i in starts]
        return Tokens(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def forward(self, logits: TokenLogits, batch: ReplyBatch) -> LossOutput:
        """Compute the mean cost over the reply tokens of a batch, each with the weight of its pair."""
        return self.both(logits, batch)[0]

    def both(self, logits: TokenLogits, batch: ReplyBatch) -> tuple[LossOutput, Float[Tensor, ""]]:
        """Compute the mean cost, and the mean diversity in nats a token (0 for a loss without a term for it)."""
        tokens = self.tokens(logits)
        parts = {"log_loss": tokens.log_loss, "entropy": tokens.entropy}
        means = {name: each.detach().sum() / max(1, len(each)) for name, each in parts.items()}
        output = LossOutput(token_mean(tokens.cost, logits, batch), batch.supervised, means)
        return output, token_mean(tokens.diversity, logits, batch)

    def per_example_outputs(self, logits: TokenLogits, batch: ReplyBatch) -> dict[str, Tensor]:
        """Compute what is kept of each pair, `[N]` float32: `log_loss` and `entropy` (mean nats a token), `tokens` and
        `loss` (mean cost a token); NaN where a pair has no reply token."""
        tokens = self.tokens(logits)
        number = torch.bincount(logits.pair, minlength=len(batch)).float()
        found = {"tokens": number}
        for name, each in (("log_loss", tokens.log_loss), ("entropy", tokens.entropy), ("loss", tokens.cost)):
            total = torch.zeros(len(batch), dtype=torch.float64, device=each.device)
            found[name] = (total.index_add_(0, logits.pair, each.double()) / number).float()
        return found

    def predict(self, logits: TokenLogits) -> Float[Tensor, " M"]:
        """Compute the probability of each target token."""
        return torch.exp(-self.tokens(logits).log_loss)

    def _chunk(self, logits: TokenLogits, states: Float[Tensor, "m H"], target: Int[Tensor, " m"]) -> Tokens:
        return self.costs(logits.head(states).float(), target)


def entropy_of(log_probability: Float[Tensor, "m V"]) -> Float[Tensor, " m"]:
    """Compute the entropy of each distribution in nats."""
    return -(log_probability.exp() * log_probability).sum(dim=-1)


def token_mean(each: Float[Tensor, " M"], logits: TokenLogits, batch: ReplyBatch) -> Float[Tensor, ""]:
    """Compute the mean over the target tokens, weighted by their pairs and divided by their number."""
    return (batch.weight[logits.pair] * each).sum() / max(1, batch.supervised)
