"""Intervals: known numbers, and coverage in simulations with a known truth."""

import math

import numpy as np
import pytest

from arena.stats.intervals import expanded, mean, paired_difference, paired_differences, percentiles, ratio, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # upper end z^2 / (n + z^2) = 3.8415 / 13.8415
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (0.3475 * 11000, 11000, 0.3387, 0.3565),
        (0.3566 * 11000, 11000, 0.3477, 0.3656),
    ],
)
def test_wilson_known_numbers(successes: float, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=6e-5)


def test_wilson_without_rows_and_at_other_levels() -> None:
    assert all(math.isnan(end) for end in wilson(0, 0))
    # z(.9) = 1.644854: z^2 / (n + z^2) = 2.70554 / 12.70554
    assert wilson(0, 10, level=0.9) == pytest.approx((0.0, 0.212942), abs=1e-6)


def test_wilson_covers() -> None:
    """Exact coverage with 30 rows, over the rates .05, .06, ... .95: 95 % on average, though single rates differ (whole
    successes allow no finer steps), from 92.9 to 97.5."""
    coverage = []
    for rate in np.linspace(0.05, 0.95, 91):
        inside = [k for k in range(31) if wilson(k, 30)[0] <= rate <= wilson(k, 30)[1]]
        coverage.append(sum(math.comb(30, k) * rate**k * (1 - rate) ** (30 - k) for k in inside))
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.005)
    assert min(coverage) > 0.925


def test_paired_difference_covers_and_single_rows_would_not() -> None:
    """200 data sets of 40 groups of 5 rows that share a normal shift around .2. The interval by group holds .2 in 93.4
    % of 500 such sets (less than 95: percentiles know no t distribution): here 88 to 98, three standard errors. By
    row it is too narrow by nearly sqrt(5) and holds it in 64.6 %."""
    generator = np.random.default_rng(6)
    groups = np.repeat(np.arange(40), 5)
    held = np.zeros(2)
    for seed in range(200):
        a = 0.2 + generator.normal(size=40)[groups] + 0.1 * generator.normal(size=200)
        for kind, unit in enumerate((groups, np.arange(200))):
            _, low, high = paired_difference(a, np.zeros(200), unit, resamples=200, seed=seed)
            held[kind] += low <= 0.2 <= high
    assert 0.88 <= held[0] / 200 <= 0.98
    assert held[1] / 200 < 0.78


def test_a_mean_of_single_rows_has_the_usual_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = mean(values)
    half = 1.959964 * values.std(ddof=1) / 2
    assert found == pytest.approx((4.0, 4 - half, 4 + half), abs=1e-5)
    assert mean(values, np.arange(4)) == pytest.approx(found)
    assert all(math.isnan(end) for end in mean(values, np.zeros(4))[1:])


def test_copied_rows_do_not_narrow_the_interval_of_their_groups() -> None:
    values = np.random.default_rng(0).normal(size=50)
    single, copied = mean(values), mean(np.repeat(values, 10), np.repeat(np.arange(50), 10))
    assert copied[1:] == pytest.approx(single[1:])


def test_percentiles_are_read_further_out_with_few_groups() -> None:
    """Phi(-sqrt(40/39) * 2.0227) = .0203 at 40 groups; t with many degrees of freedom is normal: .025."""
    assert expanded(40) == pytest.approx(0.0203, abs=1e-4)
    assert expanded(100_000) == pytest.approx(0.025, abs=1e-4)
    values = np.arange(10_001.0)
    assert percentiles(values, 40) == pytest.approx((203, 9797), abs=1)
    assert np.isnan(percentiles(values, 1)).all()
    values[:1100] = np.nan
    assert np.isnan(percentiles(values, 40)).all()


def test_a_mean_over_columns_is_that_of_their_means() -> None:
    """Two columns, one label missing in the second: (1 + 2 + 3) / 3 and (4 + 6) / 2 have the mean 3.5."""
    losses = np.array([[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]])
    columns, whole = paired_differences(losses, np.zeros((3, 2)), [0, 1, 2], 100, 0)
    assert [each.value for each in columns] == [2.0, 5.0]
    assert whole.value == 3.5
    assert ratio([2.0, 4.0], [1.0, 2.0], [0, 1], 100, 0) == (2.0, 2.0, 2.0)


def test_groups_without_a_row_of_a_column_widen_nothing() -> None:
    """A column with labels in 5 of 60 groups has the interval of 5 groups, which is that of the extremes; a column with
    labels in one group has none, nor has the mean."""
    losses = np.full((60, 2), np.nan)
    losses[:5, 0] = [0.0, 1.0, 2.0, 3.0, 4.0]
    losses[0, 1] = 1.0
    columns, whole = paired_differences(losses, np.zeros((60, 2)), np.arange(60), 3000, 0)
    assert columns[0].low < 0.6
    assert columns[0].high > 3.4
    assert np.isnan(columns[1].low)
    assert whole.value == 1.5
    assert np.isnan(whole.low)


def test_no_rows_have_no_interval() -> None:
    assert np.isnan(paired_difference([], [], [], 10, 0)).all()
    assert np.isnan(paired_differences(np.empty((0, 2)), np.empty((0, 2)), [], 10, 0)[1]).all()
