"""What a calibration is judged by: a fixture worked out elsewhere, and what each measure sees."""

import numpy as np
import pytest
from scipy.special import softmax
from test_scaling import fixture

from arena.evaluation.calibration import comparison, scaling
from arena.stats.scores import logarithm


def values(probabilities, target, bins=15) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    found = comparison.measure(probabilities, predicted, target, bins).tolist()
    return {name: value for name, value in zip(comparison.MEASURES, found, strict=True)}


def test_the_fixture_before_and_after():
    z, target = fixture()
    raw = softmax(z, axis=1)
    before = values(raw, target)
    after = values(scaling.fit("temperature", z, target).probabilities(logarithm(raw)), target)
    assert before["accuracy"] == after["accuracy"] == pytest.approx(34 / 60)
    expected = {"log_loss": (0.875382, 0.816172), "brier_score": (0.510865, 0.485608)}
    for name, (first, second) in (expected | {"calibration_error": (0.174374, 0.115979)}).items():
        assert before[name] == pytest.approx(first, abs=1e-6)
        assert after[name] == pytest.approx(second, abs=1e-6)


def test_no_rows_have_no_values():
    assert np.isnan(list(values(np.empty((0, 3)), np.empty(0, dtype=np.int64)).values())).all()


def test_a_class_that_is_never_the_likeliest_is_seen_by_the_classwise_error_only():
    """Class 2 is in no row but is always given .25, which is taken from class 1."""
    p = np.tile([0.5, 0.25, 0.25], (1000, 1))
    target = np.repeat([0, 1], 500)
    found = values(p, target)
    assert found["calibration_error"] == pytest.approx(0)
    assert found["calibration_error_classwise"] == pytest.approx((0 + 0.25 + 0.25) / 3)
