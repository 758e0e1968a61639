"""Metrics of a language model over the replies of a split."""

import math

import torch
from torch import Tensor, nn

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.core.shapes import Float


class ReplyMetrics(nn.Module):
    """Log loss (nats a reply token over the whole split), perplexity and mean entropy of the predicted distributions.

    Sums of nats over sums of tokens: a long reply counts for more than a short one. torchmetrics' perplexity wants
    logits, `[N, L, V]`, which are never all there at once.
    """

    required_outputs = ("log_loss", "tokens", "entropy")
    names = ("log_loss", "perplexity", "entropy")

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.reset()

    def reset(self) -> None:
        """Forget all pairs."""
        self._pending: list[tuple[Tensor, ...]] = []

    def update(self, log_loss: Float[Tensor, " N"], tokens: Float[Tensor, " N"], entropy: Float[Tensor, " N"]) -> None:
        """Add pairs: mean nats a token, tokens, mean nats a token; pairs without tokens count nothing."""
        self._pending.append((log_loss, tokens, entropy))

    def compute(self) -> dict[str, float]:
        """Compute every value by name; NaN without a token."""
        if not self._pending:
            return dict.fromkeys(self.names, math.nan)
        loss, tokens, entropy = (torch.cat(column).double() for column in zip(*self._pending, strict=True))
        total = tokens.sum()
        means = [float(torch.where(tokens > 0, each * tokens, 0.0).sum() / total) for each in (loss, entropy)]
        return {"log_loss": means[0], "perplexity": math.exp(min(means[0], 700.0)), "entropy": means[1]}

    def higher_is_better(self, name: str) -> bool | None:
        """Return False for log loss and perplexity; entropy is neither good nor bad."""
        if name not in self.names:
            raise UsageError(f"no metric {name!r}{closest(name, self.names)}")
        return None if name == "entropy" else False
