"""Log loss and Brier score as metrics: means over batches."""

import math

import pytest
import torch

from arena.metric.probability import BrierScore, LogLoss
from arena.stats.scores import CLIP


def test_the_mean_of_a_long_stream_is_exact() -> None:
    """A million rows of -log .5 after one of 34.5 nats, in batches: a float32 sum would be off in the fifth digit."""
    metric = LogLoss()
    metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    for _ in range(10):
        metric.update(torch.full((100_000, 2), 0.5), torch.zeros(100_000, dtype=torch.int64))
    exact = (1_000_000 * math.log(2) - math.log(CLIP)) / 1_000_001
    assert metric.compute().item() == pytest.approx(exact, rel=1e-9)


def test_no_rows_no_score() -> None:
    metric = BrierScore()
    metric.update(torch.empty(0, 2), torch.empty(0, dtype=torch.int64))
    assert math.isnan(metric.compute().item())
