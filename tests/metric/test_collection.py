"""Every number of conf/metric against scikit-learn, and what the collection promises about rows and splits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryPrecision,
    MulticlassConfusionMatrix,
    MulticlassPrecision,
)

from arena.core.errors import DataError, DivergedError, UsageError
from arena.core.types import UNLABELLED
from arena.metric.collection import Metrics
from arena.metric.probability import LogLoss

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
def test_every_number_is_that_of_scikit_learn(build: Build, name: str, classes: int, seed: int) -> None:
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
def test_counts_stand_beside_every_rate(build: Build, name: str, classes: int) -> None:
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


def test_the_names_of_the_default_set(build: Build) -> None:
    single = "log_loss brier calibration_error accuracy auroc mcc macro_precision macro_recall macro_specificity"
    spread = "precision recall specificity negative_predictive_value f1 share_target share_predicted"
    names = [*single.split(), "macro_negative_predictive_value", "macro_f1"]
    names += [f"{name}/{label}" for name in [*spread.split(), "count_target", "count_predicted"] for label in LABELS]
    assert build("pairwise", 3).names == names


def test_unequal_batches_are_one_batch(build: Build) -> None:
    """With a look at the numbers in between and rows that have no target. To float32's rounding (1.2e-7, and a few of
    them): the score of a row may be computed with other instructions in a batch of 19 than in one of 50."""
    probabilities, target = random_rows(50, 3)
    target[::7] = UNLABELLED
    whole = pytest.approx(compute(build("pairwise", 3), probabilities, target), rel=1e-6, nan_ok=True)
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


def test_the_order_of_rows_does_not_matter(build: Build) -> None:
    probabilities, target = random_rows(50, 3)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    values = compute(build("pairwise", 3), probabilities[order], target[order])
    assert values == pytest.approx(compute(build("pairwise", 3), probabilities, target), abs=1e-6)


def test_soft_targets(build: Build) -> None:
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


def test_probabilities_are_never_taken_for_logits(build: Build) -> None:
    """torchmetrics applies a softmax to a batch with any value outside [0, 1]; one ulp above 1 must not do that."""
    target = torch.tensor([1, 1])
    exact, above = torch.tensor([[0.0, 1.0], [0.4, 0.6]]), torch.tensor([[0.0, 1.0000001], [0.4, 0.6]])
    assert compute(build("binary", 2), above, target) == pytest.approx(
        compute(build("binary", 2), exact, target), nan_ok=True
    )


def test_what_cannot_be_measured_is_refused(build: Build) -> None:
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


def test_which_direction_is_better(build: Build) -> None:
    metrics = build("pairwise", 3)
    directions = {name: metrics.higher_is_better(name) for name in metrics.names}
    falling = {"log_loss", "brier", "calibration_error"}
    neither = {name for name in metrics.names if name.startswith(("share_", "count_"))}
    assert {name for name, better in directions.items() if better is False} == falling
    assert {name for name, better in directions.items() if better is None} == neither
    assert directions["negative_predictive_value/tie"] is True
    with pytest.raises(UsageError, match="no metric 'acuracy'; there are log_loss"):
        metrics.higher_is_better("acuracy")


def test_splits_are_independent(build: Build) -> None:
    train = build("pairwise", 3)
    first = compute(train, *random_rows(20, 3, 1))
    other = build("pairwise", 3)
    assert all(math.isnan(value) for name, value in other.compute().items() if not name.startswith("count_"))
    second = compute(other, *random_rows(20, 3, 2))
    assert train.compute() == first != second
    train.reset()
    assert compute(train, *random_rows(20, 3, 2)) == second


def test_one_process_of_several_does_not_wait_for_the_others(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch.distributed is up, torchmetrics gathers in `compute`; rows are gathered before they come here."""
    alone = compute(build("pairwise", 3), *random_rows(20, 3))
    monkeypatch.setattr(torch.distributed, "is_available", lambda: True)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    metrics = build("pairwise", 3)
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        LogLoss().sync()
    assert compute(metrics, *random_rows(20, 3)) == alone


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_a_gpu_gives_the_same_numbers(build: Build, name: str, classes: int) -> None:
    """Metrics on the device with rows from the host, and rows on the device."""
    probabilities, target = random_rows(50, classes)
    alone = compute(build(name, classes), probabilities, target)
    for rows in ((probabilities, target), (probabilities.cuda(), target.cuda())):
        for metrics in (build(name, classes), build(name, classes).cuda()):
            assert compute(metrics, *rows) == pytest.approx(alone, abs=1e-6)


def test_nothing_of_it_is_in_a_checkpoint(build: Build) -> None:
    metrics = build("pairwise", 3)
    compute(metrics, *random_rows(5, 3))
    assert not metrics.state_dict()
