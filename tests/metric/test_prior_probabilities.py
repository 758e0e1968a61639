"""The prior as a prediction."""

import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from arena.metric.collection import Metrics
from arena.metric.probability import LogLoss, prior_probabilities


def test_smoothed_shares() -> None:
    """Counts 6, 3, 0 of 9 rows in 3 classes: 7/12, 4/12, 1/12."""
    prior = prior_probabilities(torch.tensor([6, 3, 0]), rows=2)
    torch.testing.assert_close(prior, torch.tensor([[7 / 12, 4 / 12, 1 / 12]] * 2))
    assert prior_probabilities(torch.tensor([0, 0]), rows=1).tolist() == [[0.5, 0.5]]


def test_its_log_loss_is_near_the_entropy_and_finite_for_a_new_class() -> None:
    """Entropy of (.47, .47, .06) is .87853 nats; a class that training never saw costs log(n + K)."""
    metrics = Metrics(["a", "b", "c"], {"log_loss": LogLoss(), "accuracy": MulticlassAccuracy(3, average="micro")})
    target = torch.tensor([0] * 47 + [1] * 47 + [2] * 6)
    metrics.update(prior_probabilities(torch.tensor([4700, 4700, 600]), rows=100), target)
    values = metrics.compute()
    assert values["log_loss"] == pytest.approx(0.87853, abs=1e-4)
    assert values["accuracy"] == 0.47
    metrics.reset()
    metrics.update(prior_probabilities(torch.tensor([50, 47, 0]), rows=1), torch.tensor([2]))
    assert metrics.compute()["log_loss"] == pytest.approx(math.log(100))
