"""What a teacher costs: the formula by hand, rows without one, and where its minimum lies."""

import math

import pytest
import torch
from torch.nn import functional

from arena.core.types import UNLABELLED, TextBatch
from arena.loss.distillation import Distillation, divergence_from_teacher

LABELS = ["model_a", "model_b", "tie"]


def case(rows: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    teacher = torch.softmax(2 * torch.randn(rows, 3, generator=generator, dtype=torch.float64), -1)
    return logits, torch.arange(rows) % 3, teacher


def batch_of(target: torch.Tensor, teacher: torch.Tensor | None) -> TextBatch:
    rows = len(target)
    ones = torch.ones(rows, 1, dtype=torch.int64)
    known = target != UNLABELLED
    return TextBatch(ones, ones, target, known.float(), torch.arange(rows), int(known.sum()), teacher)


def test_by_hand() -> None:
    """Teacher (.8, .2), T = 2: (sqrt .8, sqrt .2) / sum = (2/3, 1/3). Student logits (ln 4, 0) / 2: (2/3, 1/3) too. At
    logits 0 the student is (1/2, 1/2): 4 (2/3 ln 4/3 + 1/3 ln 2/3)."""
    teacher = torch.tensor([[0.8, 0.2]] * 2, dtype=torch.float64)
    logits = torch.tensor([[math.log(4), 0.0], [0.0, 0.0]], dtype=torch.float64)
    expected = 4 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3))
    assert divergence_from_teacher(logits, teacher, 2.0).tolist() == pytest.approx([0, expected], abs=1e-12)


def test_temperature_one_is_the_divergence() -> None:
    logits, _, teacher = case()
    student = torch.softmax(logits, -1)
    expected = (teacher * (teacher / student).log()).sum(-1)
    torch.testing.assert_close(divergence_from_teacher(logits, teacher, 1.0), expected)


def test_a_certain_teacher_is_the_label() -> None:
    """KL to a one-hot row is its cross entropy; the zeros of the teacher give no NaN, in the gradient neither."""
    logits, target, _ = case()
    teacher = functional.one_hot(target, 3).double()
    free = logits.clone().requires_grad_()
    rows = divergence_from_teacher(free, teacher, 1.0)
    torch.testing.assert_close(rows, functional.cross_entropy(free, target, reduction="none"))
    rows.sum().backward()
    assert free.grad is not None
    assert torch.isfinite(free.grad).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_label_and_teacher_are_mixed(share: float) -> None:
    logits, target, teacher = case()
    plain = functional.cross_entropy(logits, target, reduction="none")
    expected = (1 - share) * plain + share * divergence_from_teacher(logits, teacher, 3.0)
    loss = Distillation(LABELS, share=share, temperature=3.0)
    torch.testing.assert_close(loss(logits, batch_of(target, teacher)).loss, expected.mean())
    torch.testing.assert_close(loss.rows(logits, batch_of(target, teacher)), plain)


def test_rows_without_a_teacher_cost_their_label_in_full() -> None:
    logits, target, teacher = case()
    teacher[[1, 4]] = math.nan
    target[6] = UNLABELLED
    teacher[6] = math.nan
    loss = Distillation(LABELS, share=0.6)
    found = loss.rows(logits, batch_of(target, teacher), training=True)
    plain = functional.cross_entropy(logits, target, reduction="none", ignore_index=UNLABELLED)
    torch.testing.assert_close(found[[1, 4]], plain[[1, 4]])
    taught = [0, 2, 3, 5, 7]
    expected = 0.4 * plain + 0.6 * divergence_from_teacher(logits, torch.nan_to_num(teacher, 1 / 3), 1.0)
    torch.testing.assert_close(found[taught], expected[taught])
    free = logits.clone().requires_grad_()
    loss(free, batch_of(target, teacher)).loss.backward()
    assert free.grad is not None
    assert torch.isfinite(free.grad).all()
    assert torch.equal(free.grad[6], torch.zeros(3, dtype=torch.float64))


def test_without_any_teacher_it_is_cross_entropy_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    logits, target, _ = case()
    loss = Distillation(LABELS)
    with caplog.at_level("WARNING", logger="arena"):
        for _ in range(2):
            torch.testing.assert_close(
                loss(logits, batch_of(target, None)).loss, functional.cross_entropy(logits, target)
            )
    assert caplog.messages == ["loss=distillation without a teacher is cross entropy; give data.teacher=FILE"]


def test_the_minimum_lies_between_label_and_teacher() -> None:
    """At T = 1 the cost is cross entropy with (1 - share) one-hot + share * teacher, up to a constant."""
    _, target, teacher = case(4)
    mixed = 0.5 * functional.one_hot(target, 3) + 0.5 * teacher
    loss = Distillation(LABELS)
    logits = mixed.log().requires_grad_()
    loss(logits, batch_of(target, teacher)).loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().max().item() < 1e-12


def test_the_gradient_is_the_derivative() -> None:
    logits, target, teacher = case(5)
    loss = Distillation(LABELS, temperature=2.0)
    batch = batch_of(target, teacher)
    assert torch.autograd.gradcheck(lambda z: loss(z, batch).loss, logits.requires_grad_())
