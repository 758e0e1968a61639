"""Several heads: what a row costs, what a missing label does, and that a head alone is the loss it is made of."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from support import compose
from torch import Tensor

from arena.config import build as arena_build
from arena.core import schema
from arena.core.errors import UsageError
from arena.core.types import UNLABELLED, TextBatch
from arena.loss.base import Loss
from arena.loss.classification import Asymmetric, CrossEntropy, Dice, Focal, GeneralizedCrossEntropy, Poly
from arena.loss.multi_head import MultiHead
from arena.loss.rare_classes import Ldam, LogitAdjustment, TwoStage

LABELS = {"stance": ["AGAINST", "FAVOR", "NONE"], "sentiment": ["negative", "positive"], "target": ["a", "b", "c", "d"]}
SIZES = [3, 2, 4]
COUNTS = torch.tensor([60, 30, 10, 40, 10, 5, 15, 20, 10])
"""100 rows with a stance, 50 with a sentiment, 50 with a target."""
MIXED: dict[str, Any] = {
    "head": LogitAdjustment,
    "overrides": {
        "stance": partial(Focal, gamma=3.0, alpha="sqrt"),
        "target": partial(TwoStage, first="b"),
    },
    "task_weights": {"sentiment": 1.3},
    "normalise": True,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothed": {"head": partial(CrossEntropy, label_smoothing=0.1, class_weight="effective", class_weight_beta=0.9)},
    "mixed": MIXED,
    "uncertainty": {"weighting": "uncertainty", "task_weights": {"stance": 2.0}},
    "dynamic": {"weighting": "dynamic"},
    "ldam": {"head": Ldam},
}
LOSSES = [CrossEntropy, Focal, GeneralizedCrossEntropy, LogitAdjustment, Ldam, Dice, Asymmetric, Poly, TwoStage]
EVERY = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


def build(options: dict[str, Any] | None = None, labels: Any = None, counts: Tensor = COUNTS) -> MultiHead:
    loss = MultiHead(labels or LABELS, **(options or {}))
    loss.set_class_counts(counts, counts)
    if loss.weights.weighting == "uncertainty":
        loss.weights.log_variance.data.copy_(torch.linspace(-0.5, 0.7, len(loss.heads)))
    return loss


def batch_of(target: Tensor, weight: Tensor | None = None, copies: int = 1) -> TextBatch:
    rows = len(target)
    ones = torch.ones(rows, 1, dtype=torch.int64)
    labelled = (target != UNLABELLED).any(-1)
    weight = labelled.float() if weight is None else weight
    return TextBatch(ones, ones, target, weight, torch.arange(rows), int(labelled.sum()), copies=copies)


def random_case(rows: int = 12, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits `[N, C]` and targets `[N, T]`, a third of the labels missing; rows 3 and 7 have none."""
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(rows, sum(SIZES), generator=generator, dtype=torch.float64)).to(dtype)
    target = torch.stack([torch.randint(0, size, (rows,), generator=generator) for size in SIZES], dim=-1)
    target[torch.rand(rows, 3, generator=generator) < 1 / 3] = UNLABELLED
    target[3::4] = UNLABELLED
    return logits, target


def gradient(loss: MultiHead, logits: Tensor, batch: TextBatch) -> Tensor:
    logits = logits.clone().requires_grad_()
    loss(logits, batch).loss.backward()
    assert logits.grad is not None
    return logits.grad


@EVERY
def test_the_sum_over_heads_of_the_mean_over_rows(options: dict[str, Any]) -> None:
    """By the definition, one head and one row at a time, with the losses of the heads by themselves."""
    logits, target = random_case()
    loss = build(options)
    given = options.get("task_weights", {})
    scale = [float(given.get(name, 1)) for name in LABELS]
    rows = [0.0] * 12
    for place, (name, where) in enumerate(loss.heads.slices.items()):
        factor = 100 / COUNTS[where].sum()
        if options.get("normalise"):
            shares = (COUNTS[where].double() + 1) / (COUNTS[where] + 1).sum()
            factor = factor / -(shares * shares.log()).sum()
        s = loss.weights.log_variance.detach()[place] if loss.weights.weighting == "uncertainty" else torch.tensor(0.0)
        for row in range(12):
            if (target[row] == UNLABELLED).all():
                continue
            cost = torch.tensor(0.0)
            if target[row, place] != UNLABELLED:
                single: Any = loss.losses[place]
                cost = factor * single.cost(logits[row : row + 1, where], target[row : row + 1, place])[0]
            rows[row] += float(scale[place] * (torch.exp(-s) * cost + s / 2))
        labelled = target[:, place] != UNLABELLED
        part = loss.losses[place].cost(logits[labelled][:, where], target[labelled, place]).mean()  # pyright: ignore
        torch.testing.assert_close(loss(logits, batch_of(target)).parts[f"loss_{name}"], part)
    found = loss.rows(logits, batch_of(target))
    known = (target != UNLABELLED).any(-1)
    torch.testing.assert_close(found[known], torch.tensor(rows)[known])
    assert found[~known].isnan().all()
    output = loss(logits, batch_of(target))
    assert output.n == int(known.sum())
    torch.testing.assert_close(output.loss, found[known].mean())


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("named", [True, False])
def test_one_head_is_the_loss_itself(kind: type[Loss], named: bool) -> None:
    """Bit for bit: value, rows, gradient, probabilities and start."""
    labels = ["AGAINST", "FAVOR", "NONE"]
    logits, target = random_case()
    logits, column = logits[:, :3], target[:, 0]
    counts = torch.tensor([70.0, 20, 10])
    single: Any = kind(labels)
    several = MultiHead({"stance": labels} if named else labels, kind)
    start = several.set_class_counts(counts, counts)
    if hasattr(single, "set_class_counts"):
        assert torch.equal(start, single.set_class_counts(counts, counts).double())
    plain = replace(batch_of(target[:, :1]), target=column)
    batch = batch_of(target[:, :1]) if named else plain
    assert torch.equal(several(logits, batch).loss, single(logits, plain).loss)
    torch.testing.assert_close(several.rows(logits, batch), single.rows(logits, plain), equal_nan=True, rtol=0, atol=0)
    assert torch.equal(gradient(several, logits, batch), gradient(single, logits, plain))
    assert torch.equal(several.predict(logits), single.predict(logits))


@EVERY
@pytest.mark.parametrize("nonsense", [1e4, float("nan"), float("inf")])
def test_a_head_without_a_label_gives_exactly_nothing(options: dict[str, Any], nonsense: float) -> None:
    logits, target = random_case()
    missing = torch.cat(
        [(target[:, [place]] == UNLABELLED).expand(-1, size) for place, size in enumerate(SIZES)], dim=1
    )
    loss = build(options)
    spoilt = torch.where(missing, nonsense, logits)
    assert torch.equal(loss(spoilt, batch_of(target)).loss, loss(logits, batch_of(target)).loss)
    slope = gradient(loss, spoilt, batch_of(target))
    assert torch.equal(slope[missing], torch.zeros(int(missing.sum())))
    assert (slope[~missing] != 0).all()
    known = (target != UNLABELLED).any(-1)
    assert torch.equal(loss.rows(spoilt, batch_of(target))[known], loss.rows(logits, batch_of(target))[known])


@EVERY
def test_the_gradient_is_the_derivative(options: dict[str, Any]) -> None:
    logits, target = random_case(5, dtype=torch.float64)
    loss = build(options).double()
    batch = batch_of(target, torch.tensor([0.5, 2.0, 1.0, 0.0, 0.0]))
    assert torch.autograd.gradcheck(lambda z: loss(z, batch).loss, logits.requires_grad_())


@EVERY
def test_neither_order_nor_batches_nor_a_constant_in_a_head_matter(options: dict[str, Any]) -> None:
    logits, target = random_case()
    loss = build(options)
    whole = loss(logits, batch_of(target)).loss
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss(logits[order], batch_of(target[order])).loss, whole)
    parts = [loss(z, batch_of(t)) for z, t in zip(logits.split([5, 3, 4]), target.split([5, 3, 4]), strict=True)]
    torch.testing.assert_close(sum(part.loss * part.n for part in parts) / sum(part.n for part in parts), whole)
    for where in loss.heads.slices.values():
        shifted = logits.clone()
        shifted[:, where] += 5
        torch.testing.assert_close(loss(shifted, batch_of(target)).loss, whole)
        torch.testing.assert_close(loss.predict(shifted), loss.predict(logits))


@EVERY
def test_the_order_of_the_heads_does_not_matter(options: dict[str, Any]) -> None:
    logits, target = random_case()
    loss = build(options)
    names = ["target", "stance", "sentiment"]
    where = [list(range(9))[loss.heads.slices[name]] for name in names]
    columns = [place for each in where for place in each]
    other = build(options, {name: LABELS[name] for name in names}, COUNTS[columns])
    if loss.weights.weighting == "uncertainty":
        other.weights.log_variance.data.copy_(loss.weights.log_variance.data[[2, 0, 1]])
    permuted = batch_of(target[:, [2, 0, 1]])
    torch.testing.assert_close(other(logits[:, columns], permuted).loss, loss(logits, batch_of(target)).loss)
    torch.testing.assert_close(other.predict(logits[:, columns]), loss.predict(logits)[:, columns])


@EVERY
def test_probabilities_sum_to_one_within_each_head(options: dict[str, Any]) -> None:
    logits, _ = random_case()
    loss = build(options)
    for dtype in (torch.float32, torch.bfloat16):
        probabilities = loss.predict(logits.to(dtype))
        assert probabilities.dtype == torch.float32
        for part in loss.heads.split(probabilities).values():
            torch.testing.assert_close(part.sum(-1), torch.ones(12))
    torch.testing.assert_close(loss.log_probabilities(logits).exp(), loss.predict(logits))


def test_a_head_with_missing_labels_weighs_as_much_as_the_others() -> None:
    """All 8 rows have a stance, 2 a sentiment: the sentiment's rows count 4 times, so the sum of both means is left."""
    logits, target = random_case(8)
    target[:, 0] = torch.arange(8) % 3
    target[:, 1], target[:2, 1] = UNLABELLED, 1
    labels = {name: LABELS[name] for name in ("stance", "sentiment")}
    loss = build(None, labels, torch.tensor([3, 3, 2, 1, 1]))
    output = loss(logits[:, :5], batch_of(target[:, :2]))
    torch.testing.assert_close(output.loss, output.parts["loss_stance"] + output.parts["loss_sentiment"])
    assert loss.head_factor.tolist() == [1, 4]
    restored = MultiHead(labels)
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(restored(logits[:, :5], batch_of(target[:, :2])).loss, output.loss)


def test_normalised_heads_start_at_one() -> None:
    """Logits at the logarithms of the shares cost their entropy on rows with these shares, whatever the head."""
    loss = build({"normalise": True}, counts=1000 * COUNTS)
    logits = loss.set_class_counts(1000 * COUNTS, 1000 * COUNTS).log().float()
    for place, where in enumerate(loss.heads.slices.values()):
        target = torch.full((int(COUNTS[where].sum()), 3), UNLABELLED)
        target[:, place] = torch.repeat_interleave(torch.arange(SIZES[place]), COUNTS[where])
        factor = 100 / len(target)
        found = loss(logits.expand(len(target), 9), batch_of(target)).loss.item()
        assert found == pytest.approx(factor, rel=1e-3)


def test_options_reach_the_heads_that_have_them() -> None:
    own = {"sentiment": {"gamma": 3.0}, "target": partial(LogitAdjustment, tau=0.5)}
    loss: Any = MultiHead(LABELS, partial(Focal, gamma=1.5), own)
    assert [type(each).__name__ for each in loss.losses] == ["Focal", "Focal", "LogitAdjustment"]
    assert (loss.losses[0].gamma, loss.losses[1].gamma, loss.losses[2].tau) == (1.5, 3.0, 0.5)
    assert loss.losses[0].acting_weight is None
    assert loss.losses[1].labels == LABELS["sentiment"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": {"stance": {"q": 0.5}}}, r"loss\.overrides\.stance\.q: CrossEntropy has no such argument"),
        ({"overrides": {"stance": {"label_smothing": 1}}}, r"label_smothing: .*did you mean 'label_smoothing'"),
        ({"overrides": {"stanse": {"gamma": 1}}}, r"loss\.overrides\.stanse: no such head; did you mean 'stance'"),
        (
            {"overrides": {"stance": {"label_smoothing": 2}}},
            r"loss\.overrides\.stance\.label_smoothing=2: a number from 0 to 1",
        ),
        ({"task_weights": {"sentimnt": 1}}, r"loss\.task_weights\.sentimnt: .*did you mean 'sentiment'"),
        ({"rdrop": {"alhpa": 1}}, r"loss\.rdrop\.alhpa: .*did you mean 'alpha'"),
        ({"rdrop": {"warmup": 2}}, r"loss\.rdrop\.warmup=2\.0: a number from 0 to 1"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MultiHead(LABELS, **options)


def test_logits_counts_and_teachers_that_do_not_fit_are_refused() -> None:
    logits, target = random_case()
    loss = build()
    with pytest.raises(UsageError, match="8 logits per row but the loss has 9 classes"):
        loss(logits[:, :8], batch_of(target))
    with pytest.raises(UsageError, match="3 class counts for the 9 classes"):
        loss.set_class_counts(torch.ones(3), torch.ones(3))
    with pytest.raises(UsageError, match="loss=multi_head does not use it"):
        loss(logits, replace(batch_of(target), teacher=torch.ones(12, 9)))


def test_the_prior_factors_of_all_heads_side_by_side() -> None:
    loss = build(MIXED)
    factors = loss.prior_factors()
    assert factors is not None
    roots = COUNTS[:3].double().rsqrt()
    torch.testing.assert_close(factors[:3], (roots * COUNTS[:3].sum() / (roots * COUNTS[:3]).sum()).float())
    torch.testing.assert_close(factors[3:5], torch.tensor([1 / 0.8, 1 / 0.2]))
    assert factors[5:].tolist() == [1, 1, 1, 1]
    assert loss.prior_source["sentiment"] == "logit adjustment (loss.tau)"
    assert build().prior_factors() is None


NAMED = "loss.labels={stance: [AGAINST, FAVOR, NONE], sentiment: [negative, positive]}"


def test_the_command_line_reaches_single_heads() -> None:
    dice = "+loss.overrides.stance={_target_: arena.loss.classification.Dice, _partial_: true, power: 0.2}"
    chosen = ["loss=multi_head", NAMED, "loss@loss.head=focal", "loss.head.gamma=3"]
    settings = compose(*chosen, "+loss.overrides.sentiment.label_smoothing=0.2", dice, "run_dir=x")
    schema.check(OmegaConf.to_container(settings.loss, resolve=True), "loss")
    loss = arena_build.instantiate(OmegaConf.to_container(settings.loss, resolve=True))
    assert (loss.losses[0].power, loss.losses[1].gamma, loss.losses[1].label_smoothing) == (0.2, 3, 0.2)
    for wrong, message in (
        ("loss.head.gamma=-1", r"loss\.head\.gamma=-1: a number from 0 to 10"),
        ("+loss.overrides.stance={_target_: arena.metric.probability.LogLoss}", "a loss of arena.loss is needed"),
    ):
        settings = compose(*chosen, wrong, "run_dir=x")
        with pytest.raises(UsageError, match=message):
            schema.check(OmegaConf.to_container(settings.loss, resolve=True), "loss")
