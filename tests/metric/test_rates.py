"""Every way in which a rate can fail to exist, and the averages over classes that contain one."""

import math
from collections.abc import Callable

import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryCalibrationError,
    BinaryMatthewsCorrCoef,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassF1Score,
    MulticlassNegativePredictiveValue,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassSpecificity,
)

from arena.core.types import UNLABELLED
from arena.metric.collection import Metrics

Build = Callable[[str, int], Metrics]
LABELS = ["model_a", "model_b", "tie"]
CASES = [("pairwise", 3), ("pairwise", 2), ("binary", 2)]


def random_rows(rows: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities that know something about the target."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (rows,), generator=generator)
    noise = torch.randn(rows, classes, generator=generator)
    return torch.softmax(noise + torch.nn.functional.one_hot(target, classes), dim=-1), target


def compute(metrics: Metrics, probabilities: Tensor, target: Tensor) -> dict[str, float]:
    metrics.update(probabilities, target)
    return metrics.compute()


def test_a_collapsed_binary_model_shows(build: Build) -> None:
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
        {"precision/tie", "recall/tie", "f1/tie", "macro_precision", "macro_recall", "auroc"},
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
def test_exactly_the_undefined_is_nan(build: Build, predicted: list[int], target: list[int], missing: set[str]) -> None:
    """Three classes; every other value exists, and NaN has the counts 0/0 where it is a rate of its own."""
    metrics = build("pairwise", 3)
    values = compute(metrics, certain(predicted), torch.tensor(target))
    assert {key for key, value in values.items() if math.isnan(value)} == missing
    for key, (numerator, denominator) in metrics.counts().items():
        assert (denominator == 0) == (key in missing)
        assert denominator > 0 or numerator == 0


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_without_rows_everything_but_counts_is_nan(build: Build, name: str, classes: int) -> None:
    metrics = build(name, classes)
    for values in (metrics.compute(), compute(metrics, torch.full((2, classes), 0.5), torch.full((2,), UNLABELLED))):
        assert list(values) == metrics.names
        for key, value in values.items():
            assert value == 0 if key.startswith("count_") else math.isnan(value), key


def test_macro_specificity_counts_absent_classes(build: Build) -> None:
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
    metrics.reset()
    everything = compute(metrics, probabilities, torch.zeros(40, dtype=torch.int64))
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
    none = compute(Metrics(LABELS, metrics, positive), certain([2, 2, 0, 1]), torch.tensor([2, 2, 2, 2]))
    assert {key for key in metrics if math.isnan(none[key])} == {"auroc", "ap", "mcc"}


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
