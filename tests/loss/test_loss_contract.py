"""What every loss must keep to, asked of all files in conf/loss: whoever adds a YAML gets these tests for nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from arena.core.construct import instantiate
from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, TextBatch
from arena.loss.base import Loss

CONF = Path(__file__).parents[2] / "conf" / "loss"
LABELS = ["model_a", "model_b", "tie"]
OVER_TOKENS = {"language_model", "polychromic"}
"""Losses of language models: see test_language.py."""
NAMES = sorted({path.stem for path in CONF.glob("*.yaml")} - OVER_TOKENS)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"class_weight": {"tie": 3.0}}),
    ("cross_entropy", {"class_weight": [1.0, 2.0, 4.0], "label_smoothing": 0.1}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 3.5, "alpha": [1.0, 2.0, 4.0], "label_smoothing": 0.08}),
    ("generalized_cross_entropy", {"q": 1.0}),
    ("symmetric_cross_entropy", {"alpha": 0.0}),
    ("logit_adjustment", {"tau": 0.5, "label_smoothing": 0.1, "decision": "natural"}),
    ("distillation", {"share": 0.9, "temperature": 2.0}),
    ("cross_entropy", {"class_weight": "effective", "class_weight_from_epoch": 2}),
    ("ldam", {"scale": 3.0, "class_weight": [1.0, 2.0, 4.0]}),
    ("dice", {"power": 0.5}),
    ("asymmetric", {"gamma_positive": 0.5, "label_smoothing": 0.0}),
    ("poly", {"epsilon": -1.0, "label_smoothing": 0.1, "class_weight": {"tie": 2.0}}),
    ("two_stage", {"first": "tie", "class_weight": [1.0, 2.0, 4.0]}),
    ("multi_head", {"loss@head": "focal", "head": {"alpha": [1.0, 2.0, 4.0], "gamma": 3.5}}),
]
EVERY_LOSS = pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=lambda value: str(value))
"""For properties that an option could break; the others are asked of the files as they are."""
EVERY_FILE = pytest.mark.parametrize("name", NAMES)


def build(name: str, changes: dict[str, Any] | None = None, labels: list[str] | None = None) -> Loss:
    changes = dict(changes or {})
    chosen = changes.pop("loss@head", "cross_entropy")  # as the defaults of the file say
    head = {"head": OmegaConf.load(CONF / f"{chosen}.yaml")} if name == "multi_head" else {}
    config = OmegaConf.merge(
        {"data": {"labels": labels or LABELS}, "loss": OmegaConf.merge(head, OmegaConf.load(CONF / f"{name}.yaml"))},
        {"loss": changes},
    )
    node = cast(dict[str, Any], OmegaConf.to_container(config.loss, resolve=True))
    node.pop("defaults", None)
    return instantiate(node)


def batch_of(target: Tensor, weight: Tensor | None = None) -> TextBatch:
    rows = len(target)
    labelled = target.nan_to_num().sum(-1) > 0 if target.is_floating_point() else target != UNLABELLED
    return TextBatch(
        input_ids=torch.ones(rows, 1, dtype=torch.int64),
        attention_mask=torch.ones(rows, 1, dtype=torch.int64),
        target=target,
        weight=labelled.float() if weight is None else weight,
        row=torch.arange(rows),
        supervised=int(labelled.sum()),
    )


def random_case(rows: int = 12, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        (2 * torch.randn(rows, 3, generator=generator, dtype=torch.float64)).to(dtype),
        torch.randint(0, 3, (rows,), generator=generator),
    )


def gradient(loss: Callable[[Tensor, TextBatch], Any], logits: Tensor, batch: TextBatch) -> Tensor:
    logits = logits.clone().requires_grad_()
    loss(logits, batch).loss.backward()
    assert logits.grad is not None
    return logits.grad


@EVERY_FILE
def test_a_finite_scalar_with_a_gradient_in_every_row(name: str) -> None:
    logits, target = random_case()
    output = build(name)(logits, batch_of(target))
    assert output.loss.shape == ()
    assert output.loss.dtype == torch.float32
    assert torch.isfinite(output.loss)
    assert output.n == 12
    assert (gradient(build(name), logits, batch_of(target)).abs().sum(-1) > 0).all()


@EVERY_LOSS
def test_rows_without_a_target_give_exactly_nothing(name: str, changes: dict[str, Any]) -> None:
    """12 rows + 4 unknown: the 4 logits change no bit, their gradient is exactly 0, and the rest is the loss of the 12.

    The last only up to rounding: 16 rows are added and vectorised in another order than 12.
    """
    logits, target = random_case()
    loss = build(name, changes)
    batch = batch_of(torch.cat([target, torch.full((4,), UNLABELLED)]))
    assert batch.supervised == 12
    known, slope = torch.cat([logits, logits[:4]]), gradient(loss, logits, batch_of(target))
    torch.testing.assert_close(loss(known, batch).loss, loss(logits, batch_of(target)).loss)
    for nonsense in (0.0, 1e4, float("nan"), float("inf")):
        longer = torch.cat([logits, torch.full((4, 3), nonsense)])
        assert torch.equal(loss(longer, batch).loss, loss(known, batch).loss), nonsense
        found = gradient(loss, longer, batch)
        torch.testing.assert_close(found[:12], slope)
        assert torch.equal(found[12:], torch.zeros(4, 3)), nonsense


@EVERY_LOSS
def test_rows_without_target_probabilities_give_exactly_nothing(name: str, changes: dict[str, Any]) -> None:
    logits, target = random_case()
    loss = build(name, changes)
    soft = torch.nn.functional.one_hot(target, 3).float() * 0.9 + 0.1 / 3
    longer = torch.cat([logits, torch.ones(4, 3)])
    for hole in (float("nan"), 0.0):
        batch = batch_of(torch.cat([soft, torch.full((4, 3), hole)]))
        assert batch.supervised == 12
        torch.testing.assert_close(loss(longer, batch).loss, loss(logits, batch_of(soft)).loss)
        assert torch.equal(gradient(loss, longer, batch)[12:], torch.zeros(4, 3))


@EVERY_FILE
def test_a_batch_without_targets_is_a_zero_on_the_graph(name: str) -> None:
    logits, _ = random_case(4)
    batch = batch_of(torch.full((4,), UNLABELLED))
    output = build(name)(logits, batch)
    assert (output.n, output.loss.item()) == (0, 0.0)
    assert torch.equal(gradient(build(name), logits, batch), torch.zeros(4, 3))


@EVERY_LOSS
def test_weights_multiply_rows(name: str, changes: dict[str, Any]) -> None:
    """Three rows with weights 0, 1, 2: n stays 3, the sum is r1 + 2 r2, and weight 2 == the row twice."""
    logits, target = random_case(3)
    loss = build(name, changes)
    each = [loss(logits[i : i + 1], batch_of(target[i : i + 1])).loss for i in range(3)]
    weighted = loss(logits, batch_of(target, torch.tensor([0.0, 1.0, 2.0])))
    torch.testing.assert_close(weighted.loss * weighted.n, each[1] + 2 * each[2])
    twice = torch.tensor([1, 2, 2])
    doubled = loss(logits[twice], batch_of(target[twice]))
    torch.testing.assert_close(weighted.loss * weighted.n, doubled.loss * doubled.n)


@EVERY_LOSS
def test_the_gradient_is_the_derivative(name: str, changes: dict[str, Any]) -> None:
    logits, target = random_case(5, dtype=torch.float64)
    loss = build(name, changes)
    soft = torch.softmax(random_case(5, seed=1)[0], dim=-1)
    for case in (batch_of(target), batch_of(soft), batch_of(target, torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0]))):
        assert torch.autograd.gradcheck(lambda z, case=case: loss(z, case).loss, logits.clone().requires_grad_())


@EVERY_FILE
def test_the_loss_falls_towards_the_right_class(name: str) -> None:
    """Logit of the label from -6 to 6, the others 0: strictly decreasing."""
    loss = build(name)
    for label in range(3):
        steps = torch.linspace(-6, 6, 25)
        logits = torch.zeros(25, 3)
        logits[:, label] = steps
        losses = torch.stack([loss(row.unsqueeze(0), batch_of(torch.tensor([label]))).loss for row in logits])
        assert (losses.diff() < 0).all()


@EVERY_LOSS
def test_predict_gives_probabilities_and_keeps_the_order(name: str, changes: dict[str, Any]) -> None:
    logits, _ = random_case()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        probabilities = build(name, changes).predict(logits.to(dtype))
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(12))
        if name != "two_stage":  # the classes of the second stage share what the first one leaves
            assert torch.equal(probabilities.argmax(-1), logits.to(dtype).argmax(-1))
        torch.testing.assert_close(
            build(name, changes).log_probabilities(logits).exp(), build(name, changes).predict(logits)
        )


@EVERY_LOSS
def test_a_constant_added_to_the_logits_changes_nothing(name: str, changes: dict[str, Any]) -> None:
    logits, target = random_case()
    loss = build(name, changes)
    torch.testing.assert_close(loss(logits + 7, batch_of(target)).loss, loss(logits, batch_of(target)).loss)
    torch.testing.assert_close(loss.predict(logits + 7), loss.predict(logits))


@EVERY_FILE
def test_short_floats_are_computed_in_float32(name: str) -> None:
    logits, target = random_case()
    loss = build(name)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        short = logits.to(dtype)
        output = loss(short, batch_of(target))
        assert output.loss.dtype == torch.float32
        assert torch.equal(output.loss, loss(short.float(), batch_of(target)).loss)
        torch.testing.assert_close(output.loss, loss(logits, batch_of(target)).loss, rtol=2e-2, atol=0)


@EVERY_LOSS
def test_huge_logits_have_finite_gradients(name: str, changes: dict[str, Any]) -> None:
    """|z| = 1e4 (float16 ends at 6.6e4), right, wrong and tied, in bfloat16 and float32."""
    logits = 1e4 * torch.tensor([[1.0, -1, -1], [-1, 1, -1], [1, 1, -1], [0, 0, 0]])
    target = torch.tensor([0, 0, 1, 2])
    for dtype in (torch.float32, torch.bfloat16):
        loss = build(name, changes)
        assert torch.isfinite(loss(logits.to(dtype), batch_of(target)).loss)
        assert torch.isfinite(gradient(loss, logits.to(dtype), batch_of(target))).all()


@EVERY_FILE
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    logits, target = random_case()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    loss = build(name)
    torch.testing.assert_close(loss(logits[order], batch_of(target[order])).loss, loss(logits, batch_of(target)).loss)


@EVERY_LOSS
def test_one_hot_probabilities_are_indices(name: str, changes: dict[str, Any]) -> None:
    logits, target = random_case()
    loss = build(name, changes)
    hard, soft = batch_of(target), batch_of(torch.nn.functional.one_hot(target, 3).float())
    torch.testing.assert_close(loss(logits, soft).loss, loss(logits, hard).loss)
    torch.testing.assert_close(gradient(loss, logits, soft), gradient(loss, logits, hard))


@EVERY_FILE
def test_the_mean_over_an_epoch_is_exact_for_unequal_batches(name: str) -> None:
    """Batches of 5, 4 and 3 rows, of which 1, 0 and 2 have no target: the n-weighted mean == one batch of 12."""
    logits, target = random_case()
    target[[1, 9, 11]] = UNLABELLED
    loss = build(name)
    parts = [loss(z, batch_of(t)) for z, t in zip(logits.split([5, 4, 3]), target.split([5, 4, 3]), strict=True)]
    mean = sum(part.loss * part.n for part in parts) / sum(part.n for part in parts)
    torch.testing.assert_close(mean, loss(logits, batch_of(target)).loss)


@EVERY_LOSS
def test_rows_are_the_parts_of_the_mean(name: str, changes: dict[str, Any]) -> None:
    """Each row as a batch of its own, before weights; NaN, not a perfect 0, where nothing is known."""
    logits, target = random_case(6)
    loss = build(name, changes)
    each = torch.stack([loss(logits[i : i + 1], batch_of(target[i : i + 1])).loss for i in range(6)])
    torch.testing.assert_close(loss.rows(logits, batch_of(target, torch.arange(6.0))), each)
    assert torch.equal(
        loss.rows(logits.bfloat16(), batch_of(target)), loss.rows(logits.bfloat16().float(), batch_of(target))
    )
    target[2] = UNLABELLED
    soft = torch.nn.functional.one_hot(target.clamp_min(0), 3).float()
    soft[2] = float("nan")
    each[2] = float("nan")
    for unknown in (target, soft):
        torch.testing.assert_close(loss.rows(logits, batch_of(unknown)), each, equal_nan=True)


@EVERY_FILE
def test_it_moves_and_copies_like_a_module(name: str) -> None:
    """Nothing but what was learned in checkpoints: a factor from the configuration is not state."""
    learned = {"logit_adjustment": {"shares"}, "ldam": {"margin"}, "multi_head": {"head_factor"}}
    assert set(build(name).state_dict()) == learned.get(name, set())
    assert not list(build(name).parameters())


@EVERY_FILE
def test_logits_of_another_model_are_refused(name: str) -> None:
    logits, target = random_case()
    with pytest.raises(UsageError, match="3 logits per row but the loss has 4 classes"):
        build(name, labels=["model_a", "model_b", "tie", "neither"])(logits, batch_of(target))


@EVERY_FILE
def test_a_teacher_is_heard_or_refused(name: str) -> None:
    logits, target = random_case()
    batch = replace(batch_of(target), teacher=torch.softmax(random_case(seed=1)[0], dim=-1))
    loss = build(name)
    if loss.uses_teacher:
        assert not torch.equal(loss(logits, batch).loss, loss(logits, batch_of(target)).loss)
        return
    message = f"^data.teacher is given but loss={name} does not use it; choose loss=distillation$"
    with pytest.raises(UsageError, match=message):
        loss(logits, batch)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cross_entropy", {"label_smoothing": 0.1, "class_weight": [1.0, 2.0, 4.0]}),
        ("generalized_cross_entropy", {}),
        ("symmetric_cross_entropy", {"alpha": 0.5}),
        ("logit_adjustment", {"label_smoothing": 0.1}),
        ("bradley_terry", {"label_smoothing": 0.1}),
        ("distillation", {}),
        ("asymmetric", {}),
        ("poly", {"label_smoothing": 0.1, "class_weight": [1.0, 2.0, 4.0]}),
        ("two_stage", {"class_weight": [1.0, 2.0, 4.0]}),
    ],
)
def test_a_soft_target_is_the_mean_of_its_votes(name: str, changes: dict[str, Any]) -> None:
    """Losses that are linear in the target: a row with (.5, .2, .3) costs .5, .2 and .3 of what each class costs."""
    logits, _ = random_case(7)
    shares = torch.tensor([0.5, 0.2, 0.3])
    loss = build(name, changes)
    if name == "logit_adjustment":
        cast(Any, loss).set_class_counts(torch.tensor([470, 470, 60]), torch.tensor([470, 470, 60]))
    hard = torch.stack([loss.rows(logits, batch_of(torch.full((7,), label))) for label in range(3)], dim=-1)
    torch.testing.assert_close(loss.rows(logits, batch_of(shares.expand(7, 3))), hard @ shares)


def test_a_divergence_in_a_supervised_row_stays_visible() -> None:
    logits, target = random_case()
    logits[0, 0] = float("nan")
    assert torch.isnan(build("cross_entropy")(logits, batch_of(target)).loss)


def test_the_weight_of_a_labelled_row_may_be_zero() -> None:
    """n counts it (it has a target), the sum does not."""
    logits, target = random_case(2)
    batch = batch_of(target, torch.tensor([1.0, 0.0]))
    loss = build("cross_entropy")
    single = loss(logits[:1], batch_of(target[:1])).loss
    torch.testing.assert_close(loss(logits, batch).loss, single / 2)
    torch.testing.assert_close(loss(logits, replace(batch, supervised=1)).loss, single)
