"""Words: which difference may be called what, and which gain of diversity counts."""

import math

import pytest

from arena.core.errors import UsageError
from arena.evaluation.comparison.bands import BANDS, band_of, bands_of
from arena.evaluation.comparison.verdict import not_worse, reply_verdict, word_of
from arena.stats.intervals import Interval


def test_bands_have_no_holes():
    bands = bands_of(BANDS)
    assert [tuple(band) for band in bands] == [
        ("none", 0, 0.05), ("weak", 0.05, 0.15), ("moderate", 0.15, 0.3), ("strong", 0.3, math.inf)
    ]  # fmt: skip
    # 2-5%, 10-15% and 25-30% had no word in the study: such gains keep the lower one.
    assert [band_of(gain, bands) for gain in (0.019, 0.03, 0.05, 0.12, 0.15, 0.27, 9)] == [
        "none", "none", "weak", "weak", "moderate", "moderate", "strong"
    ]  # fmt: skip
    assert band_of(-0.01, bands) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weak": 0.02, "strong": 0.1}, "the first band must begin at 0"),
        ({"none": 0, "weak": 0.1, "strong": 0.05}, "the edges must rise"),
        ({"none": 0, "weak": "much"}, "a number is needed"),
        ({"none": 0, "weak": True}, "a number is needed"),
        ({"none": [0, 0.1], "weak": 0.1}, "a number is needed"),
        (0.02, "names with their lower edges are needed"),
        ({}, "names with their lower edges are needed"),
    ],
)
def test_bands_that_leave_gains_without_a_name_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        bands_of(given)


def test_sides():
    assert word_of(Interval(0.2, 0.1, 0.3), rises=True) == "better"
    assert word_of(Interval(0.2, 0.1, 0.3), rises=False) == "worse"
    assert word_of(Interval(-0.2, -0.3, -0.1), rises=False) == "better"
    assert word_of(Interval(0.2, 0.0, 0.3), rises=True) == "not shown"
    assert word_of(Interval(0.2, math.nan, math.nan), rises=True) == "undefined"
    assert not_worse(Interval(0.0, -0.1, 0.019), rises=False, margin=0.02)
    assert not not_worse(Interval(0.0, -0.1, 0.02), rises=False, margin=0.02)
    assert not_worse(Interval(0.0, -0.01, 0.5), rises=True, margin=0.02)
    assert not not_worse(Interval(0.0, math.nan, math.nan), rises=True, margin=0.02)


def entry(low, high, deviation=math.nan, p=0.001, rises=True, base=0.5):
    middle = (low + high) / 2
    interval = {"value": middle, "low": low, "high": high}
    ends = {"value": middle * base, "low": low * base, "high": high * base}
    p_values = {"sign_flips": p, "with_seeds": math.nan, "of_both": p, "holm": math.nan}
    return {
        "difference": ends, "relative": interval, "rises": rises, "base": base, "rows": 100, "rows_needed": 1000.0,
        "seed_deviation": deviation, "of_weights": False, "standard_error": {"seeds": 0.0}, "p": p_values,
        "word": "better",
    }  # fmt: skip


def verdict(loss=(-0.01, 0.01), **measures):
    found = {"log_loss": entry(*loss, rises=False, base=1), **measures}
    return reply_verdict(found, {"log_loss": 0.02}, list(measures), "distinct_2", bands_of(BANDS)), found


def test_a_gain_counts():
    told, found = verdict(distinct_2=entry(0.05, 0.4))
    assert (told["band"], told["counts"], told["not_worse"]) == ("weak", True, {"log_loss": True})
    assert told["line"] == (
        "distinct_2: the gain of diversity is +22.5% (+5.0% to +40.0%): weak, and quality is not worse"
    )
    assert found["distinct_2"]["above_seeds"] is None


def test_what_falls_with_diversity_gains_by_falling():
    told, found = verdict(distinct_2=entry(0.05, 0.4), self_bleu_2=entry(-0.4, -0.3, rises=False))
    assert found["self_bleu_2"]["gain"] == {"value": pytest.approx(0.35), "low": 0.3, "high": 0.4}
    assert (found["self_bleu_2"]["band"], found["self_bleu_2"]["role"]) == ("strong", "secondary")
    assert told["counts"]


def test_a_gain_does_not_count_where_quality_may_be_worse():
    told, _ = verdict(loss=(-0.01, 0.03), distinct_2=entry(0.3, 0.4))
    assert (told["band"], told["counts"]) == ("strong", False)
    assert told["line"].endswith("strong, but it does not count: log_loss is not shown to be not worse")


def test_a_gain_does_not_count_below_what_seeds_do_by_themselves():
    told, found = verdict(distinct_2=entry(0.03, 0.09, deviation=0.05))  # 10% of the base's .5
    assert not told["counts"]
    assert found["distinct_2"]["above_seeds"] is False
    assert "the base's own seeds have a standard deviation of 10.0%" in told["line"]
    assert verdict(distinct_2=entry(0.03, 0.09, deviation=0.02))[0]["counts"]


def test_a_gain_that_is_not_shown_has_no_band():
    told, _ = verdict(distinct_2=entry(-0.01, 0.5))
    assert (told["band"], told["counts"]) == (None, False)
    assert "not shown (the interval holds zero); to show it would take about 1,000 rows, there are 100" in told["line"]
    told, _ = verdict(distinct_2=entry(-0.5, -0.1))
    assert told["line"].endswith("shown less diverse")
    assert not told["counts"]


def test_all_measures_answer_for_being_many():
    """p = .005, .01, .02, .03 become .02, .03, .04, .04; with .02, .02, .03, .03 none is below .05."""
    names = ("distinct_2", "vendi", "distinct_1", "distinct_3")
    for ps, expected in (
        ((0.005, 0.01, 0.02, 0.03), [0.02, 0.03, 0.04, 0.04]),
        ((0.02, 0.02, 0.03, 0.03), [0.08, 0.08, 0.08, 0.08]),
    ):
        told, found = verdict(**{name: entry(0.05, 0.4, p=p) for name, p in zip(names, ps, strict=True)})
        assert [found[name]["p"]["holm"] for name in names] == pytest.approx(expected)
        assert all(found[name]["counts"] == (expected[0] < 0.05) for name in names)
    assert found["vendi"]["word"] == "not shown (Holm)"
    assert "not shown (not after Holm's adjustment for several measures)" in told["line"]


def test_one_seed_in_each_arm_speaks_of_its_weights():
    told, found = verdict(distinct_2=entry(0.05, 0.4) | {"of_weights": True})
    assert found["distinct_2"]["word"] == "more diverse for these weights"
    assert told["line"].endswith("weak for these weights, and quality is not worse")
    assert told["counts"]
