"""Factors of the classes from their rows: the numbers, when they act, and what a checkpoint keeps of them."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from arena.core.errors import UsageError
from arena.core.types import TextBatch
from arena.loss.class_weight import Rule, WeightedLoss, class_weights
from arena.loss.classification import CrossEntropy, Focal, GeneralizedCrossEntropy, Poly, cross_entropy
from arena.loss.rare_classes import Ldam, TwoStage

LABELS = ["model_a", "model_b", "tie"]
LOGITS = torch.tensor([[2, 0.5, -1], [0.2, 0.1, 0], [-1, 3, 0.5], [0, 0, 4]], dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 0])
COUNTS = torch.tensor([470, 470, 60])


def batch_of(target: torch.Tensor) -> TextBatch:
    ones = torch.ones(len(target), 1, dtype=torch.int64)
    return TextBatch(ones, ones, target, torch.ones(len(target)), torch.arange(len(target)), len(target))


@pytest.mark.parametrize(
    ("rule", "beta", "expected"),
    [
        ("balanced", 0.999, [0.7092, 0.7092, 5.5556]),
        ("sqrt", 0.999, [0.9026, 0.9026, 2.5262]),
        ("effective", 0.9, [0.9999, 0.9999, 1.0017]),
        ("effective", 0.99, [0.9334, 0.9334, 2.0430]),
        ("effective", 0.999, [0.7540, 0.7540, 4.8546]),
        ("effective", 0.9999, [0.7140, 0.7140, 5.4802]),
    ],
)
def test_table(rule: Rule, beta: float, expected: list[float]) -> None:
    """By hand for the square root: 470^-.5 = .04613, 60^-.5 = .1291, their mean over the 1,000 rows
    (940 x .04613 + 60 x .1291) / 1000 = .05111; .04613 / .05111 = .9026."""
    assert class_weights(COUNTS, rule, beta).tolist() == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("rule", ["balanced", "sqrt", "effective"])
@pytest.mark.parametrize("counts", [[470, 470, 60], [9900, 90, 10], [1, 2, 3, 4]])
def test_the_mean_over_rows_is_one(rule: Rule, counts: list[int]) -> None:
    """So the loss of a model that is equally wrong about every row keeps its size."""
    rows = torch.tensor(counts).double()
    assert (rows * class_weights(rows, rule)).sum().item() == pytest.approx(rows.sum().item())


@pytest.mark.parametrize("counts", [[470, 470, 60], [1, 2, 3], [10, 500, 9000, 7]])
def test_balanced_is_that_of_scikit_learn(counts: list[int]) -> None:
    target = np.repeat(np.arange(len(counts)), counts)
    reference = compute_class_weight("balanced", classes=np.arange(len(counts)), y=target)
    found = class_weights(torch.tensor(counts), "balanced")
    np.testing.assert_allclose(found.numpy(), reference, rtol=1e-12)


def test_the_cap_acts_after_the_mean_is_one() -> None:
    """Three classes of 9,900, 90 and 10 rows: n / (K n_c) is .3367, 37.04 and 333.3, and two of them become 10."""
    counts = torch.tensor([9900, 90, 10])
    assert class_weights(counts, "balanced").tolist() == pytest.approx([1e4 / 29700, 1e4 / 270, 1e4 / 30])
    assert class_weights(counts, "balanced", cap=10.0).tolist() == pytest.approx([1e4 / 29700, 10, 10])


def test_a_class_without_rows_counts_as_one_row() -> None:
    assert torch.equal(class_weights(torch.tensor([5, 3, 0]), "sqrt"), class_weights(torch.tensor([5, 3, 1]), "sqrt"))


@pytest.mark.parametrize("kind", [CrossEntropy, Ldam, Poly, TwoStage])
def test_the_rule_multiplies_the_rows_and_the_sum_is_divided_by_their_number(kind: Any) -> None:
    """From the natural counts and not the served ones; divided by n = 4, whatever the weights sum to."""
    plain, weighted = kind(LABELS), kind(LABELS, class_weight="balanced")
    for loss in (plain, weighted):
        assert torch.equal(loss.set_class_counts(torch.ones(3), COUNTS), plain.set_class_counts(torch.ones(3), COUNTS))
    factors = class_weights(COUNTS, "balanced")[TARGET]
    rows = factors.float() * plain.rows(LOGITS, batch_of(TARGET))
    torch.testing.assert_close(weighted.rows(LOGITS, batch_of(TARGET)), rows)
    torch.testing.assert_close(weighted(LOGITS, batch_of(TARGET)).loss, rows.sum() / 4)


def test_the_class_factors_of_focal_follow_a_rule_too() -> None:
    loss = Focal(LABELS, alpha="effective", class_weight_beta=0.99, class_weight_cap=1.5)
    loss.set_class_counts(COUNTS, COUNTS)
    factors = torch.tensor([0.9334, 0.9334, 1.5])  # 2.0430 before the cap
    rows = factors[TARGET] * Focal(LABELS).rows(LOGITS, batch_of(TARGET))
    torch.testing.assert_close(loss.rows(LOGITS, batch_of(TARGET)), rows.to(torch.float64), rtol=1e-3, atol=0)


def test_deferred_factors_act_from_their_epoch_on() -> None:
    deferred = CrossEntropy(LABELS, class_weight="sqrt", class_weight_from_epoch=2)
    deferred.set_class_counts(COUNTS, COUNTS)
    plain = cross_entropy(LOGITS, TARGET)
    weighted = cross_entropy(LOGITS, TARGET, class_weight=class_weights(COUNTS, "sqrt"))
    torch.testing.assert_close(deferred.rows(LOGITS, batch_of(TARGET)), plain)
    for epoch, expected in ((0, plain), (1, plain), (2, weighted), (3, weighted)):
        deferred.at(epoch, 0.0)
        torch.testing.assert_close(deferred.rows(LOGITS, batch_of(TARGET)), expected, rtol=1e-6, atol=1e-6)
    given = CrossEntropy(LABELS, class_weight=[1.0, 2.0, 4.0], class_weight_from_epoch=1)
    given.at(0, 0.0)
    torch.testing.assert_close(given.rows(LOGITS, batch_of(TARGET)), plain)
    given.at(1, 0.0)
    assert given(LOGITS, batch_of(TARGET)).loss.item() == pytest.approx(2.319102, abs=1e-6)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_factors_from_counts_travel_with_the_checkpoint_as_they_act(epoch: int) -> None:
    """What is restored knows no counts and no epoch, and has the loss of the moment at which it was saved."""

    def build() -> CrossEntropy:
        return CrossEntropy(LABELS, class_weight="balanced", class_weight_from_epoch=2)

    trained, restored = build(), build()
    trained.set_class_counts(COUNTS, COUNTS)
    trained.at(epoch, 0.5)
    restored.load_state_dict(trained.state_dict())
    assert torch.equal(restored.rows(LOGITS, batch_of(TARGET)), trained.rows(LOGITS, batch_of(TARGET)))
    plain = CrossEntropy(LABELS).rows(LOGITS, batch_of(TARGET))
    assert torch.equal(plain, trained.rows(LOGITS, batch_of(TARGET))) is (epoch < 2)


def test_factors_of_the_configuration_are_no_state() -> None:
    assert not CrossEntropy(LABELS, class_weight={"tie": 2.0}).state_dict()
    assert set(CrossEntropy(LABELS, class_weight="sqrt").state_dict()) == {"acting_weight"}


def test_what_a_loss_multiplies_the_prior_with() -> None:
    """Shares .5, .3, .2 and the factors 1, 2, 4 are learned as .5, .6, .8 over 1.9: found by gradient descent."""
    loss: WeightedLoss = CrossEntropy(LABELS, class_weight=[1.0, 2.0, 4.0])
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def expected_loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = (shares * torch.stack([loss.cost(logits, torch.tensor([c]))[0] for c in range(3)])).sum()
        total.backward()
        return total

    optimizer.step(expected_loss)  # pyright: ignore[reportArgumentType] - torch's stub wants a float
    factors = loss.prior_factors()
    assert factors is not None
    expected = shares * factors / (shares * factors).sum()
    assert expected.tolist() == pytest.approx([0.5 / 1.9, 0.6 / 1.9, 0.8 / 1.9])
    torch.testing.assert_close(loss.predict(logits.detach())[0].double(), expected, atol=1e-5, rtol=0)
    assert CrossEntropy(LABELS).prior_factors() is None
    assert GeneralizedCrossEntropy(LABELS).prior_factors() is None


def test_counts_of_other_classes_and_a_beta_of_one_are_refused() -> None:
    with pytest.raises(UsageError, match="2 class counts for the 3 classes"):
        CrossEntropy(LABELS, class_weight="sqrt").set_class_counts(torch.ones(2), torch.ones(2))
    with pytest.raises(UsageError, match="class_weight_beta=1: a number below 1"):
        CrossEntropy(LABELS, class_weight="effective", class_weight_beta=1)
