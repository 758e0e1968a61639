"""R-Drop: the reference numbers, which rows count, and that it notices when it does nothing."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, TextBatch
from arena.loss.multi_head import MultiHead
from arena.loss.multi_task import PATIENCE, RDrop, symmetric_divergence

LABELS = {"stance": ["AGAINST", "FAVOR", "NONE"]}
FIRST = torch.tensor([[2, 0.5, -1], [0.2, 0.1, 0], [-1, 3, 0.5], [0, 0, 4]], dtype=torch.float64)
SECOND = FIRST + torch.tensor([[0.3, -0.1, 0], [0, 0.2, -0.2], [0.5, -0.5, 0], [-0.2, 0.1, 0.1]], dtype=torch.float64)
LOGITS = torch.cat([FIRST, SECOND])
TARGET = torch.tensor([0, 2, 1, 0])


def batch_of(target: torch.Tensor, copies: int = 2) -> TextBatch:
    """Each row `copies` times, all once before any comes again; target `[N, T]`."""
    target = torch.cat([target] * copies)
    labelled = (target != UNLABELLED).any(-1)
    ones = torch.ones(len(target), 1, dtype=torch.int64)
    row = torch.arange(len(target) // copies).repeat(copies)
    return TextBatch(ones, ones, target, labelled.float(), row, int(labelled.sum()), copies=copies)


def build(alpha: float = 0.6, warmup: float = 0.0, labels: Any = None, **options: Any) -> MultiHead:
    return MultiHead(labels or LABELS, rdrop={"alpha": alpha, "warmup": warmup}, **options)


def test_divergence_fixture() -> None:
    rows = symmetric_divergence(torch.log_softmax(FIRST, -1), torch.log_softmax(SECOND, -1))
    assert rows.tolist() == pytest.approx([0.011049, 0.012506, 0.022583, 0.000678], abs=6e-7)
    assert rows.sum().item() == pytest.approx(0.046816, abs=6e-7)
    assert rows.mean().item() == pytest.approx(0.011704, abs=6e-7)
    p, q = torch.log_softmax(FIRST, -1), torch.log_softmax(SECOND, -1)
    both = [functional.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in ((p, q), (q, p))]
    torch.testing.assert_close(rows.mean(), (both[0] + both[1]) / 2)


def test_total_fixture() -> None:
    """The mean of the two cross entropies and .6 * .011704."""
    output = build()(LOGITS, batch_of(TARGET.unsqueeze(1)))
    assert output.loss.item() == pytest.approx(1.465514, abs=1e-6)
    assert output.parts["rdrop"].item() == pytest.approx(0.011704, abs=1e-6)
    assert not output.parts["rdrop"].requires_grad


def test_the_gradient_goes_through_both_copies() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = build().double()
    assert torch.autograd.gradcheck(lambda z: loss(z, batch_of(TARGET.unsqueeze(1))).loss, logits)
    with_rdrop = torch.autograd.grad(loss(logits, batch_of(TARGET.unsqueeze(1))).loss, logits)[0]
    without = torch.autograd.grad(build(0.0)(logits, batch_of(TARGET.unsqueeze(1))).loss, logits)[0]
    assert ((with_rdrop - without).abs().sum(-1) > 1e-5).all()


def test_only_rows_with_a_label_count_and_heads_have_their_weights() -> None:
    """Two heads of the same logits, the second with weight 2 and without labels; row 2 has none at all, and logits that
    are no numbers. By hand: 3 times the mean of the other three rows of the fixture."""
    target = torch.stack([TARGET, torch.full((4,), UNLABELLED)], dim=-1)
    target[2] = UNLABELLED
    logits = torch.cat([LOGITS, LOGITS], dim=-1)
    logits[[2, 6]] = torch.nan
    loss = build(labels={"one": ["a", "b", "c"], "two": ["a", "b", "c"]}, task_weights={"two": 2.0})
    output = loss(logits, batch_of(target))
    assert output.parts["rdrop"].item() == pytest.approx(3 * (0.011049 + 0.012506 + 0.000678) / 3, abs=2e-6)
    assert torch.isfinite(output.loss)


def test_evaluation_and_other_numbers_of_copies() -> None:
    loss = build()
    once = batch_of(TARGET.unsqueeze(1), copies=1)
    with pytest.raises(UsageError, match=r"the batch has 1; set data\.copies=2"):
        loss(FIRST, once)
    loss.eval()
    output = loss(FIRST, once)
    assert output.loss.item() == pytest.approx(1.393726, abs=1e-6)
    assert "rdrop" not in output.parts
    assert torch.equal(loss.rows(FIRST, once), build(0.0).rows(FIRST, once))


def test_alpha_rises_during_the_warm_up() -> None:
    loss = build(warmup=0.2)
    for progress, share in ((0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)):
        loss.at(0, progress)
        found = loss(LOGITS, batch_of(TARGET.unsqueeze(1))).loss
        plain = build(0.0)(LOGITS, batch_of(TARGET.unsqueeze(1))).loss
        assert (found - plain).item() == pytest.approx(share * 0.6 * 0.011704, abs=1e-6)


def test_without_dropout_it_says_so_at_the_tenth_step() -> None:
    loss = build()
    same = torch.cat([FIRST, FIRST])
    for _ in range(PATIENCE - 1):
        loss(same, batch_of(TARGET.unsqueeze(1)))
    with pytest.raises(UsageError, match="does nothing: in 10 steps .* give the model dropout"):
        loss(same, batch_of(TARGET.unsqueeze(1)))


def test_a_head_that_starts_at_zero_is_not_blamed() -> None:
    """Equal logits in the first steps, different ones in a later step; and it looks once."""
    loss = build()
    for step in range(3 * PATIENCE):
        logits = LOGITS if step == PATIENCE - 2 else torch.cat([FIRST, FIRST])
        found = loss(logits, batch_of(TARGET.unsqueeze(1))).parts["rdrop"].item()
        assert (found > 0) == (step == PATIENCE - 2)


def test_steps_without_a_label_are_not_counted() -> None:
    rdrop = RDrop({"alpha": 1.0})
    for _ in range(2 * PATIENCE):
        rdrop.watch(torch.tensor(0.0), 0)
    # All of the patience is still there.
    for _ in range(PATIENCE - 1):
        rdrop.watch(torch.tensor(0.0), 4)
    with pytest.raises(UsageError, match="does nothing"):
        rdrop.watch(torch.tensor(0.0), 4)


def test_the_copies_may_be_as_many_as_the_loss_does_not_ask_for() -> None:
    batch = batch_of(TARGET.unsqueeze(1))
    plain = build(0.0)
    assert torch.equal(plain(LOGITS, batch).loss, plain(LOGITS, replace(batch, copies=1)).loss)
