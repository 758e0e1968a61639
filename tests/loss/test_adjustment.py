"""Logit adjustment: the numbers, the shares that it is given, and what it does for a rare class."""

import pytest
import torch

from arena.core.errors import UsageError
from arena.core.types import TextBatch
from arena.loss.classification import cross_entropy
from arena.loss.rare_classes import LogitAdjustment

LABELS = ["model_a", "model_b", "tie"]
LOGITS = torch.tensor([[2, 0.5, -1], [0.2, 0.1, 0], [-1, 3, 0.5], [0, 0, 4]], dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 0])
COUNTS = torch.tensor([470, 470, 60])


def batch_of(target: torch.Tensor) -> TextBatch:
    ones = torch.ones(len(target), 1, dtype=torch.int64)
    return TextBatch(ones, ones, target, torch.ones(len(target)), torch.arange(len(target)), len(target))


def test_fixture() -> None:
    """Cross entropy of z + log(.47, .47, .06), e.g. row 2: log(e^.2 .47 + e^.1 .47 + .06) - log .06 = 2.9562."""
    loss = LogitAdjustment(LABELS)
    loss.set_class_counts(COUNTS, COUNTS)
    assert loss(LOGITS, batch_of(TARGET)).loss.item() == pytest.approx(1.346267, abs=1e-6)


def test_tau_zero_and_equal_shares_are_cross_entropy() -> None:
    plain = cross_entropy(LOGITS, TARGET)
    without = LogitAdjustment(LABELS, tau=0.0)
    without.set_class_counts(COUNTS, COUNTS)
    torch.testing.assert_close(without.rows(LOGITS, batch_of(TARGET)), plain)
    torch.testing.assert_close(LogitAdjustment(LABELS).rows(LOGITS, batch_of(TARGET)), plain)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5])
def test_the_start_is_that_of_the_shares(tau: float) -> None:
    """Logits that start at pi^(1 - tau) cost what the shares cost: the entropy of (.47, .47, .06)."""
    loss = LogitAdjustment(LABELS, tau=tau, decision="natural")
    start = loss.set_class_counts(COUNTS, COUNTS)
    shares = COUNTS.double() / 1000
    torch.testing.assert_close(start.sum(), torch.tensor(1000.0, dtype=torch.float64))
    torch.testing.assert_close(start / start.sum(), shares ** (1 - tau) / (shares ** (1 - tau)).sum())
    logits = start.log().expand(1000, 3)
    target = torch.repeat_interleave(torch.arange(3), COUNTS)
    entropy = -(shares * shares.log()).sum().item()
    assert loss(logits, batch_of(target)).loss.item() == pytest.approx(entropy, abs=1e-6)
    torch.testing.assert_close(loss.predict(logits[:1])[0], shares.float())


def test_balanced_and_natural_probabilities() -> None:
    """Bayes: p(y | x) is proportional to pi_y p(x | y), so the natural ones are the balanced ones times the shares."""
    balanced, natural = LogitAdjustment(LABELS), LogitAdjustment(LABELS, decision="natural")
    for loss in (balanced, natural):
        loss.set_class_counts(COUNTS, COUNTS)
    torch.testing.assert_close(balanced.predict(LOGITS), torch.softmax(LOGITS, -1).float())
    expected = torch.softmax(LOGITS, -1) * COUNTS
    torch.testing.assert_close(natural.predict(LOGITS), (expected / expected.sum(-1, keepdim=True)).float())
    torch.testing.assert_close(
        -natural.predict(LOGITS)[range(4), TARGET].log(), natural.rows(LOGITS, batch_of(TARGET)).float()
    )


def test_the_minimum_finds_the_likelihood_of_a_rare_class() -> None:
    """One feature with two values, classes .9 and .1, p(x=1 | y) = .3 and .6. By hand the balanced probability of the
    rare class given x=1 is .6 / (.3 + .6) = 2/3, though the natural one is .06 / (.27 + .06) = 2/11."""
    joint = torch.tensor([[0.9 * 0.7, 0.1 * 0.4], [0.9 * 0.3, 0.1 * 0.6]], dtype=torch.float64)
    loss = LogitAdjustment(LABELS[:2])
    loss.set_class_counts(torch.tensor([900, 100]), torch.tensor([900, 100]))
    natural = LogitAdjustment(LABELS[:2], decision="natural")
    natural.set_class_counts(torch.tensor([900, 100]), torch.tensor([900, 100]))
    logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def expected_loss() -> torch.Tensor:
        optimizer.zero_grad()
        costs = torch.stack([loss.cost(logits, torch.full((2,), y)) for y in range(2)], dim=-1)
        total = (joint * costs).sum()
        total.backward()
        return total

    optimizer.step(expected_loss)  # pyright: ignore[reportArgumentType] - torch's stub wants a float
    found = logits.detach()
    assert loss.predict(found)[1, 1].item() == pytest.approx(2 / 3, abs=1e-4)
    assert natural.predict(found)[1, 1].item() == pytest.approx(2 / 11, abs=1e-4)


def test_shares_travel_with_the_checkpoint() -> None:
    loss = LogitAdjustment(LABELS)
    loss.set_class_counts(COUNTS, COUNTS)
    restored = LogitAdjustment(LABELS)
    restored.load_state_dict(loss.state_dict())
    assert restored.shares.tolist() == pytest.approx([0.47, 0.47, 0.06])
    torch.testing.assert_close(restored.rows(LOGITS, batch_of(TARGET)), loss.rows(LOGITS, batch_of(TARGET)))


def test_a_class_without_rows_stays_finite() -> None:
    loss = LogitAdjustment(LABELS)
    loss.set_class_counts(torch.tensor([6, 3, 0]), torch.tensor([6, 3, 0]))
    assert loss.shares.tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert torch.isfinite(loss.rows(LOGITS, batch_of(TARGET))).all()
    with pytest.raises(UsageError, match="2 class counts for the 3 classes"):
        loss.set_class_counts(torch.tensor([6, 3]), torch.tensor([6, 3]))
