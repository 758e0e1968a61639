"""Rates and bins against their definitions."""

import math

import numpy as np
import pytest

from arena.reporting.statistics import codes, equal_bins, rate, round_number, signed_bins


def test_no_rows_no_rate() -> None:
    assert all(math.isnan(number) for number in rate(0, 0)[2:])


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
