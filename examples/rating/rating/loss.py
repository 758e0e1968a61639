"""What a wrong score costs: a normal distribution around it, or an ordinal one over the levels of the scale."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.core.types import LossOutput, TextBatch
from arena.loss.base import mean_over_rows


class RatingLoss(nn.Module):
    """A likelihood of scores, given one output of the model for each row; see `arena.task.module.Loss`.

    Args:
        low, high: ends of the scale.

    Attributes:
        labels: there are no classes.
        mean, deviation: of the training scores: the first predictions, and what the prior says of every row.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, low: float = 1.0, high: float = 10.0) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.low, self.high = low, high
        self.register_buffer("mean", torch.tensor((low + high) / 2, dtype=torch.float64))
        self.register_buffer("deviation", torch.tensor((high - low) / 4, dtype=torch.float64))

    def set_class_counts(self, served: Tensor, train: Tensor) -> Tensor:
        """Learn mean and deviation from the training rows at each half point of the scale."""
        levels = torch.linspace(self.low, self.high, len(train), dtype=torch.float64)
        shares = train.double() / train.sum()
        self.mean.copy_((shares * levels).sum())
        self.deviation.copy_(((shares * (levels - self.mean) ** 2).sum()).sqrt().clamp(min=1e-3))
        return served

    def cost(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of each row in nats, `[N]`: what a subclass defines, as `predict`."""
        raise NotImplementedError

    def predict(self, logits: Tensor) -> Tensor:
        """The expected score, `[N]`."""
        raise NotImplementedError

    def forward(self, logits: Tensor, batch: TextBatch) -> LossOutput:
        """The mean loss over the rows of a batch; `logits` is `[N, 1]`."""
        cost = self.cost(logits[:, 0].float(), batch.target)
        active = batch.weight != 0
        return LossOutput(mean_over_rows(cost, batch.weight, active, batch.supervised), batch.supervised, {})

    def per_example_outputs(self, logits: Tensor, batch: TextBatch) -> dict[str, Tensor]:
        """What is kept of each row, `[N]` float32: `score` as predicted, `target`, `prior` (the mean of the training
        scores), `absolute_error`, `squared_error` and `loss`."""
        score, target = self.predict(logits).float(), batch.target.float()
        apart = score - target
        found = {"score": score, "target": target, "prior": self.mean.float().expand_as(score)}
        found |= {"absolute_error": apart.abs(), "squared_error": apart**2}
        return found | {"loss": self.cost(logits[:, 0].float(), batch.target)}

    def outputs(self, logits: Tensor) -> Tensor:
        """What `arena.predict` writes: the expected score, `[N, 1]`."""
        return self.predict(logits)[:, None]


class SquaredError(RatingLoss):
    r"""The squared error in nats: $-\log N(y; \hat y, \sigma^2)$ with the deviation $\sigma$ of the training scores.

    $\hat y = \mu + \sigma f(x)$ for an output f of the model, so that an untrained one predicts the mean.
    """

    def cost(self, output: Tensor, target: Tensor) -> Tensor:
        """See `RatingLoss.cost`."""
        apart = (self.mean + self.deviation * output - target) / self.deviation
        return (apart**2 / 2 + self.deviation.log() + math.log(2 * math.pi) / 2).float()

    def predict(self, logits: Tensor) -> Tensor:
        """See `RatingLoss.predict`; not beyond the ends of the scale."""
        return (self.mean + self.deviation * logits[:, 0]).clamp(self.low, self.high)


class Ordinal(RatingLoss):
    r"""Cumulative logits: $P(y > k) = \sigma(f(x) - \theta_k)$ for the levels k of the scale, $\theta$ learned.

    Only the order of the levels counts, not how far apart they are. Scores between two levels are rounded.

    Source: McCullagh 1980, "Regression Models for Ordinal Data" (proportional odds).
    """

    def __init__(self, low: float = 1.0, high: float = 10.0) -> None:
        super().__init__(low, high)
        self.levels = round(high - low) + 1
        self.first = nn.Parameter(torch.tensor(-2.0))
        self.gaps = nn.Parameter(torch.full((self.levels - 2,), -1.0))

    @property
    def thresholds(self) -> Tensor:
        """Where each level ends, increasing, `[K - 1]`."""
        return torch.cat([self.first[None], self.first + functional.softplus(self.gaps).cumsum(0)])

    def set_class_counts(self, served: Tensor, train: Tensor) -> Tensor:
        """Also give the thresholds the shares of the levels: an untrained model predicts these."""
        super().set_class_counts(served, train)
        level = torch.linspace(0, self.levels - 1, len(train)).round().long()
        counts = torch.ones(self.levels, dtype=torch.float64).index_add_(0, level, train.double())
        ends = torch.logit(counts.cumsum(0)[:-1] / counts.sum())
        gaps = ends.diff().clamp(min=1e-3)
        with torch.no_grad():
            self.first.copy_(ends[0])
            self.gaps.copy_(torch.log(torch.expm1(gaps)))
        return served

    def log_shares(self, output: Tensor) -> Tensor:
        """Logarithm of the probability of each level, `[N, K]`."""
        above = output[:, None] - self.thresholds.to(output.dtype)
        ends = output.new_full((len(output), 1), math.inf)
        upper, lower = torch.cat([ends, above], 1), torch.cat([above, -ends], 1)
        # log(sigmoid(u) - sigmoid(l)) without a difference of nearly equal numbers
        return functional.logsigmoid(upper) + functional.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))

    def cost(self, output: Tensor, target: Tensor) -> Tensor:
        """See `RatingLoss.cost`."""
        level = torch.nan_to_num(target - self.low).round().long()
        return torch.where(target.isnan(), math.nan, -self.log_shares(output).gather(1, level[:, None])[:, 0])

    def predict(self, logits: Tensor) -> Tensor:
        """See `RatingLoss.predict`: the mean of the levels."""
        shares = self.log_shares(logits[:, 0]).exp()
        return self.low + shares @ torch.arange(self.levels, dtype=shares.dtype, device=shares.device)
