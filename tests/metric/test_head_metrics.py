"""Several heads at once: each head's numbers are those of the head alone, and the means are means of them."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torchmetrics.classification import (
    BinaryPrecision,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassAveragePrecision,
    MulticlassF1Score,
    MulticlassPrecision,
)

from arena.core.errors import DataError, UsageError
from arena.core.types import UNLABELLED
from arena.metric.collection import Metrics
from arena.metric.heads import HeadMetrics
from arena.metric.interval import bootstrap
from arena.metric.probability import LogLoss
from arena.stats.intervals import paired_difference, paired_differences

Heads = Callable[[dict[str, list[str]]], HeadMetrics]
Build = Callable[[str, int], Metrics]
LABELS = {"stance": ["AGAINST", "FAVOR", "NONE"], "sentiment": ["negative", "positive"]}


def random_rows(rows: int, seed: int = 0, missing: float = 0.2) -> tuple[Tensor, Tensor]:
    """Probabilities `[N, 5]` that know something about the targets `[N, 2]`; some rows lack a label."""
    generator = torch.Generator().manual_seed(seed)
    probabilities, targets = [], []
    for classes in LABELS.values():
        target = torch.randint(0, len(classes), (rows,), generator=generator)
        noise = torch.randn(rows, len(classes), generator=generator)
        probabilities.append(torch.softmax(noise + torch.nn.functional.one_hot(target, len(classes)), dim=1))
        target[torch.rand(rows, generator=generator) < missing] = UNLABELLED
        targets.append(target)
    return torch.cat(probabilities, dim=1), torch.stack(targets, dim=1)


def test_a_head_is_what_it_would_be_alone(heads: Heads, build: Build) -> None:
    """Against scikit-learn on the rows that have the label, and against the metrics of one classification."""
    metrics = heads(LABELS)
    probabilities, target = random_rows(300)
    metrics.update(probabilities[:100], target[:100])
    metrics.update(probabilities[100:], target[100:])
    values = metrics.compute()
    assert list(values) == metrics.names
    for t, (head, where) in enumerate({"stance": slice(0, 3), "sentiment": slice(3, 5)}.items()):
        known = target[:, t] != UNLABELLED
        p, y = probabilities[known][:, where], target[known, t]
        alone = build("pairwise", len(LABELS[head]))
        alone.update(p, y)
        single = alone.compute()
        for name in ("log_loss", "brier", "calibration_error", "accuracy", "auroc", "mcc", "macro_f1", "macro_recall"):
            assert values[f"{head}/{name}"] == single[name], name
        reference = sklearn_metrics.precision_recall_fscore_support(y, p.argmax(1))
        for name, column in zip(("precision", "recall", "f1", "count_target"), reference, strict=True):
            found = [values[f"{head}/{name}/{label}"] for label in LABELS[head]]
            assert found == pytest.approx(np.asarray(column).tolist(), abs=1e-6)
        assert metrics.counts()[f"{head}/recall/{LABELS[head][0]}"][1] == int((y == 0).sum())


def test_means_over_heads(heads: Heads) -> None:
    metrics = heads(LABELS)
    probabilities, target = random_rows(200)
    metrics.update(probabilities, target)
    values = metrics.compute()
    rows = (target != UNLABELLED).sum(dim=0).numpy()
    assert rows[0] != rows[1]
    for name in ("log_loss", "macro_f1", "auroc", "mcc"):
        both = [values[f"stance/{name}"], values[f"sentiment/{name}"]]
        assert values[name] == pytest.approx(np.mean(both))
        assert values[f"weighted/{name}"] == pytest.approx(np.average(both, weights=rows))


def test_a_head_without_rows_is_in_no_mean_and_an_undefined_one_makes_it_nan(heads: Heads) -> None:
    """The class NONE has neither rows nor predictions: AUROC is 0/0 there, log loss and accuracy are not; macro-F1 is
    the mean over the other two classes."""
    metrics = heads(LABELS)
    probabilities, target = random_rows(50)
    target[:, 1] = UNLABELLED
    metrics.update(probabilities, target)
    values = metrics.compute()
    assert values["log_loss"] == values["weighted/log_loss"] == values["stance/log_loss"]
    assert math.isnan(values["sentiment/log_loss"])
    metrics.reset()
    metrics.update(torch.tensor([[0.8, 0.2, 0.0, 0.6, 0.4], [0.3, 0.7, 0.0, 0.3, 0.7]]), torch.tensor([[0, 0], [1, 1]]))
    values = metrics.compute()
    assert math.isnan(values["stance/auroc"])
    assert math.isnan(values["auroc"])
    assert math.isnan(values["weighted/auroc"])
    assert values["accuracy"] == values["sentiment/macro_f1"] == values["stance/macro_f1"] == values["macro_f1"] == 1.0
    assert metrics.counts()["stance/macro_f1"] == (2, 2)
    assert values["log_loss"] == pytest.approx(-np.log([0.8, 0.7, 0.6, 0.7]).mean())


def test_names_and_directions(heads: Heads) -> None:
    metrics = heads(LABELS)
    means = ["log_loss", "brier", "calibration_error", "accuracy", "macro_f1", "macro_recall", "mcc", "auroc"]
    assert metrics.names[: 2 * len(means)] == means + [f"weighted/{name}" for name in means]
    assert metrics.higher_is_better("log_loss") is False
    assert metrics.higher_is_better("weighted/macro_f1") is True
    assert metrics.higher_is_better("sentiment/specificity/positive") is True
    assert metrics.higher_is_better("stance/share_target/NONE") is None
    with pytest.raises(UsageError, match="no metric 'stance/macrof1'; did you mean 'stance/macro_f1'"):
        metrics.higher_is_better("stance/macrof1")


def test_rows_are_forgotten_and_no_state(heads: Heads) -> None:
    metrics = heads(LABELS)
    metrics.update(*random_rows(20))
    assert not math.isnan(metrics.compute()["log_loss"])
    metrics.reset()
    assert math.isnan(metrics.compute()["log_loss"])
    assert not metrics.state_dict()


def test_what_cannot_be_measured_is_refused(heads: Heads) -> None:
    with pytest.raises(UsageError, match=r"metric.metrics.p is binary"):
        HeadMetrics(LABELS, {"p": BinaryPrecision})
    with pytest.raises(UsageError, match="num_classes is 4 but there are 3"):
        HeadMetrics(LABELS, {"p": partial(MulticlassPrecision, num_classes=4)})
    with pytest.raises(UsageError, match="'weighted' cannot be the name of a head"):
        heads({"weighted": ["a", "b"]})
    metrics = heads(LABELS)
    probabilities, target = random_rows(5)
    metrics.update(probabilities.log(), target)
    with pytest.raises(DataError, match="not logits"):
        metrics.compute()


def test_a_finished_metric_is_copied_for_each_head() -> None:
    metrics = HeadMetrics(LABELS, {"log_loss": LogLoss()})
    probabilities, target = random_rows(30)
    metrics.update(probabilities, target)
    values = metrics.compute()
    assert values["stance/log_loss"] != values["sentiment/log_loss"]


@pytest.mark.parametrize("ties", [False, True])
def test_resamples_are_repeated_rows(build: Build, ties: bool) -> None:
    """Every metric of three classes from weights, and from rows that are really repeated; with equal probabilities in
    many rows too, and with a resample that lost a class. Average precision and an average weighted by support are
    computed resample by resample or not at once: the same."""
    probabilities, target = random_rows(60, missing=0)
    probabilities, target = probabilities[:, :3], target[:, 0]
    if ties:
        probabilities = (probabilities * 5).round() / 5 + 0.01
        probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)
    metrics = build("pairwise", 3)
    metrics.metrics["average_precision"] = MulticlassAveragePrecision(3, average=None)
    metrics.metrics["weighted_f1"] = MulticlassF1Score(3, average="weighted")
    metrics.metrics["auroc_of_each"] = MulticlassAUROC(3, average=None)
    metrics.metrics["recall_accuracy"] = MulticlassAccuracy(3, average="macro")
    generator = np.random.default_rng(0)
    weights = torch.from_numpy(generator.multinomial(60, np.full(60, 1 / 60), size=4))
    weights[1] *= target != 2
    weights[2] = (target == 0).long()
    found = metrics.resampled(probabilities.numpy(), target.numpy(), weights.numpy())
    for r, weight in enumerate(weights):
        rows = torch.arange(60).repeat_interleave(weight)
        metrics.reset()
        metrics.update(probabilities[rows], target[rows])
        for name, value in metrics.compute().items():
            value = math.nan if name == "calibration_error" else value  # it has no interval
            assert float(found[name][r]) == pytest.approx(value, abs=2e-6, nan_ok=True), (r, name)


def test_intervals_of_heads_are_those_of_the_head_alone(heads: Heads, build: Build) -> None:
    """Where every row has both labels, the draws are the same, and so are the ends."""
    probabilities, target = random_rows(80, missing=0)
    groups = np.arange(80) // 2
    both = bootstrap(heads(LABELS), probabilities, target, groups, resamples=40, seed=5)
    alone = bootstrap(build("pairwise", 3), probabilities[:, :3], target[:, 0], groups, resamples=40, seed=5)
    for name in ("log_loss", "macro_f1", "auroc", "recall/FAVOR"):
        single = alone[name.replace("FAVOR", "model_b")]
        assert both[f"stance/{name}"] == pytest.approx(single, abs=1e-6)
    low, high = both["log_loss"]
    assert low < heads_log_loss(probabilities, target) < high


def heads_log_loss(probabilities: Tensor, target: Tensor) -> float:
    first = -probabilities[:, :3].gather(1, target[:, :1]).log().mean()
    second = -probabilities[:, 3:].gather(1, target[:, 1:]).log().mean()
    return float((first + second) / 2)


def test_intervals_do_not_depend_on_how_many_are_drawn_at_once(heads: Heads, monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, target = random_rows(40)
    whole = bootstrap(heads(LABELS), probabilities, target, np.arange(40), resamples=21, seed=5)
    monkeypatch.setattr("arena.metric.interval.AT_ONCE", 200)
    parts = bootstrap(heads(LABELS), probabilities, target, np.arange(40), resamples=21, seed=5)
    for name, ends in whole.items():
        assert parts[name] == pytest.approx(ends, abs=1e-12, nan_ok=True)


def test_paired_differences_are_those_of_each_column() -> None:
    generator = np.random.default_rng(0)
    a, b, groups = generator.normal(size=(50, 2)), generator.normal(size=(50, 2)), np.arange(50) // 2
    found, _ = paired_differences(a, b, groups, 300, 1)
    for t in range(2):
        assert found[t] == pytest.approx(paired_difference(a[:, t], b[:, t], groups, 300, 1))
    a[:10, 1] = np.nan
    assert paired_differences(a, b, groups, 300, 1)[0][1].value == pytest.approx((a - b)[10:, 1].mean())


def test_a_resample_without_a_heads_labels_is_undefined(heads: Heads) -> None:
    """The mean of two heads where the second has one label: half of the resamples lack it, so nothing has an interval
    but what does not need it."""
    probabilities, target = random_rows(40, missing=0)
    target[1:, 1] = UNLABELLED
    ends = bootstrap(heads(LABELS), probabilities, target, np.arange(40), resamples=60, seed=5)
    assert np.isnan(ends["log_loss"]).all()
    assert np.isfinite(ends["stance/log_loss"]).all()
    assert np.isfinite(ends["weighted/log_loss"]).all()
