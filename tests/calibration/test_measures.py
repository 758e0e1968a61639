"""Calibration errors against torchmetrics, scikit-learn and values worked out by hand."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, f1_score, log_loss
from test_scaling import fixture
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from arena.calibration import measures, scaling


def values(probabilities, target, bins=15) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    found = measures.measure(probabilities, predicted, target, bins).tolist()
    return {name: value for name, value in zip(measures.MEASURES, found, strict=True)}


def test_the_fixture_before_and_after():
    z, target = fixture()
    raw = softmax(z, axis=1)
    before = values(raw, target)
    after = values(scaling.fit("temperature", z, target).apply(raw), target)
    assert before["accuracy"] == after["accuracy"] == pytest.approx(34 / 60)
    expected = {"log_loss": (0.875382, 0.816172), "brier_score": (0.510865, 0.485608)}
    for name, (first, second) in (expected | {"calibration_error": (0.174374, 0.115979)}).items():
        assert before[name] == pytest.approx(first, abs=1e-6)
        assert after[name] == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("bins", [2, 10, 15])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_all_measures_against_other_libraries(bins, classes):
    draw = np.random.default_rng(bins * classes)
    z = draw.normal(size=(400, classes)) * 2
    raw, target = softmax(z, axis=1), draw.integers(0, classes, 400)
    found = values(raw, target, bins)
    tensors = torch.from_numpy(raw), torch.from_numpy(target)
    wanted = multiclass_calibration_error(*tensors, num_classes=classes, n_bins=bins, norm="l1")
    assert found["calibration_error"] == pytest.approx(float(wanted), abs=1e-6)
    columns = tensors[0].T.contiguous()
    each = [binary_calibration_error(columns[k], (tensors[1] == k).long(), bins) for k in range(classes)]
    assert found["calibration_error_classwise"] == pytest.approx(float(torch.stack(each).mean()), abs=1e-6)
    assert found["log_loss"] == pytest.approx(log_loss(target, raw), abs=1e-12)
    scale = 1 if classes > 2 else 2  # scikit-learn's own choice is half of the sum for two classes
    column = raw if classes > 2 else raw[:, 1]
    assert found["brier_score"] == pytest.approx(scale * brier_score_loss(target, column), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(f1_score(target, raw.argmax(axis=1), average="macro"), abs=1e-12)


def test_bins_of_equal_mass():
    """Five rows of P(class 1), two bins: |1 - .7367| * 3/5 + |.5 - .8| * 2/5; torch-uncertainty's own example."""
    p, target = np.array([0.3, 0.24, 0.25, 0.2, 0.8]), np.array([0, 0, 0, 1, 1])
    confidence, right = measures.top(np.stack([1 - p, p], axis=1), target)
    error = measures.calibration_error(confidence, right, measures.equal_mass(confidence, 2))
    assert error == pytest.approx((1 - 2.21 / 3) * 0.6 + 0.3 * 0.4, abs=1e-12)
    assert error == pytest.approx(0.278, abs=1e-9)


def test_equal_confidences_share_a_bin_and_the_order_of_rows_does_not_matter():
    draw = np.random.default_rng(0)
    confidence = draw.choice([0.4, 0.5, 0.6, 0.7, 0.9], size=101, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    right = draw.random(101) < 0.6
    member = measures.equal_mass(confidence, 4)
    for value in np.unique(confidence):
        assert len(np.unique(member[confidence == value])) == 1
    order = draw.permutation(101)
    one = measures.calibration_error(confidence, right, member)
    assert measures.calibration_error(confidence[order], right[order], member[order]) == pytest.approx(one, abs=1e-15)
    spread = np.linspace(0.4, 0.99, 101)
    assert np.bincount(measures.equal_mass(spread, 4)).tolist() == [26, 25, 25, 25]
    assert measures.equal_mass(np.full(9, 0.5), 4).tolist() == [0] * 9


def test_a_class_that_is_never_the_likeliest_is_seen_by_the_classwise_error_only():
    """Class 2 is in no row but is always given .25, which is taken from class 1."""
    p = np.tile([0.5, 0.25, 0.25], (1000, 1))
    target = np.repeat([0, 1], 500)
    found = values(p, target)
    assert found["calibration_error"] == pytest.approx(0)
    assert found["calibration_error_classwise"] == pytest.approx((0 + 0.25 + 0.25) / 3)


def test_no_rows_have_no_values():
    assert np.isnan(list(values(np.empty((0, 3)), np.empty(0, dtype=np.int64)).values())).all()


def test_the_diagram_counts_every_row_once():
    z, target = fixture()
    confidence, right = measures.top(softmax(z, axis=1), target)
    bins = measures.reliability(confidence, right, 6)
    assert bins.rows.tolist() == [10] * 6
    assert (bins.rows * bins.accuracy).sum() == right.sum()
    assert (bins.rows * bins.confidence).sum() == pytest.approx(confidence.sum())
    assert (np.diff(bins.confidence) > 0).all()
    assert ((bins.low <= bins.accuracy) & (bins.accuracy <= bins.high)).all()
    error = measures.calibration_error(confidence, right, measures.equal_mass(confidence, 6))
    assert (bins.rows * abs(bins.accuracy - bins.confidence)).sum() / 60 == pytest.approx(error)
