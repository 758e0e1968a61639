"""Log loss and Brier score of rows, by hand and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from arena.metric.probability import CLIP, BrierScore, LogLoss, brier_score, log_loss


def test_rows_by_hand() -> None:
    """p = (.5, .3, .2): label 1 costs -log .3 and .25 + .49 + .04; target (.5, .5, 0) costs the mean of -log .5 and
    -log .3, and 0 + .04 + .04."""
    p = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    soft = torch.tensor([[0.5, 0.5, 0.0]])
    assert log_loss(p, torch.tensor([1])).item() == pytest.approx(-math.log(0.3))
    assert brier_score(p, torch.tensor([1])).item() == pytest.approx(0.78)
    assert log_loss(p, soft).item() == pytest.approx(-(math.log(0.5) + math.log(0.3)) / 2)
    assert brier_score(p, soft).item() == pytest.approx(0.08)


def test_a_probability_of_zero_costs_a_finite_amount() -> None:
    for dtype in (torch.float32, torch.float64):
        worst = log_loss(torch.tensor([[1.0, 0.0]], dtype=dtype), torch.tensor([1])).item()
        assert worst == pytest.approx(-math.log(CLIP), rel=1e-6)
    assert log_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item() == 0


@pytest.mark.parametrize("classes", [2, 3])
def test_means_are_those_of_scikit_learn(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    p = torch.softmax(torch.randn(200, classes, generator=generator, dtype=torch.float64), dim=-1)
    y = torch.randint(0, classes, (200,), generator=generator)
    nats, squares = LogLoss(), BrierScore()
    nats.update(p, y)
    squares.update(p, y)
    assert nats.compute().item() == pytest.approx(sklearn_metrics.log_loss(y, p, labels=range(classes)), abs=1e-14)
    one_hot = np.eye(classes)[y.numpy()]
    assert squares.compute().item() == pytest.approx(
        classes * sklearn_metrics.mean_squared_error(one_hot, p.numpy()), abs=1e-14
    )


def test_the_mean_of_a_long_stream_is_exact() -> None:
    """A million rows of -log .5 after one of 34.5 nats, in batches: a float32 sum would be off in the fifth digit."""
    metric = LogLoss()
    metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    for _ in range(10):
        metric.update(torch.full((100_000, 2), 0.5), torch.zeros(100_000, dtype=torch.int64))
    exact = (1_000_000 * float(np.float32(math.log(2))) + float(np.float32(-math.log(CLIP)))) / 1_000_001
    assert metric.compute().item() == pytest.approx(exact, rel=1e-9)


def test_no_rows_no_score() -> None:
    metric = BrierScore()
    metric.update(torch.empty(0, 2), torch.empty(0, dtype=torch.int64))
    assert math.isnan(metric.compute().item())
