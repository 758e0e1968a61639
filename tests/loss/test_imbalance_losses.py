"""Numbers of the losses for rare classes: margins, dice, asymmetric focusing, Poly-1, two stages."""

import pytest
import torch
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.types import TextBatch
from arena.loss.classification import Asymmetric, Dice, Focal, Poly, cross_entropy
from arena.loss.rare_classes import Ldam, TwoStage, margins, two_stage_log_probabilities

LABELS = ["model_a", "model_b", "tie"]
LOGITS = torch.tensor([[2, 0.5, -1], [0.2, 0.1, 0], [-1, 3, 0.5], [0, 0, 4]], dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 0])
COUNTS = torch.tensor([470, 470, 60])


def batch_of(target: torch.Tensor) -> TextBatch:
    ones = torch.ones(len(target), 1, dtype=torch.int64)
    return TextBatch(ones, ones, target, torch.ones(len(target)), torch.arange(len(target)), len(target))


def test_margins_fixture() -> None:
    """.5 * n^-1/4 over the largest, which is 1 for the class with one row: 2^-.25 = .840896, 3^-.25, 4^-.25."""
    assert margins(torch.tensor([1, 2, 3, 4]), 0.5).tolist() == pytest.approx(
        [0.5, 0.420448, 0.379918, 0.353553], abs=1e-6
    )
    assert torch.equal(margins(torch.tensor([0, 2]), 0.5), margins(torch.tensor([1, 2]), 0.5))


def test_ldam_is_cross_entropy_of_the_lead() -> None:
    """Row 0 by hand: the label's logit 2 becomes 2 - .5 (the margin of the only class with one row)."""
    loss = Ldam(LABELS)
    loss.set_class_counts(torch.tensor([1, 2, 3]), torch.tensor([1, 2, 3]))
    found = loss.cost(LOGITS, TARGET)
    by_hand = functional.cross_entropy(torch.tensor([[1.5, 0.5, -1]], dtype=torch.float64), TARGET[:1])
    torch.testing.assert_close(found[0], by_hand)
    torch.testing.assert_close(Ldam(LABELS, max_margin=0).cost(LOGITS, TARGET), cross_entropy(LOGITS, TARGET))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_ldam_agrees_with_another_implementation(scale: float) -> None:
    reference = pytest.importorskip("pytorch_optimizer").LDAMLoss([470, 470, 60], s=scale)
    loss = Ldam(LABELS, scale=scale)
    loss.set_class_counts(COUNTS, COUNTS)
    logits = LOGITS.float()
    torch.testing.assert_close(loss(logits, batch_of(TARGET)).loss, reference(logits, TARGET))


def test_margins_come_from_the_natural_rows_and_stay_in_the_checkpoint() -> None:
    trained, restored = Ldam(LABELS), Ldam(LABELS)
    trained.set_class_counts(torch.tensor([1.0, 1, 1]), COUNTS)
    torch.testing.assert_close(trained.margin.double(), margins(COUNTS, 0.5))
    restored.load_state_dict(trained.state_dict())
    assert torch.equal(restored.rows(LOGITS, batch_of(TARGET)), trained.rows(LOGITS, batch_of(TARGET)))


def test_dice_by_hand() -> None:
    """p = (.5, .3, .2), label 0, power 1, smooth 1: u = p (1 - p) = (.25, .21, .16); the label costs
    1 - 1.5 / 2.25 = 1/3, the others .21 / 1.21 and .16 / 1.16."""
    logits = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    expected = 1 / 3 + 0.21 / 1.21 + 0.16 / 1.16
    assert Dice(LABELS, 1.0, 1.0).cost(logits, torch.tensor([0])).item() == pytest.approx(expected)
    # Without the factor: the coefficient 2 |A and B| / (|A| + |B|) of Dice 1945, smoothed.
    plain = (1 - 2 / 2.5) + 0.3 / 1.3 + 0.2 / 1.2
    assert Dice(LABELS, 0.0, 1.0).cost(logits, torch.tensor([0])).item() == pytest.approx(plain)


def test_dice_as_published_takes_surely_wrong_for_surely_right() -> None:
    """Two classes and power 1: (1 - p) p is the same at p and 1 - p. At the default it is not."""
    wrong, right = torch.tensor([[-3.0, 3.0]]), torch.tensor([[3.0, -3.0]])
    label = torch.tensor([0])
    published, default = Dice(["no", "yes"], 1.0, 1.0), Dice(["no", "yes"])
    torch.testing.assert_close(published.cost(wrong, label), published.cost(right, label))
    assert default.cost(wrong, label) > default.cost(right, label) + 0.5


def test_asymmetric_fixture() -> None:
    assert Asymmetric(LABELS, 1.0, 4.0, 0.1).cost(LOGITS, TARGET).mean().item() == pytest.approx(1.135882, abs=6e-7)


@pytest.mark.parametrize("gamma_negative", [0.0, 4.0, 9.0])
def test_without_smoothing_the_negative_gamma_does_nothing(gamma_negative: float) -> None:
    """The trap: cross entropy, or focal loss with a positive gamma, whatever the negative one."""
    for gamma in (0.0, 2.0):
        found = Asymmetric(LABELS, gamma, gamma_negative, 0.0).cost(LOGITS, TARGET)
        torch.testing.assert_close(found, Focal(LABELS, gamma=gamma).cost(LOGITS, TARGET))


@pytest.mark.parametrize(
    ("epsilon", "smoothing", "mean"),
    [(1, 0.0, 1.890567), (2, 0.0, 2.387409), (-1, 0.0, 0.896885), (0, 0.0, 1.393726), (2, 0.1, 2.477207)],
)
def test_poly_fixture(epsilon: float, smoothing: float, mean: float) -> None:
    """1.393726 + epsilon * .496841 (the mean of 1 - p of the label); the last is timm's, smoothed in both terms."""
    loss = Poly(LABELS, epsilon=epsilon, label_smoothing=smoothing)
    assert loss.cost(LOGITS, TARGET).mean().item() == pytest.approx(mean, abs=1.1e-6)


def test_poly_below_minus_one_would_learn_the_wrong_way() -> None:
    """The slope in p of -log p + e (1 - p) is -1 / p - e: at p = 1 it is positive from e < -1 on."""
    with pytest.raises(UsageError, match=r"loss\.epsilon=-1\.5: a number from -1 on is needed"):
        Poly(LABELS, epsilon=-1.5)


def test_two_stages_are_a_binary_and_a_cross_entropy() -> None:
    """With torch's own: BCE of the lead over the mean of the others, and CE of the others for rows that are theirs."""
    loss = TwoStage(LABELS, first="model_b")
    rest = LOGITS[:, [0, 2]]
    lead = LOGITS[:, 1] - rest.mean(-1)
    binary = functional.binary_cross_entropy_with_logits(lead, (TARGET == 1).double(), reduction="none")
    among = functional.cross_entropy(rest, torch.tensor([0, 1, 0, 0]), reduction="none")
    expected = binary + torch.where(TARGET == 1, 0.0, among)
    torch.testing.assert_close(loss.rows(LOGITS, batch_of(TARGET)), expected)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_two_stages_give_the_product(first: int) -> None:
    loss = TwoStage(LABELS, first=LABELS[first])
    others = [place for place in range(3) if place != first]
    sure = torch.sigmoid(LOGITS[:, first] - LOGITS[:, others].mean(-1))
    expected = torch.zeros(4, 3, dtype=torch.float64)
    expected[:, first] = sure
    expected[:, others] = (1 - sure).unsqueeze(-1) * torch.softmax(LOGITS[:, others], -1)
    torch.testing.assert_close(loss.predict(LOGITS), expected.float())
    torch.testing.assert_close(two_stage_log_probabilities(LOGITS, first).exp().sum(-1), torch.ones(4).double())


@pytest.mark.parametrize("first", LABELS)
def test_two_stages_start_at_the_shares(first: str) -> None:
    """Logits that are logarithms of what `set_class_counts` returns give the shares of the rows, also above a half."""
    counts = torch.tensor([700, 240, 60])
    loss = TwoStage(LABELS, first=first)
    start = loss.set_class_counts(counts, counts)
    torch.testing.assert_close(start.sum(), counts.double().sum())
    torch.testing.assert_close(
        loss.predict(start.log().unsqueeze(0))[0].double(), counts.double() / 1000, atol=1e-6, rtol=0
    )


def test_two_stages_leave_the_others_boundary_to_their_own_rows() -> None:
    """A row of the first class has the same pull on both others: none on the difference between them."""
    logits = LOGITS.clone().requires_grad_()
    loss = TwoStage(LABELS, first="tie")
    (slope,) = torch.autograd.grad(loss.cost(logits, torch.full((4,), 2)).sum(), logits)
    torch.testing.assert_close(slope[:, 0], slope[:, 1])
    (plain,) = torch.autograd.grad(cross_entropy(logits, torch.full((4,), 2)).sum(), logits)
    assert not torch.allclose(plain[:, 0], plain[:, 1], atol=0.01)


def test_two_stages_need_three_classes_and_a_first_one() -> None:
    with pytest.raises(UsageError, match="three or more classes are needed"):
        TwoStage(["no", "yes"])
    with pytest.raises(UsageError, match=r"loss\.first=ties: no such class; the classes are model_a, model_b, tie"):
        TwoStage(LABELS, first="ties")
