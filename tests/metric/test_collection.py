"""Every number of conf/metric against scikit-learn, and every way in which a number can fail to exist."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryCalibrationError,
    BinaryMatthewsCorrCoef,
    BinaryPrecision,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassNegativePredictiveValue,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassSpecificity,
)

from arena.errors import DataError, DivergedError, UsageError
from arena.metric.collection import Metrics
from arena.metric.probability import LogLoss
from arena.types import UNLABELLED

CONF = Path(__file__).parents[2] / "conf" / "metric"
LABELS = ["model_a", "model_b", "tie"]
CASES = [("pairwise", 3), ("pairwise", 2), ("binary", 2)]


def instantiate(node: Any) -> Any:
    """What hydra would build from plain containers."""
    if not isinstance(node, dict):
        return node
    arguments = {key: instantiate(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


def build(name: str, classes: int) -> Metrics:
    root = {"data": {"labels": LABELS[:classes]}, "num_classes": classes}
    config = OmegaConf.merge(root, {"metric": OmegaConf.load(CONF / f"{name}.yaml")})
    return instantiate(OmegaConf.to_container(config.metric, resolve=True))


def random_rows(rows: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities that know something about the target."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (rows,), generator=generator)
    noise = torch.randn(rows, classes, generator=generator)
    return torch.softmax(noise + torch.nn.functional.one_hot(target, classes), dim=-1), target


def compute(metrics: Metrics, probabilities: Tensor, target: Tensor) -> dict[str, float]:
    metrics.update(probabilities, target)
    return metrics.compute()


def expected(probabilities: Tensor, target: Tensor, labels: list[str]) -> dict[str, float]:
    """The same names from scikit-learn; specificity of a class is the recall of "not this class", and its negative
    predictive value the precision of that. Calibration error and Brier score are written out."""
    p, y = probabilities.double().numpy(), target.numpy()
    p = p / p.sum(axis=1, keepdims=True)
    guess, every = p.argmax(axis=1), range(len(labels))
    rates: dict[str, list[float]] = {
        "precision": [sklearn_metrics.precision_score(y == c, guess == c) for c in every],
        "recall": [sklearn_metrics.recall_score(y == c, guess == c) for c in every],
        "specificity": [sklearn_metrics.recall_score(y != c, guess != c) for c in every],
        "negative_predictive_value": [sklearn_metrics.precision_score(y != c, guess != c) for c in every],
        "f1": [sklearn_metrics.f1_score(y == c, guess == c) for c in every],
        "share_target": [(y == c).mean() for c in every],
        "share_predicted": [(guess == c).mean() for c in every],
        "count_target": [(y == c).sum() for c in every],
        "count_predicted": [(guess == c).sum() for c in every],
    }
    bins = np.minimum((p.max(axis=1) * 15).astype(int), 14)
    gaps = [abs(((guess == y)[bins == b] - p.max(axis=1)[bins == b]).sum()) for b in range(15)]
    curve: Any = p[:, 1] if len(labels) == 2 else p
    return {
        "log_loss": sklearn_metrics.log_loss(y, p, labels=list(every)),
        "brier": float(((p - np.eye(len(labels))[y]) ** 2).sum(axis=1).mean()),
        "calibration_error": sum(gaps) / len(y),
        "accuracy": sklearn_metrics.accuracy_score(y, guess),
        "auroc": float(sklearn_metrics.roc_auc_score(y, curve, multi_class="ovr")),
        "mcc": sklearn_metrics.matthews_corrcoef(y, guess),
        **{f"macro_{name}": float(np.mean(rates[name])) for name in list(rates)[:5]},
        **{f"{name}/{label}": float(rates[name][c]) for name in rates for c, label in enumerate(labels)},
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_every_number_is_that_of_scikit_learn(name: str, classes: int, seed: int) -> None:
    probabilities, target = random_rows(300, classes, seed)
    labels = LABELS[:classes]
    values = compute(build(name, classes), probabilities, target)
    reference = expected(probabilities, target, labels)
    if name == "binary":  # without a label a rate is that of the positive class, model_a
        about_positive = {key.removesuffix("/model_a"): value for key, value in reference.items()}
        reference = about_positive | {key: reference[key] for key in reference if key.startswith(("share", "count"))}
    for key, value in values.items():
        assert value == pytest.approx(reference[key], abs=1e-5), key
        assert isinstance(value, float)


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_counts_stand_beside_every_rate(name: str, classes: int) -> None:
    """value == numerator / denominator; what has no counts is an average over classes, a score or a count itself."""
    metrics = build(name, classes)
    values = compute(metrics, *random_rows(300, classes))
    counts = metrics.counts()
    for key, (numerator, denominator) in counts.items():
        assert values[key] == numerator / denominator, key
    without = {key.partition("/")[0] for key in values.keys() - counts.keys()}
    scores = {"log_loss", "brier", "calibration_error", "auroc", "mcc", "count_target", "count_predicted"}
    assert all(key in scores or key.startswith("macro_") for key in without)
    assert list(values) == metrics.names


def test_the_names_of_the_default_set() -> None:
    single = "log_loss brier calibration_error accuracy auroc mcc macro_precision macro_recall macro_specificity"
    spread = "precision recall specificity negative_predictive_value f1 share_target share_predicted"
    names = [*single.split(), "macro_negative_predictive_value", "macro_f1"]
    names += [f"{name}/{label}" for name in [*spread.split(), "count_target", "count_predicted"] for label in LABELS]
    assert build("pairwise", 3).names == names


def test_unequal_batches_are_one_batch() -> None:
    """Bit for bit, with a look at the numbers in between and rows that have no target."""
    probabilities, target = random_rows(50, 3)
    target[::7] = UNLABELLED
    whole = compute(build("pairwise", 3), probabilities, target)
    metrics = build("pairwise", 3)
    cuts = [1, 19, 0, 30]
    for p, t in zip(probabilities.split(cuts), target.split(cuts), strict=True):
        metrics.update(p, t)
    assert metrics.compute() == whole
    stepwise = build("pairwise", 3)
    for p, t in zip(probabilities.split(cuts), target.split(cuts), strict=True):
        stepwise.update(p, t)
        stepwise.compute()
    assert stepwise.compute() == whole
    assert compute(build("pairwise", 3), probabilities[target != UNLABELLED], target[target != UNLABELLED]) == whole


def test_the_order_of_rows_does_not_matter() -> None:
    probabilities, target = random_rows(50, 3)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    values = compute(build("pairwise", 3), probabilities[order], target[order])
    assert values == pytest.approx(compute(build("pairwise", 3), probabilities, target), abs=1e-6)


def test_soft_targets() -> None:
    """Class metrics see the largest class; log loss is the cross entropy -sum t log p, Brier sum (p - t)^2."""
    probabilities, target = random_rows(40, 3)
    soft = 0.8 * torch.nn.functional.one_hot(target, 3) + torch.tensor([0.1, 0.06, 0.04])
    unknown = torch.tensor([[float("nan")] * 3, [0.0] * 3])
    values = compute(build("pairwise", 3), torch.cat([probabilities, probabilities[:2]]), torch.cat([soft, unknown]))
    hard = compute(build("pairwise", 3), probabilities, target)
    assert values["log_loss"] == pytest.approx(-(soft * probabilities.log()).sum(-1).mean().item())
    assert values["brier"] == pytest.approx((probabilities - soft).square().sum(-1).mean().item())
    for key in values.keys() - {"log_loss", "brier"}:
        assert values[key] == hard[key], key


def test_a_collapsed_binary_model_shows() -> None:
    """Always model_a on 6 : 4: recall 1, specificity 0, precision .6, negative predictive value 0/0, f1 .75,
    macro recall .5, macro f1 (.75 + 0) / 2; Matthews' correlation 0/0, where torchmetrics gives a small number."""
    metrics = build("binary", 2)
    values = compute(metrics, torch.tensor([[0.6, 0.4]]).expand(10, 2), torch.tensor([0] * 6 + [1] * 4))
    known = {"recall": 1.0, "specificity": 0.0, "precision": 0.6, "f1": 0.75, "accuracy": 0.6, "auroc": 0.5}
    known |= {"macro_recall": 0.5, "macro_f1": 0.375, "share_predicted/model_a": 1.0, "count_predicted/model_b": 0.0}
    for key, value in known.items():
        assert values[key] == pytest.approx(value), key
    assert math.isnan(values["negative_predictive_value"])
    assert math.isnan(values["mcc"])
    counts = metrics.counts()
    assert counts["negative_predictive_value"] == (0, 0)
    assert counts["recall"] == (6, 6)
    assert counts["specificity"] == (0, 4)
    assert counts["share_predicted/model_a"] == (10, 10)


def certain(indices: list[int], classes: int = 3) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(indices), classes) * 0.7 + 0.3 / classes


UNDEFINED: list[tuple[str, list[int], list[int], set[str]]] = [
    (
        "tie never predicted",
        [0, 1, 0, 1],
        [0, 1, 2, 0],
        {"precision/tie", "macro_precision"},
    ),
    (
        "tie never true",
        [0, 1, 2, 1],
        [0, 1, 1, 0],
        {"recall/tie", "macro_recall", "auroc"},
    ),
    (
        "tie neither predicted nor true",
        [0, 1, 0],
        [0, 1, 1],
        {"precision/tie", "recall/tie", "f1/tie", "macro_precision", "macro_recall", "macro_f1", "auroc"},
    ),
    (
        "only model_a predicted",
        [0, 0, 0, 0],
        [0, 1, 2, 0],
        {"precision/model_b", "precision/tie", "macro_precision", "mcc"}
        | {"negative_predictive_value/model_a", "macro_negative_predictive_value"},
    ),
    (
        "only model_a true",
        [0, 1, 2, 0],
        [0, 0, 0, 0],
        {"recall/model_b", "recall/tie", "macro_recall", "auroc", "mcc"}
        | {"specificity/model_a", "macro_specificity"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("predicted", "target", "missing"), [c[1:] for c in UNDEFINED], ids=[c[0] for c in UNDEFINED])
def test_exactly_the_undefined_is_nan(predicted: list[int], target: list[int], missing: set[str]) -> None:
    """Three classes; every other value exists, and NaN has the counts 0/0 where it is a rate of its own."""
    metrics = build("pairwise", 3)
    values = compute(metrics, certain(predicted), torch.tensor(target))
    assert {key for key, value in values.items() if math.isnan(value)} == missing
    for key, (numerator, denominator) in metrics.counts().items():
        assert (denominator == 0) == (key in missing)
        assert denominator > 0 or numerator == 0


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_without_rows_everything_but_counts_is_nan(name: str, classes: int) -> None:
    metrics = build(name, classes)
    for values in (metrics.compute(), compute(metrics, torch.full((2, classes), 0.5), torch.full((2,), UNLABELLED))):
        assert list(values) == metrics.names
        for key, value in values.items():
            assert value == 0 if key.startswith("count_") else math.isnan(value), key


def test_macro_specificity_counts_absent_classes() -> None:
    """Specificities 1/2, 1/1 and 3/3. torchmetrics leaves the last out, as tie is neither predicted nor true, though
    all of its 3 negatives are right: .75 and not the mean of the three."""
    values = compute(build("pairwise", 3), certain([0, 1, 0]), torch.tensor([0, 1, 1]))
    classes = [values[f"specificity/{label}"] for label in LABELS]
    assert classes == [1 / 2, 1.0, 1.0]
    assert values["macro_specificity"] == pytest.approx(2.5 / 3)


def test_averages_over_classes() -> None:
    """Weighted: recall of three classes with 3, 1 and 0 rows is (3 * 2/3 + 1 * 0) / 4; the empty class has no say.
    Its weighted precision needs the precision of tie no more than that, but model_b's, which is 0/0."""
    metrics = Metrics(
        LABELS,
        {
            "recall": MulticlassRecall(3, average="weighted"),
            "precision": MulticlassPrecision(3, average="weighted"),
            "auroc": MulticlassAUROC(3, average="weighted"),
            "f1": MulticlassF1Score(3, average="micro"),
            "balanced": MulticlassAccuracy(3, average="macro"),
        },
    )
    values = compute(metrics, certain([0, 0, 2, 0]), torch.tensor([0, 0, 0, 1]))
    assert values["recall"] == 0.5
    assert math.isnan(values["precision"])
    assert values["f1"] == 0.5
    assert math.isnan(values["balanced"])
    assert metrics.counts()["f1"] == (4, 8)
    assert "recall" not in metrics.counts()
    # p(model_a) = .8 .8 .1 | .8 and p(model_b) = .1 .1 .1 | .1: areas (1/2 + 1/2 + 0) / 3 and 1/2
    assert values["auroc"] == pytest.approx((3 * (1 / 3) + 0.5) / 4)


def test_areas_for_each_class() -> None:
    """Absent: tie. Its area and its average precision do not exist, those of the others do."""
    metrics = Metrics(
        LABELS, {"auroc": MulticlassAUROC(3, average="none"), "ap": MulticlassAveragePrecision(3, average="none")}
    )
    probabilities, target = random_rows(40, 3)
    target = target.clamp_max(1)
    values = compute(metrics, probabilities, target)
    for c, label in enumerate(LABELS[:2]):
        p, y = probabilities[:, c].numpy(), (target == c).numpy()
        assert values[f"auroc/{label}"] == pytest.approx(sklearn_metrics.roc_auc_score(y, p), abs=1e-6)
        assert values[f"ap/{label}"] == pytest.approx(sklearn_metrics.average_precision_score(y, p), abs=1e-6)
    assert math.isnan(values["auroc/tie"])
    assert math.isnan(values["ap/tie"])
    everything = compute(metrics.fresh(), probabilities, torch.zeros(40, dtype=torch.int64))
    assert everything["ap/model_a"] == pytest.approx(1.0)
    assert math.isnan(everything["auroc/model_a"])


@pytest.mark.parametrize("positive", ["model_a", "model_b"])
def test_binary_metrics_get_the_positive_class(positive: str) -> None:
    """One against the rest in three classes: p[:, positive] and target == positive, thresholds at one half."""
    metrics = {
        "accuracy": BinaryAccuracy(),
        "auroc": BinaryAUROC(),
        "ap": BinaryAveragePrecision(),
        "mcc": BinaryMatthewsCorrCoef(),
        "calibration": BinaryCalibrationError(),
    }
    probabilities, target = random_rows(60, 3)
    values = compute(Metrics(LABELS, dict(metrics), positive), probabilities, target)
    p = probabilities[:, LABELS.index(positive)].numpy()
    y = (target == LABELS.index(positive)).numpy()
    assert values["accuracy"] == pytest.approx(((p > 0.5) == y).mean())
    assert values["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(y, p), abs=1e-6)
    assert values["ap"] == pytest.approx(sklearn_metrics.average_precision_score(y, p), abs=1e-6)
    assert values["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(y, p > 0.5), abs=1e-6)
    none = compute(Metrics(LABELS, metrics, positive).fresh(), certain([2, 2, 0, 1]), torch.tensor([2, 2, 2, 2]))
    assert {key for key in metrics if math.isnan(none[key])} == {"auroc", "ap", "mcc"}


def test_metrics_that_agree_on_the_first_batch_stay_apart() -> None:
    """The trap of torchmetrics' compute groups: thresholds .5 and .9 count the same in batch one, then differ.
    Batch two is (.6, .7, .8, .95), all positive: right at .5 are all 4, at .9 only one; with two of two: 6/6, 3/6."""
    metrics = Metrics(
        ["no", "yes"], {"low": BinaryAccuracy(threshold=0.5), "high": BinaryAccuracy(threshold=0.9)}, "yes"
    )
    for yes in ([0.1, 0.95], [0.6, 0.7, 0.8, 0.95]):
        p = torch.tensor(yes)
        metrics.update(torch.stack([1 - p, p], dim=-1), (p > 0.5).long())
        metrics.compute()
    assert (metrics.compute()["low"], metrics.compute()["high"]) == (1.0, 0.5)


def test_probabilities_are_never_taken_for_logits() -> None:
    """torchmetrics applies a softmax to a batch with any value outside [0, 1]; one ulp above 1 must not do that."""
    target = torch.tensor([1, 1])
    exact, above = torch.tensor([[0.0, 1.0], [0.4, 0.6]]), torch.tensor([[0.0, 1.0000001], [0.4, 0.6]])
    assert compute(build("binary", 2), above, target) == pytest.approx(
        compute(build("binary", 2), exact, target), nan_ok=True
    )


def test_what_cannot_be_measured_is_refused() -> None:
    def refuse(error: type[Exception], match: str, probabilities: Tensor, target: Tensor) -> None:
        with pytest.raises(error, match=match):
            compute(build("pairwise", 3), probabilities, target)

    good, target = random_rows(4, 3)
    refuse(DataError, "not logits", torch.tensor([[2.0, -1.0, 0.5]] * 4), target)
    refuse(DataError, "not logits", torch.tensor([[0.3, 0.4, 0.2]] * 4), target)
    refuse(DataError, "2 probabilities per row for 3 classes", good[:, :2], target)
    refuse(DataError, "targets from 3 to 3 for 3 classes", good, torch.tensor([3] * 4))
    broken = good.clone()
    broken[2, 1] = float("nan")
    refuse(DivergedError, "1 of 4 rows are not finite", broken, target)


def test_what_is_wrongly_configured_is_refused() -> None:
    with pytest.raises(UsageError, match=r"metric.metrics.p is binary.*model_a, model_b, tie"):
        Metrics(LABELS, {"p": BinaryPrecision()})
    with pytest.raises(UsageError, match=r"no class 'ties'; the classes are model_a, model_b, tie"):
        Metrics(LABELS, {"p": BinaryPrecision()}, "ties")
    with pytest.raises(UsageError, match="num_classes is 2 but there are 3 classes"):
        Metrics(LABELS, {"p": MulticlassPrecision(2)})
    for name in ("share_target", "a/b"):
        with pytest.raises(UsageError, match="cannot be a name"):
            Metrics(LABELS, {name: LogLoss()})
    with pytest.raises(UsageError, match=r"'table' gives shape \[3, 3\]"):
        compute(Metrics(LABELS, {"table": MulticlassConfusionMatrix(3)}), *random_rows(5, 3))


def test_which_direction_is_better() -> None:
    metrics = build("pairwise", 3)
    directions = {name: metrics.higher_is_better(name) for name in metrics.names}
    falling = {"log_loss", "brier", "calibration_error"}
    neither = {name for name in metrics.names if name.startswith(("share_", "count_"))}
    assert {name for name, better in directions.items() if better is False} == falling
    assert {name for name, better in directions.items() if better is None} == neither
    assert directions["negative_predictive_value/tie"] is True
    with pytest.raises(UsageError, match="no metric 'acuracy'; there are log_loss"):
        metrics.higher_is_better("acuracy")


def test_splits_are_independent() -> None:
    train = build("pairwise", 3)
    first = compute(train, *random_rows(20, 3, 1))
    other = train.fresh()
    assert all(math.isnan(value) for name, value in other.compute().items() if not name.startswith("count_"))
    second = compute(other, *random_rows(20, 3, 2))
    assert train.compute() == first != second
    train.reset()
    assert compute(train, *random_rows(20, 3, 2)) == second


def test_one_process_of_several_does_not_wait_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch.distributed is up, torchmetrics gathers in `compute`; rows are gathered before they come here."""
    alone = compute(build("pairwise", 3), *random_rows(20, 3))
    monkeypatch.setattr(torch.distributed, "is_available", lambda: True)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    metrics = build("pairwise", 3)
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        LogLoss().sync()
    assert compute(metrics, *random_rows(20, 3)) == compute(metrics.fresh(), *random_rows(20, 3)) == alone


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_a_gpu_gives_the_same_numbers(name: str, classes: int) -> None:
    """Metrics on the device with rows from the host, and rows on the device."""
    probabilities, target = random_rows(50, classes)
    alone = compute(build(name, classes), probabilities, target)
    for rows in ((probabilities, target), (probabilities.cuda(), target.cuda())):
        for metrics in (build(name, classes), build(name, classes).cuda()):
            assert compute(metrics, *rows) == pytest.approx(alone, abs=1e-6)


def test_nothing_of_it_is_in_a_checkpoint() -> None:
    metrics = build("pairwise", 3)
    compute(metrics, *random_rows(5, 3))
    assert not metrics.state_dict()


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "none"])
@pytest.mark.parametrize(
    "rate",
    [
        MulticlassPrecision,
        MulticlassRecall,
        MulticlassSpecificity,
        MulticlassNegativePredictiveValue,
        MulticlassF1Score,
        MulticlassAccuracy,
    ],
)
def test_where_torchmetrics_is_defined_it_agrees(rate: Callable[..., Metric], average: str) -> None:
    probabilities, target = random_rows(100, 3)
    values = compute(Metrics(LABELS, {"it": rate(num_classes=3, average=average)}), probabilities, target)
    reference = torch.atleast_1d(rate(num_classes=3, average=average)(probabilities, target)).tolist()
    assert [values[key] for key in values if key.partition("/")[0] == "it"] == pytest.approx(reference, abs=1e-6)
