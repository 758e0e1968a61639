"""Scaling against scikit-learn, torch and a fixture that was worked out with torch's L-BFGS and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from arena.evaluation.calibration import scaling
from arena.evaluation.calibration.store import HeadCalibration
from arena.stats.scores import logarithm


def fixture():
    """60 rows, 3 classes, accuracy 34/60: every fifth row has another class than the logits were made for."""
    i = np.arange(60)
    z = np.stack([3 * np.sin(0.7 * i), 3 * np.cos(1.3 * i), 2 * np.sin(2.1 * i + 1)], axis=1)
    noise = 1.5 * np.stack([np.sin(3.3 * i), np.cos(5.1 * i), np.sin(7.7 * i)], axis=1)
    target = (z + noise).argmax(axis=1)
    target[i % 5 == 0] = (target[i % 5 == 0] + 1) % 3
    assert np.bincount(target).tolist() == [21, 19, 20]
    return z, target


def test_temperature_of_the_fixture():
    z, target = fixture()
    assert scaling.log_loss(z, target) == pytest.approx(0.875382, abs=5e-7)
    temperature = scaling.fit_temperature(z, target)
    assert temperature == pytest.approx(1.662192, abs=2e-6)
    assert scaling.log_loss(z / temperature, target) == pytest.approx(0.816172, abs=5e-7)


def test_vector_of_the_fixture():
    z, target = fixture()
    weight, bias = scaling.fit_affine(z, target, scale=True, ridge=0)
    assert scaling.log_loss(z * weight + bias, target) == pytest.approx(0.782298, abs=5e-7)
    assert weight == pytest.approx([0.832737, 0.410464, 0.745413], abs=2e-5)
    assert bias - bias[0] == pytest.approx([0, 0.207498, 0.299863], abs=2e-5)
    assert bias.mean() == pytest.approx(0, abs=1e-12)


def test_temperature_is_that_of_scikit_learn():
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Finished(ClassifierMixin, BaseEstimator):
        """Its rows are the logits."""

        classes_ = np.arange(3)

        def fit(self, rows, target):
            return self

        def predict(self, rows):
            return rows.argmax(axis=1)

        def decision_function(self, rows):
            return rows

        def __sklearn_is_fitted__(self):
            return True

    z, target = fixture()
    settings: dict = {"method": "temperature", "ensemble": False}
    oracle = CalibratedClassifierCV(FrozenEstimator(Finished()), **settings).fit(z, target)
    ours = scaling.fit("temperature", z, target).probabilities(logarithm(softmax(z, axis=1)))
    assert ours == pytest.approx(oracle.predict_proba(z), abs=1e-5)


@pytest.mark.parametrize("method", ["temperature", "bias"])
def test_logarithms_of_probabilities_do_as_well_as_logits(method):
    z, target = fixture()
    shift = np.random.default_rng(0).normal(scale=3, size=(60, 1))
    one, other = scaling.fit(method, z, target), scaling.fit(method, z + shift, target)
    assert one.weight == pytest.approx(other.weight, abs=1e-6)
    assert one.bias == pytest.approx(other.bias, abs=1e-6)
    probabilities = softmax(z, axis=1)
    expected = softmax(z * one.weight + one.bias, axis=1)
    assert one.probabilities(logarithm(probabilities)) == pytest.approx(expected, abs=1e-12)


def test_vector_notices_what_is_added_to_all_logits():
    z, target = fixture()
    shift = np.random.default_rng(0).normal(scale=3, size=(60, 1))
    one, other = scaling.fit("vector", z, target), scaling.fit("vector", z + shift, target)
    assert abs(np.array(one.weight) - other.weight).max() > 0.01


def test_bias_gives_every_class_the_share_it_has():
    """Without a ridge the derivative of the log loss by b is the difference of the two shares."""
    z, target = fixture()
    _, bias = scaling.fit_affine(z, target, scale=False, ridge=0)
    assert softmax(z + bias, axis=1).mean(axis=0) == pytest.approx(np.array([21, 19, 20]) / 60, abs=1e-6)


def test_bias_takes_back_a_prior_that_was_added():
    draw = np.random.default_rng(1)
    z = draw.normal(scale=2, size=(20_000, 3))
    target = np.array([draw.choice(3, p=row) for row in softmax(z, axis=1)])
    added = np.log([1, 2, 16])
    found = scaling.fit("bias", z + added, target)
    assert found.bias == pytest.approx(added.mean() - added, abs=0.07)
    assert found.weight == [1, 1, 1]


def test_the_objective_has_the_minimum_that_torch_finds():
    z, target = fixture()
    ridge = 2.0
    both = torch.cat([torch.ones(3), torch.zeros(3)]).double().requires_grad_()
    start = both.detach().clone()
    optimiser = torch.optim.LBFGS([both], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15)

    def loss():
        optimiser.zero_grad()
        scores = torch.from_numpy(z) * both[:3] + both[3:]
        value = torch.nn.functional.cross_entropy(scores, torch.from_numpy(target), reduction="sum")
        value = value + ridge / 2 * (both - start).square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    expected = both.detach().numpy()
    weight, bias = scaling.fit_affine(z, target, scale=True, ridge=ridge)
    assert weight == pytest.approx(expected[:3], abs=1e-5)
    assert bias == pytest.approx(expected[3:] - expected[3:].mean(), abs=1e-5)


def test_more_rows_make_the_ridge_say_less():
    z, target = fixture()
    free, _ = scaling.fit_affine(z, target, scale=True, ridge=0)
    few, _ = scaling.fit_affine(z, target, scale=True)
    many, _ = scaling.fit_affine(np.tile(z, (50, 1)), np.tile(target, 50), scale=True)
    assert abs(many - free).max() < abs(few - free).max() / 20


def test_a_model_that_knows_nothing_drives_the_temperature_to_its_bound():
    draw = np.random.default_rng(0)
    z, target = draw.normal(scale=0.05, size=(900, 3)), np.arange(900) % 3
    assert np.log(scaling.fit_temperature(z, target)) > 2.99


def test_a_model_that_is_not_sure_enough_gets_a_temperature_below_one():
    z, target = fixture()
    best = scaling.fit_temperature(z, target)
    assert scaling.fit_temperature(z / (5 * best), target) == pytest.approx(0.2, abs=1e-5)


def test_a_probability_of_zero_stays_finite():
    calibrated = HeadCalibration("temperature", [0.5, 0.5], [0, 0]).probabilities(
        logarithm(np.array([[1.0, 0.0], [0.5, 0.5]]))
    )
    assert np.isfinite(np.log(calibrated)).all()
    assert calibrated.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
    assert calibrated[0, 1] == pytest.approx(np.sqrt(1e-15), rel=1e-6)
