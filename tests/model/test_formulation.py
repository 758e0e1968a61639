"""Pairing: closed forms, exact mirrors, starts."""

import pytest
import torch

from arena.core.errors import UsageError
from arena.core.types import ClassPrior
from arena.model.formulation import PairwiseOutput, check_labels, davidson, rao_kupper

THREE = ["model_a", "model_b", "tie"]
DAVIDSON = {
    (0, 0.5): (0.4, 0.4, 0.2), (0, 1): (1 / 3, 1 / 3, 1 / 3), (0, 2): (0.25, 0.25, 0.5),
    (1, 0.5): (0.598392, 0.220136, 0.181472), (1, 1): (0.506480, 0.186324, 0.307196),
    (1, 2): (0.387456, 0.142537, 0.470007), (2, 1): (0.665241, 0.090031, 0.244728),
}  # fmt: skip
"""(score difference, tie strength) -> shares: e^(s/2), e^(-s/2) and nu over their sum, worked out by hand."""
RAO_KUPPER = {
    (0, 0.5): (0.377541, 0.377541, 0.244919),
    (1, 0.5): (0.622459, 0.182426, 0.195115),
    (2, 1.0): (0.731059, 0.047426, 0.221516),
}
"""(score difference, threshold) -> sigmoid(s - eta), sigmoid(-s - eta), and what is left."""


@pytest.mark.parametrize(("given", "shares"), DAVIDSON.items())
@pytest.mark.parametrize("level", [-3.0, 0.0, 7.0])
def test_davidson(given, shares, level):
    difference, strength = given
    first, second = torch.tensor([level + difference]), torch.tensor([level])
    logits = davidson(first.double(), second.double(), torch.tensor(float(strength)).double().log())
    assert torch.softmax(logits, 1)[0].tolist() == pytest.approx(shares, abs=1e-6)
    assert float(logits[0, :2].sum()) == pytest.approx(2 * level + difference)


@pytest.mark.parametrize(("given", "shares"), RAO_KUPPER.items())
@pytest.mark.parametrize("level", [-3.0, 0.0, 7.0])
def test_rao_kupper(given, shares, level):
    difference, threshold = given
    first, second = torch.tensor([level + difference]), torch.tensor([level])
    logits = rao_kupper(first.double(), second.double(), torch.tensor(threshold).double())
    assert torch.softmax(logits, 1)[0].tolist() == pytest.approx(shares, abs=1e-6)
    assert float(logits[0, :2].sum()) == pytest.approx(2 * level + difference)


def test_rao_kupper_has_a_slope_where_its_shares_run_out():
    """At a difference of 80 the tie's share is about e^-80: its logarithm must be finite, and so must the gradient."""
    first = torch.tensor([80.0], requires_grad=True)
    logits = rao_kupper(first, torch.tensor([0.0]), torch.tensor(0.5))
    torch.log_softmax(logits, 1)[0, 2].backward()
    assert torch.isfinite(logits).all()
    assert first.grad is not None
    assert float(first.grad) == pytest.approx(-1.0)


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
@pytest.mark.parametrize("labels", [THREE, ["tie", "model_b", "model_a"], ["model_b", "model_a"]])
@pytest.mark.parametrize("formulation", ["symmetric", "score"])
def test_exchanged_sequences_exchange_the_classes_exactly(formulation, labels, ties):
    pairing = PairwiseOutput(formulation, labels, ties)
    outputs = torch.randn(10, pairing.outputs, generator=torch.Generator().manual_seed(0))
    straight = torch.softmax(pairing(outputs, 5), 1)
    mirrored = torch.softmax(pairing(torch.cat([outputs[5:], outputs[:5]]), 5), 1)
    other = [labels.index({"model_a": "model_b", "model_b": "model_a"}.get(label, label)) for label in labels]
    torch.testing.assert_close(mirrored[:, other], straight, atol=1e-7, rtol=0)
    assert straight.std(0).min() > 0.01


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
@pytest.mark.parametrize("tie", [0.1, 1 / 3, 0.6])
def test_equal_answers_start_to_tie_as_often_as_the_training_rows(ties, tie):
    pairing = PairwiseOutput("score", THREE, ties)
    pairing.init_from_class_prior(ClassPrior(torch.tensor([0.7 * (1 - tie), 0.3 * (1 - tie), tie])))
    shares = torch.softmax(pairing(torch.zeros(2, 1), 1), 1)[0].tolist()
    assert shares == pytest.approx([(1 - tie) / 2, (1 - tie) / 2, tie], abs=1e-6)


def test_the_tie_strength_is_learned():
    pairing = PairwiseOutput("score", THREE)
    torch.log_softmax(pairing(torch.zeros(2, 1), 1), 1)[0, 2].backward()
    assert pairing.tie_strength.grad is not None
    assert float(pairing.tie_strength.grad) == pytest.approx(2 / 3)  # 1 - P(tie)


@pytest.mark.parametrize("formulation", ["symmetric", "score"])
def test_both_answers_must_be_classes(formulation):
    with pytest.raises(UsageError, match=f"model.formulation={formulation}.*both model_a and model_b"):
        check_labels(formulation, ["model_a", "tie"])
    with pytest.raises(UsageError, match="may hold model_a, model_b and tie only"):
        check_labels("score", ["model_a", "model_b", "both_bad"])
