"""Numbers of each loss: a fixture worked out by hand in float64, and torch as the reference."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.types import TextBatch
from arena.loss.class_weight import class_factors
from arena.loss.classification import (
    CrossEntropy,
    Focal,
    GeneralizedCrossEntropy,
    SymmetricCrossEntropy,
    cross_entropy,
)

LABELS = ["model_a", "model_b", "tie"]
LOGITS = torch.tensor([[2, 0.5, -1], [0.2, 0.1, 0], [-1, 3, 0.5], [0, 0, 4]], dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 0])
WEIGHT = torch.tensor([1.0, 2, 4])


def focal(logits: Tensor, target: Tensor, gamma: float, **options: Any) -> Tensor:
    labels = list(map(str, range(logits.shape[-1])))
    return Focal(labels, gamma=gamma, **options).cost(logits, target)


def check(rows: Tensor, mean: float) -> None:
    assert rows.shape == (4,)
    assert rows.mean().item() == pytest.approx(mean, abs=6e-7)


def test_cross_entropy_fixture() -> None:
    """log(sum exp z) - z_y of each row, e.g. row 1: log(e^2 + e^.5 + e^-1) - 2 = .241311."""
    rows = cross_entropy(LOGITS, TARGET)
    assert rows.tolist() == pytest.approx([0.241311, 1.201943, 0.095674, 4.035976], abs=6e-7)
    check(rows, 1.393726)
    check(cross_entropy(LOGITS, TARGET, class_weight=WEIGHT), 2.319102)
    check(cross_entropy(LOGITS, TARGET, label_smoothing=0.10), 1.449560)
    check(cross_entropy(LOGITS, TARGET, label_smoothing=0.08), 1.438393)
    # 1.258697 is torch's mean over sum(w_y) = 1 + 4 + 2 + 1 = 8 with smoothing .1; over 4 rows it is twice that.
    check(cross_entropy(LOGITS, TARGET, label_smoothing=0.10, class_weight=WEIGHT), 2 * 1.258697)


@pytest.mark.parametrize(
    ("gamma", "mean"), [(0, 1.393726), (1, 1.216440), (2, 1.123608), (2.5, 1.089279), (3, 1.059862), (3.5, 1.034214)]
)
def test_focal_fixture(gamma: float, mean: float) -> None:
    """mean of (1 - p_t)^gamma * cross entropy; p_t = exp(-cross entropy)."""
    check(focal(LOGITS, TARGET, gamma), mean)
    by_hand = cross_entropy(LOGITS, TARGET) * (1 - torch.exp(-cross_entropy(LOGITS, TARGET))) ** gamma
    torch.testing.assert_close(focal(LOGITS, TARGET, gamma), by_hand)


def test_focal_alpha_is_outside_and_smoothing_is_not_in_the_factor() -> None:
    """With alpha inside p_t, as in often copied code, the first mean would be 2.160271; other places for the smoothing
    give 1.174932 (each class its own factor) and 1.034674 (smoothed p_t)."""
    check(focal(LOGITS, TARGET, 2, alpha=WEIGHT.tolist()), 1.564752)
    check(focal(LOGITS, TARGET, 2, label_smoothing=0.10), 1.092394)


@pytest.mark.parametrize(("q", "mean"), [(0.5, 0.739585), (0.7, 0.617778), (1.0, 0.496841)])
def test_generalized_cross_entropy_fixture(q: float, mean: float) -> None:
    """mean of (1 - p_t^q) / q with p_t = exp(-cross entropy)."""
    check(GeneralizedCrossEntropy(LABELS, q).cost(LOGITS, TARGET), mean)


def test_symmetric_cross_entropy_fixture() -> None:
    """.1 * 1.393726 + 4 * mean(1 - p_t), and mean(1 - p_t) = .496841 is generalised cross entropy at q = 1."""
    check(SymmetricCrossEntropy(LABELS, 0.1, 1.0, -4.0).cost(LOGITS, TARGET), 2.126738)
    check(SymmetricCrossEntropy(LABELS, 1.0, 0.0, -4.0).cost(LOGITS, TARGET), 1.393726)
    # As the paper has it: -sum_c p_c log q_c, with log 1 = 0 and log 0 = A.
    log_label = torch.where(functional.one_hot(TARGET, 3) > 0, 0.0, -6.0).double()
    reverse = -(torch.softmax(LOGITS, -1) * log_label).sum(-1)
    torch.testing.assert_close(SymmetricCrossEntropy(LABELS, 0.0, 1.0, -6.0).cost(LOGITS, TARGET), reverse)


def test_symmetric_cross_entropy_needs_something_to_learn() -> None:
    with pytest.raises(UsageError, match=r"loss\.log_zero=0\.0: a negative number is needed"):
        SymmetricCrossEntropy(LABELS, log_zero=0.0)
    with pytest.raises(UsageError, match="one of them must be greater than 0"):
        SymmetricCrossEntropy(LABELS, alpha=0.0, beta=0.0)


def test_generalized_cross_entropy_tends_to_cross_entropy() -> None:
    """(1 - p^q) / q = -log p - q (log p)^2 / 2 + ..., so q = 1e-6 is within 1e-5 nats here (log p >= -4.04)."""
    for q in (0.0, 1e-6):
        torch.testing.assert_close(
            GeneralizedCrossEntropy(LABELS, q).cost(LOGITS, TARGET), cross_entropy(LOGITS, TARGET), atol=1e-5, rtol=0
        )
    assert GeneralizedCrossEntropy(LABELS, 0.7).cost(
        torch.tensor([[1e4, 0.0, 0]]), torch.tensor([1])
    ).item() == pytest.approx(1 / 0.7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("soft", [False, True])
def test_gamma_zero_is_torch_cross_entropy(smoothing: float, weight: list[float] | None, soft: bool) -> None:
    """Through the classes, as the mean over rows: torch's `reduction="none"` summed and divided by N."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, generator=generator)
    target = torch.randint(0, 3, (50,), generator=generator)
    if soft:
        target = torch.softmax(torch.randn(50, 3, generator=generator), -1)
    factors = None if weight is None else torch.tensor(weight)
    expected = functional.cross_entropy(logits, target, factors, reduction="none", label_smoothing=smoothing).sum() / 50
    ones = torch.ones(50, 1, dtype=torch.int64)
    batch = TextBatch(ones, ones, target, torch.ones(50), torch.arange(50), 50)
    plain = CrossEntropy(LABELS, label_smoothing=smoothing, class_weight=weight)
    for loss in (plain, Focal(LABELS, gamma=0.0, alpha=weight, label_smoothing=smoothing)):
        torch.testing.assert_close(loss(logits, batch).loss, expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 3.5])
def test_focal_of_two_classes_is_the_sigmoid_form(gamma: float) -> None:
    """softmax over (z0, z1) is the sigmoid of z1 - z0: Lin et al. eq. 4 with a sigmoid, alpha off."""
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(200, 2, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (200,), generator=generator)
    margin = logits[:, 1] - logits[:, 0]
    entropy = functional.binary_cross_entropy_with_logits(margin, target.double(), reduction="none")
    miss = torch.where(target == 1, torch.sigmoid(-margin), torch.sigmoid(margin))
    torch.testing.assert_close(focal(logits, target, gamma), miss**gamma * entropy)


@pytest.mark.parametrize(
    ("classes", "gamma", "uniform"),
    [
        (3, 2.0, 0.488272), (3, 2.5, 0.398673), (3, 3.0, 0.325515), (3, 3.5, 0.265782),
        (2, 2.0, 0.173287), (2, 2.5, 0.122532), (2, 3.0, 0.086643), (2, 3.5, 0.061266),
    ],
)  # fmt: skip
def test_focal_of_a_uniform_prediction(classes: int, gamma: float, uniform: float) -> None:
    """((K - 1) / K)^gamma * log K: the value at which a collapsed model of K classes stays."""
    assert uniform == pytest.approx((1 - 1 / classes) ** gamma * math.log(classes), abs=1e-6)
    found = focal(torch.zeros(1, classes), torch.tensor([1]), gamma).item()
    torch.testing.assert_close(found, uniform, atol=1e-6, rtol=0)


def test_focal_keeps_counting_a_nearly_certain_row() -> None:
    """1 - p_t = 2 e^-20 = 4.1e-9 is below float32's step at 1: computed as 1 - p it would be 0."""
    rows = focal(torch.tensor([[20.0, 0, 0]]), torch.tensor([0]), 1.0)
    assert focal(torch.tensor([[20.0, 0, 0]]).double(), torch.tensor([0]), 1.0).item() > 0
    torch.testing.assert_close(
        rows.item(), (2 * math.exp(-20)) * cross_entropy(torch.tensor([[20.0, 0, 0]]), torch.tensor([0])).item()
    )


def test_focal_minimum_is_too_modest() -> None:
    """True (.6, .3, .1), gamma 2: the minimum lies at (.489, .353, .158), found here by gradient descent."""
    truth = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def expected_loss() -> Tensor:
        optimizer.zero_grad()
        loss = sum(truth[0, c] * focal(logits, torch.tensor([c]), 2.0).sum() for c in range(3))
        assert isinstance(loss, Tensor)
        loss.backward()
        return loss

    optimizer.step(expected_loss)  # pyright: ignore[reportArgumentType] - torch's stub wants a float
    assert torch.softmax(logits, -1)[0].tolist() == pytest.approx([0.489, 0.353, 0.158], abs=1e-3)


def test_class_factors_follow_the_order_of_the_labels() -> None:
    mapped = class_factors(LABELS, {"tie": 4.0, "model_b": 2.0}, "loss.alpha")
    assert mapped is not None
    assert mapped.tolist() == [1, 2, 4]
    assert class_factors(LABELS, None, "loss.alpha") is None


@pytest.mark.parametrize("factors", [{"ties": 2.0}, [1.0, 2.0]])
def test_wrong_class_factors_name_the_classes(factors: dict[str, float] | list[float]) -> None:
    with pytest.raises(UsageError, match=r"loss.class_weight.*model_a, model_b, tie"):
        CrossEntropy(LABELS, class_weight=factors)
    with pytest.raises(UsageError, match=r"loss.alpha.*model_a, model_b, tie"):
        Focal(LABELS, alpha=factors)


def test_generalized_cross_entropy_forgets_a_hopeless_row() -> None:
    """The point of it: a row with p_t = e^-10 pulls p_t^q times as hard as in cross entropy (q = .7: e^-7)."""
    logits = torch.tensor([[10.0, 0, -1e9]], requires_grad=True)
    ones = torch.ones(1, 1, dtype=torch.int64)
    batch = TextBatch(ones, ones, torch.tensor([1]), torch.ones(1), torch.arange(1), 1)
    (robust,) = torch.autograd.grad(GeneralizedCrossEntropy(LABELS, 0.7)(logits, batch).loss, logits)
    (plain,) = torch.autograd.grad(CrossEntropy(LABELS)(logits, batch).loss, logits)
    torch.testing.assert_close(robust[0, 1] / plain[0, 1], torch.tensor(math.exp(-7)), rtol=1e-3, atol=0)
