"""Rates, means and bins against their definitions."""

import math

import numpy as np
import pytest

from arena.metric.interval import wilson
from arena.report.statistics import codes, equal_bins, mean, rate, round_number, signed_bins


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (5, 10), (1, 1), (347, 1000)])
def test_rates_have_the_interval_that_metrics_have(count: int, total: int) -> None:
    found = rate(count, total)
    assert (found.low, found.high) == pytest.approx(wilson(count, total))
    assert found.value == count / total


def test_no_rows_no_rate() -> None:
    assert all(math.isnan(number) for number in rate(0, 0)[2:])


def test_a_mean_of_single_rows_has_the_usual_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = mean(values)
    half = 1.959964 * values.std(ddof=1) / 2
    assert found == pytest.approx((4, 4.0, 4 - half, 4 + half), abs=1e-5)
    assert mean(values, np.arange(4)) == pytest.approx(found)
    assert all(math.isnan(end) for end in mean(values, np.zeros(4))[2:])


def test_copied_rows_do_not_narrow_the_interval_of_their_groups() -> None:
    values = np.random.default_rng(0).normal(size=50)
    single, copied = mean(values), mean(np.repeat(values, 10), np.repeat(np.arange(50), 10))
    assert copied[1:] == pytest.approx(single[1:])


def test_equal_bins() -> None:
    index, labels = equal_bins(np.array([5, 1, 1, 1, 2, 9]), 3)
    # Quantiles at 1/3 and 2/3 are 1 and 2: up to 1, up to 2, above.
    assert labels == ["1", "2", "5 to 9"]
    assert index.tolist() == [2, 0, 0, 0, 1, 2]
    assert equal_bins(np.array([7, 7]), 4)[1] == ["7"]


def test_signed_bins_mirror_each_other() -> None:
    values = np.array([-100, -100, -10, 0, 10, 100, 100, 1000])
    index, labels = signed_bins(values, 2)
    # Median of |d| without 0 is 100, so: up to 100, above 100.
    assert labels == ["\u22121 to \u2212100", "0", "+1 to +100", "+101 and more"]
    assert index.tolist() == [0, 0, 0, 1, 2, 2, 2, 3]
    assert signed_bins(np.zeros(3, np.int64))[1] == ["0"]


@pytest.mark.parametrize(("value", "expected"), [(0.2, 1), (7.4, 7), (12.6, 13), (1234, 1200), (98_765, 99_000)])
def test_round_numbers(value: float, expected: int) -> None:
    assert round_number(value) == expected


def test_codes_order_names_by_use() -> None:
    numbers, names = codes(["b", None, "c", "a", "c"])
    assert names == ["c", "a", "b"]
    assert numbers.tolist() == [2, -1, 0, 1, 0]
