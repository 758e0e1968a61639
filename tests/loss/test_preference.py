"""Margin and centering against TRL's formulas, written out here with the scores of the two answers."""

import math

import pytest
import torch
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, TextBatch
from arena.loss.preference import BradleyTerry

TWO = ["model_a", "model_b"]
LABELS = ["model_a", "model_b", "tie"]


def batch_of(target: torch.Tensor, weight: torch.Tensor | None = None) -> TextBatch:
    rows = len(target)
    ones = torch.ones(rows, 1, dtype=torch.int64)
    known = torch.ones(rows, dtype=torch.bool) if target.is_floating_point() else target != UNLABELLED
    return TextBatch(
        ones, ones, target, known.float() if weight is None else weight, torch.arange(rows), int(known.sum())
    )


def scores(rows: int = 20) -> torch.Tensor:
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_two_classes_are_the_reward_loss(margin: float) -> None:
    """-log sigmoid(r_chosen - r_rejected - margin), for logits (r_a, r_b) and for (s / 2, -s / 2) alike."""
    reward = scores()
    target = torch.arange(20) % 2
    chosen, rejected = reward[range(20), target], reward[range(20), 1 - target]
    expected = -functional.logsigmoid(chosen - rejected - margin)
    loss = BradleyTerry(TWO, margin=margin)
    half = (reward[:, :1] - reward[:, 1:]) / 2
    for logits in (reward, torch.cat([half, -half], dim=1)):
        torch.testing.assert_close(loss.rows(logits, batch_of(target), training=True), expected)
        torch.testing.assert_close(loss(logits, batch_of(target)).loss, expected.mean())


def test_a_soft_target_has_a_share_of_the_margin() -> None:
    """(.75, .25), s = 1, m = .4: the difference becomes 1 - .4 * (.75 - .25) = .8."""
    loss = BradleyTerry(TWO, margin=0.4)
    soft = torch.tensor([[0.75, 0.25], [0.5, 0.5]], dtype=torch.float64)
    logits = torch.tensor([[0.5, -0.5], [0.5, -0.5]], dtype=torch.float64)
    found = loss.rows(logits, batch_of(soft), training=True).tolist()
    expected = [t * math.log1p(math.exp(-s)) + (1 - t) * math.log1p(math.exp(s)) for t, s in ((0.75, 0.8), (0.5, 1.0))]
    assert found == pytest.approx(expected)


def test_ties_get_no_margin_and_what_is_reported_gets_none() -> None:
    logits = torch.cat([scores(6), torch.zeros(6, 1, dtype=torch.float64)], dim=1)
    target = torch.arange(6) % 3
    loss = BradleyTerry(LABELS, margin=0.5, centering=0.1, label_smoothing=0.1)
    plain = functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(loss.rows(logits, batch_of(target)), plain)
    with_margin = BradleyTerry(LABELS, margin=0.5).rows(logits, batch_of(target), training=True)
    torch.testing.assert_close(with_margin[target == 2], plain[target == 2])
    assert (with_margin[target < 2] > plain[target < 2]).all()
    lowered = logits - 0.5 * functional.one_hot(target, 3) * torch.tensor([1, 1, 0])
    torch.testing.assert_close(with_margin, functional.cross_entropy(lowered, target, reduction="none"))


def test_centering_is_the_mean_square_of_the_sum_of_scores() -> None:
    reward = scores(8)
    target = torch.arange(8) % 2
    plain, centred = BradleyTerry(TWO), BradleyTerry(TWO, centering=0.01)
    output = centred(reward, batch_of(target))
    expected = 0.01 * reward.sum(1).square().mean()
    torch.testing.assert_close(output.parts["centering"], expected)
    torch.testing.assert_close(output.loss, plain(reward, batch_of(target)).loss + expected)
    assert plain(reward, batch_of(target)).parts == {}
    assert not output.parts["centering"].requires_grad


def test_centering_sees_supervised_rows_with_their_weights() -> None:
    """Weights 1, 2, 0 and an unknown row: (s0^2 + 2 s1^2) / 3, no gradient in the last two."""
    reward = scores(4).requires_grad_()
    loss = BradleyTerry(["model_b", "tie", "model_a"], centering=1.0)
    logits = torch.stack([reward[:, 1], torch.zeros(4, dtype=torch.float64), reward[:, 0]], dim=1)
    weight = torch.tensor([1.0, 2.0, 0.0, 0.0])
    output = loss(logits, batch_of(torch.tensor([0, 1, 2, UNLABELLED]), weight))
    total = reward.detach().sum(1).square()
    torch.testing.assert_close(output.parts["centering"], (total[0] + 2 * total[1]) / 3)
    output.loss.backward()
    assert reward.grad is not None
    assert torch.equal(reward.grad[2:], torch.zeros(2, 2, dtype=torch.float64))
    assert (reward.grad[:2] != 0).all()


def test_centering_pins_the_level_of_the_scores() -> None:
    """Cross entropy leaves r_a + r_b free; with centering its minimum is 0, and the difference stays log(.7 / .3)."""
    reward = torch.tensor([[5.0, 4.0]], dtype=torch.float64, requires_grad=True)
    loss = BradleyTerry(TWO, centering=0.1)
    optimizer = torch.optim.LBFGS([reward], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(reward, batch_of(torch.tensor([[0.7, 0.3]], dtype=torch.float64))).loss
        value.backward()
        return value

    optimizer.step(step)  # pyright: ignore[reportArgumentType] - torch's stub wants a float
    a, b = reward.detach()[0].tolist()
    assert a + b == pytest.approx(0, abs=1e-4)
    assert a - b == pytest.approx(math.log(0.7 / 0.3), abs=1e-4)


def test_davidson_logits_give_davidson_probabilities() -> None:
    """s = 1, nu = .5 (Davidson 1970): .598392, .220136, .181472."""
    logits = torch.tensor([[0.5, -0.5, math.log(0.5)]])
    assert BradleyTerry(LABELS).predict(logits)[0].tolist() == pytest.approx([0.598392, 0.220136, 0.181472], abs=1e-6)


def test_centering_needs_both_answers() -> None:
    with pytest.raises(UsageError, match=r"loss\.centering=0\.1: .* must hold both model_a and model_b"):
        BradleyTerry(["model_a", "tie"], centering=0.1)
