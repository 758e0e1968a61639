"""Calibration errors: values worked out by hand, and an interval that covers where percentiles cannot."""

import numpy as np
import pytest

from arena.stats import calibration
from arena.stats.intervals import draws


def test_bins_of_equal_mass():
    """Five rows of P(class 1), two bins: |1 - .7367| * 3/5 + |.5 - .8| * 2/5; torch-uncertainty's own example."""
    p, target = np.array([0.3, 0.24, 0.25, 0.2, 0.8]), np.array([0, 0, 0, 1, 1])
    confidence, right = calibration.top(np.stack([1 - p, p], axis=1), target)
    error = calibration.calibration_error(confidence, right, calibration.equal_mass(confidence, 2))
    assert error == pytest.approx((1 - 2.21 / 3) * 0.6 + 0.3 * 0.4, abs=1e-12)
    assert error == pytest.approx(0.278, abs=1e-9)


def test_equal_confidences_share_a_bin_and_the_order_of_rows_does_not_matter():
    draw = np.random.default_rng(0)
    confidence = draw.choice([0.4, 0.5, 0.6, 0.7, 0.9], size=101, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    right = draw.random(101) < 0.6
    member = calibration.equal_mass(confidence, 4)
    for value in np.unique(confidence):
        assert len(np.unique(member[confidence == value])) == 1
    order = draw.permutation(101)
    one = calibration.calibration_error(confidence, right, member)
    assert calibration.calibration_error(confidence[order], right[order], member[order]) == pytest.approx(
        one, abs=1e-15
    )
    spread = np.linspace(0.4, 0.99, 101)
    assert np.bincount(calibration.equal_mass(spread, 4)).tolist() == [26, 25, 25, 25]
    assert calibration.equal_mass(np.full(9, 0.5), 4).tolist() == [0] * 9


def test_the_diagram_counts_every_row_once():
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.4, 1, 60)
    right = draw.random(60) < confidence
    bins = calibration.reliability(confidence, right, 6)
    assert bins.rows.tolist() == [10] * 6
    assert (bins.rows * bins.accuracy).sum() == right.sum()
    assert (bins.rows * bins.confidence).sum() == pytest.approx(confidence.sum())
    assert (np.diff(bins.confidence) > 0).all()
    assert ((bins.low <= bins.accuracy) & (bins.accuracy <= bins.high)).all()
    error = calibration.calibration_error(confidence, right, calibration.equal_mass(confidence, 6))
    assert (bins.rows * abs(bins.accuracy - bins.confidence)).sum() / 60 == pytest.approx(error)


def test_a_confidence_of_one_is_in_the_last_bin():
    """.95 right, 1 wrong: one bin of two rows errs by |(.05 - 1) / 2|; in two bins it would be (.05 + 1) / 2."""
    confidence, right = np.array([0.95, 1.0]), np.array([True, False])
    member = calibration.equal_width(confidence, 10)
    assert member.tolist() == [9, 9]
    assert calibration.calibration_error(confidence, right, member) == pytest.approx(0.475)


def rows(draw, groups, sharpness):
    """Rows of three classes in prompts of one to six, drawn from probabilities that a model makes sharper."""
    member = np.repeat(np.arange(groups), draw.integers(1, 7, groups))
    z = draw.normal(0, 1, (groups, 3))[member] + draw.normal(0, 0.7, (len(member), 3))
    share, told = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (z, sharpness * z))
    target = (draw.random(len(member))[:, None] > share.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return member, *calibration.top(told, target)


@pytest.mark.parametrize(("sharpness", "groups"), [(1.0, 40), (1.0, 400), (2.0, 40), (2.0, 400)])
def test_the_interval_covers_the_error(sharpness, groups):
    """60 data sets: with coverage .94 (benchmarks/coverage.py measures .94 to .98) fewer than 50 have probability
    .001. Percentiles of the resamples hold the error of a calibrated model in none of forty sets of 40 prompts."""
    draw = np.random.default_rng(3)
    _, confidence, right = rows(draw, 100_000, sharpness)
    truth = calibration.calibration_error(confidence, right, calibration.equal_width(confidence, 15))
    held = percentiles = 0
    for seed in range(60):
        member, confidence, right = rows(draw, groups, sharpness)
        _, drawn = draws(member, 200, seed)
        gaps = calibration.Gaps.of(confidence, right, calibration.equal_width(confidence, 15), member, drawn)
        found = calibration.error_interval(gaps, groups)
        assert found.low <= found.debiased <= found.high
        assert found.low <= np.abs(gaps.found).sum() <= found.high
        held += found.low <= truth <= found.high
        low, high = np.quantile(np.abs(gaps.found + gaps.noise).sum(axis=1), [0.025, 0.975])
        percentiles += low <= truth <= high
    assert held >= 50
    assert sharpness > 1 or percentiles < 20


def test_the_gaps_are_those_of_the_error():
    draw = np.random.default_rng(0)
    member, confidence, right = rows(draw, 30, 1.5)
    bins = calibration.equal_width(confidence, 10)
    _, drawn = draws(member, 20, 0)
    gaps = calibration.Gaps.of(confidence, right, bins, member, drawn)
    error = calibration.calibration_error(confidence, right, bins)
    assert np.abs(gaps.found).sum() == pytest.approx(error, abs=1e-12)
    for each, noise in zip(drawn[:3], gaps.noise[:3], strict=True):
        chosen = np.repeat(np.arange(len(member)), each[member])
        again = calibration.calibration_error(confidence[chosen], right[chosen], bins[chosen])
        assert np.abs(gaps.found + noise).sum() == pytest.approx(again, abs=1e-12)
    mean = calibration.Gaps.mean([gaps, gaps], np.array([1, 3]))
    assert np.abs(mean.found).sum() == pytest.approx(error, abs=1e-12)


def test_one_group_has_no_interval():
    gaps = calibration.Gaps.of(np.array([0.9]), np.array([True]), np.array([0]), np.array([0]), np.ones((5, 1), int))
    assert np.isnan(calibration.error_interval(gaps, 1)).all()


def test_an_error_below_its_own_noise_is_inside_its_interval():
    """Half right at .5 in every prompt of two rows: the gap is 0 in each, and nothing can be said but that."""
    group = np.repeat(np.arange(30), 2)
    _, drawn = draws(group, 100, 0)
    found = calibration.Gaps.of(np.full(60, 0.52), np.tile([True, False], 30), np.zeros(60, int), group, drawn)
    assert calibration.error_interval(found, 30) == pytest.approx((0.02, 0.02, 0.02))
    gaps = calibration.Gaps(np.array([0.001]), np.linspace(-0.1, 0.1, 101)[:, None])
    assert calibration.error_interval(gaps, 30) == (0.0, 0.0, 0.001)


def test_too_many_undefined_resamples_have_no_interval():
    gaps = calibration.Gaps(np.array([0.1]), np.array([[0.01], [np.nan], [-0.01]]))
    assert np.isnan(calibration.error_interval(gaps, 30)).all()


def test_no_error_is_above_one():
    gaps = calibration.Gaps(np.array([-0.7]), np.random.default_rng(0).normal(0, 0.4, (500, 1)))
    assert calibration.error_interval(gaps, 5).high == 1
