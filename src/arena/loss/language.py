"""Losses of a language model: what each reply token costs, computed a chunk of the vocabulary's width at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from arena.core.schema import Share
from arena.core.types import LossOutput, ReplyBatch, TokenLogits

VALUES_AT_ONCE = 2**25
"""Logits in memory at a time (128 MB in float32): the larger the vocabulary, the fewer tokens."""
FEWEST = 16
"""Tokens of a chunk at least."""


@dataclass
class Tokens:
    """What M target tokens cost and how sure the model was, nats, `[M]` each.

    Attributes:
        cost: what training minimises, with its gradient.
        log_loss: -log p of the token.
        entropy: of the distribution that the token was drawn from.
        diversity: of a loss with a term for it, its value at each token, with its gradient; zeros otherwise.
    """

    cost: Tensor
    log_loss: Tensor
    entropy: Tensor
    diversity: Tensor


class LanguageModel(nn.Module):
    r"""Cross entropy of the reply tokens, $-\log p(y_t \mid x, y_{<t})$, mean over the tokens of a batch.

    The logits of a chunk are made, used and thrown away, and made again in the backward pass, so that memory does not
    grow with tokens times vocabulary. Everything is computed in float32.

    Args:
        label_smoothing: share of the target that is spread over the vocabulary. The log loss that is reported stays
            that of the token.

    Attributes:
        labels: there are no classes.
    """

    def __init__(self, label_smoothing: Share = 0.0) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.label_smoothing = label_smoothing

    def costs(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cost, log loss, entropy and diversity of each token, `[m]` each (`Tokens`).

        Args:
            logits: `[m, V]` float32.
            target: ids, `[m]`.
        """
        log_probability = torch.log_softmax(logits, dim=-1)
        log_loss = -log_probability.gather(1, target[:, None])[:, 0]
        diversity, entropy = self.spread(logits, log_probability)
        cost = log_loss
        if self.label_smoothing:
            cost = (1 - self.label_smoothing) * log_loss - self.label_smoothing * log_probability.mean(dim=-1)
        return cost, log_loss, entropy, diversity

    def spread(self, logits: Tensor, log_probability: Tensor) -> tuple[Tensor, Tensor]:
        """Diversity and entropy of each token, `[m]`: a subclass gives the first a meaning and a gradient."""
        with torch.no_grad():
            entropy = -(log_probability.exp() * log_probability).sum(dim=-1)
        return torch.zeros_like(entropy), entropy

    def tokens(self, logits: TokenLogits) -> Tokens:
        """What the target tokens of a batch cost, chunk by chunk."""
        step = max(FEWEST, VALUES_AT_ONCE // logits.vocabulary)

        def some(states: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return self.costs(logits.head(states).float(), target)

        parts = []
        for start in range(0, max(1, len(logits.target)), step):
            given = logits.states[start : start + step], logits.target[start : start + step]
            if torch.is_grad_enabled():
                parts.append(checkpoint(some, *given, use_reentrant=False, preserve_rng_state=False))
            else:
                parts.append(some(*given))
        return Tokens(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def forward(self, logits: TokenLogits, batch: ReplyBatch) -> LossOutput:
        """The mean cost over the reply tokens of a batch, each with its pair's weight; see
        `arena.core.types.LossOutput`."""
        return self.both(logits, batch)[0]

    def both(self, logits: TokenLogits, batch: ReplyBatch) -> tuple[LossOutput, Tensor]:
        """The mean cost, and the mean diversity (nats a token; zero where the loss has no term for it)."""
        tokens = self.tokens(logits)
        parts = {"log_loss": tokens.log_loss, "entropy": tokens.entropy}
        means = {name: each.detach().sum() / max(1, len(each)) for name, each in parts.items()}
        output = LossOutput(token_mean(tokens.cost, logits, batch), batch.supervised, means)
        return output, token_mean(tokens.diversity, logits, batch)

    def per_example_outputs(self, logits: TokenLogits, batch: ReplyBatch) -> dict[str, Tensor]:
        """What is kept of each pair, `[N]` float32: `log_loss` and `entropy` (mean nats a token), `tokens` and `loss`
        (mean cost a token); NaN where a pair has no reply token."""
        tokens = self.tokens(logits)
        pairs = len(batch)
        number = torch.bincount(logits.pair, minlength=pairs).float()

        def mean(each: Tensor) -> Tensor:
            total = torch.zeros(pairs, dtype=torch.float64, device=each.device)
            return (total.index_add_(0, logits.pair, each.double()) / number).float()

        found = {"log_loss": mean(tokens.log_loss), "entropy": mean(tokens.entropy), "tokens": number}
        return found | {"loss": mean(tokens.cost)}

    def predict(self, logits: TokenLogits) -> Tensor:
        """Probability of each target token, `[M]`."""
        return torch.exp(-self.tokens(logits).log_loss)


def token_mean(each: Tensor, logits: TokenLogits, batch: ReplyBatch) -> Tensor:
    """Mean over the target tokens with the weight of their pairs, divided by their number (`mean_over_rows`)."""
    return (batch.weight[logits.pair] * each).sum() / max(1, batch.supervised)
