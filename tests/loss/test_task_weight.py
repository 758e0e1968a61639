"""How heads are weighed against each other: the numbers of the sources, and what epochs leave behind."""

import math

import pytest
import torch

from arena.loss.multi_task import TaskWeights, dynamic_weights, uncertainty_weighted


def test_dynamic_weights_fixture() -> None:
    """From (1.0, 1.25) to (.9, 1.2): 2 softmax(.9 / 2, .96 / 2) = 2 (1 / (1 + e^.03), ...) = (.985001, 1.014999)."""
    found = dynamic_weights(torch.tensor([0.9, 1.2]), torch.tensor([1.0, 1.25]))
    assert found.tolist() == pytest.approx([0.985001, 1.014999], abs=1e-6)


def test_uncertainty_fixture() -> None:
    """The regression form is half the loss in this one: with L = (.9, 1.3) it is 1.1 at s = 0, and 1.078502 = sum of
    (1 + ln L) / 2 at its minimum s = ln L. The form for classification: 2.2, and (1 + ln 2L) / 2 at s = ln 2L."""
    losses = torch.tensor([0.9, 1.3], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    assert uncertainty_weighted(losses / 2, zero).sum().item() == pytest.approx(1.1)
    assert uncertainty_weighted(losses / 2, losses.log()).sum().item() == pytest.approx(1.078502, abs=1e-6)
    assert uncertainty_weighted(losses, zero).sum().item() == pytest.approx(2.2)
    best = (2 * losses).log()
    expected = 1 + (math.log(1.8) + math.log(2.6)) / 2
    assert uncertainty_weighted(losses, best).sum().item() == pytest.approx(expected)
    s = best.clone().requires_grad_()
    uncertainty_weighted(losses, s).sum().backward()
    torch.testing.assert_close(s.grad, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


def test_fixed_weights_scale_what_is_learned_and_do_not_vanish_in_it() -> None:
    """w (e^-s L + s / 2) has its minimum at s = ln 2L whatever w; with w inside, s would make up for it."""
    weights = TaskWeights([1.0, 3.0], "uncertainty")
    weights.log_variance.data.copy_(torch.tensor([0.2, -0.4]))
    costs = torch.tensor([[0.5, 2.0]])
    expected = (math.exp(-0.2) * 0.5 + 0.1) + 3 * (math.exp(0.4) * 2.0 - 0.2)
    assert weights(costs).item() == pytest.approx(expected)
    assert weights.acting().tolist() == pytest.approx([math.exp(-0.2), 3 * math.exp(0.4)])
    assert [name for name, _ in weights.named_parameters()] == ["log_variance"]


def run_epochs(weights: TaskWeights, means: list[tuple[float, float]]) -> None:
    """Epochs whose labelled rows cost these means, in unequal batches."""
    for epoch, (first, second) in enumerate(means):
        weights.at(epoch)
        weights.observe(torch.tensor([2 * first, 0.0]), torch.tensor([2, 0]))
        weights.at(epoch)  # as before every batch: changes nothing
        weights.observe(torch.tensor([3 * first, 4 * second]), torch.tensor([3, 4]))


def test_dynamic_weights_follow_the_last_two_epochs() -> None:
    weights = TaskWeights([1.0, 2.0], "dynamic")
    run_epochs(weights, [(1.0, 1.25), (0.9, 1.2)])
    assert weights.acting().tolist() == [1, 2]  # two epochs are not over yet
    weights.at(2)
    assert weights.acting().tolist() == pytest.approx([0.985001, 2 * 1.014999], abs=1e-5)
    assert weights(torch.tensor([[1.0, 1.0]])).item() == pytest.approx(0.985001 + 2 * 1.014999, abs=1e-5)


def test_a_head_without_labels_in_an_epoch_leaves_the_weights_equal() -> None:
    weights = TaskWeights([1.0, 1.0], "dynamic")
    for epoch in range(3):
        weights.at(epoch)
        weights.observe(torch.tensor([1.0, 0.0]), torch.tensor([2, 0]))
    weights.at(3)
    assert weights.acting().tolist() == [1, 1]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_resumed_training_has_the_same_dynamic_weights(cut: int) -> None:
    """Saved in the middle of an epoch; the new process is told of that epoch again."""
    whole, before = TaskWeights([1.0, 1.0], "dynamic"), TaskWeights([1.0, 1.0], "dynamic")
    after = TaskWeights([1.0, 1.0], "dynamic")
    sums = torch.tensor([[3.0, 2.0], [2.0, 1.9], [1.5, 1.7]])
    part = before
    for epoch in range(3):
        for weights in (whole, part):
            weights.at(epoch)
            weights.observe(sums[epoch], torch.tensor([2, 2]))
        if epoch == cut:
            after.load_state_dict(before.state_dict())
            part = after
            part.at(epoch)
        for weights in (whole, part):
            weights.observe(0.5 * sums[epoch], torch.tensor([1, 3]))
    for weights in (whole, part):
        weights.at(3)
    assert not torch.equal(whole.dynamic, torch.ones(2))
    assert all(torch.equal(value, part.state_dict()[name]) for name, value in whole.state_dict().items())
