"""Intervals: known numbers, and coverage in simulations with a known truth."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.classification import BinaryPrecision, MulticlassAccuracy

from arena.metric.collection import Metrics
from arena.metric.interval import bootstrap
from arena.metric.probability import LogLoss
from arena.stats.intervals import paired_difference

LABELS = ["model_a", "model_b"]


def small_set() -> Metrics:
    return Metrics(LABELS, {"log_loss": LogLoss(), "accuracy": MulticlassAccuracy(2, average="micro")})


def grouped_rows(generator: np.random.Generator, groups: int = 40, size: int = 5) -> tuple[Tensor, Tensor, np.ndarray]:
    """Groups of rows with one probability and one label: the worst case for drawing single rows."""
    p = np.repeat(generator.uniform(0.05, 0.95, groups), size)
    y = np.repeat(generator.integers(0, 2, groups), size)
    return torch.tensor(np.stack([1 - p, p], axis=1)), torch.tensor(y), np.repeat(np.arange(groups), size)


def test_bootstrap_repeats_itself() -> None:
    probabilities, target, groups = grouped_rows(np.random.default_rng(0))
    first = bootstrap(small_set(), probabilities, target, groups, resamples=30, seed=1)
    assert first == bootstrap(small_set(), probabilities, target, groups, resamples=30, seed=1)
    assert first != bootstrap(small_set(), probabilities, target, groups, resamples=30, seed=2)
    assert list(first) == small_set().names


def test_bootstrap_takes_any_names_for_groups_and_leaves_the_metrics_alone() -> None:
    probabilities, target, groups = grouped_rows(np.random.default_rng(0))
    metrics = small_set()
    metrics.update(probabilities[:10], target[:10])
    before = metrics.compute()
    named = bootstrap(metrics, probabilities, target, [f"prompt {g:02d}" for g in groups], resamples=30, seed=1)
    assert named == bootstrap(small_set(), probabilities, target, groups, resamples=30, seed=1)
    assert metrics.compute() == before


def test_bootstrap_and_paired_difference_agree() -> None:
    """The interval of the log loss is that of its rows minus 0, as both draw the same groups for one seed."""
    probabilities, target, groups = grouped_rows(np.random.default_rng(3), size=3)
    rows = -probabilities.gather(1, target.unsqueeze(1)).squeeze(1).log().numpy()
    mean, low, high = paired_difference(rows, np.zeros_like(rows), groups, resamples=50, seed=4)
    assert mean == pytest.approx(rows.mean())
    ends = bootstrap(small_set(), probabilities, target, groups, resamples=50, seed=4)["log_loss"]
    assert ends == pytest.approx((low, high), abs=1e-12)


@pytest.mark.slow
def test_bootstrap_covers_the_truth() -> None:
    """Labels are coins, so the true accuracy is one half. 40 data sets of 40 groups of 5 equal rows: the 95 % interval
    must hold it in at least 32. The long-run share is .93 (1,500 data sets), so fewer has probability .002; single rows
    instead of groups would reach .58, and 32 with probability .004."""
    generator = np.random.default_rng(5)
    held = 0
    metrics = Metrics(LABELS, {"accuracy": MulticlassAccuracy(2, average="micro", validate_args=False)})
    for seed in range(40):
        low, high = bootstrap(metrics, *grouped_rows(generator), resamples=40, seed=seed)["accuracy"]
        held += low <= 0.5 <= high
    assert held >= 32


def test_undefined_resamples() -> None:
    """Predicted positive in g of 40 groups: no such group is drawn with probability (1 - g/40)^40, .36 for one group
    and .015 for four. So precision has an interval with four and none with one."""
    for positive, defined in ((1, False), (4, True)):
        yes = torch.where(torch.arange(40) < positive, 0.9, 0.1)
        target = torch.arange(40) % 2
        metrics = Metrics(LABELS, {"precision": BinaryPrecision()}, positive="model_b")
        ends = bootstrap(metrics, torch.stack([1 - yes, yes], -1), target, np.arange(40), resamples=100, seed=0)
        assert all(math.isnan(end) != defined for end in ends["precision"])
        assert not any(math.isnan(end) for end in ends["share_predicted/model_b"])


def test_one_group_has_no_interval() -> None:
    probabilities, target, _ = grouped_rows(np.random.default_rng(0), groups=2)
    for ends in bootstrap(small_set(), probabilities, target, np.zeros(10), resamples=5, seed=0).values():
        assert all(math.isnan(end) for end in ends)
    mean, low, high = paired_difference([1.0, 2.0], [0.0, 0.0], ["x", "x"], resamples=5, seed=0)
    assert mean == 1.5
    assert math.isnan(low)
    assert math.isnan(high)
