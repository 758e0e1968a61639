"""Intervals over prompts and seeds: known numbers, other libraries' numbers, and error rates where nothing differs."""

import math

import numpy as np
import pytest
from scipy.stats import norm, permutation_test, t

from arena.evaluation.comparison.classes import flat_macro_f1 as macro_f1
from arena.stats.arms import Statistic, Sums, compare, means, ratio, resampled
from arena.stats.intervals import paired_difference
from arena.stats.significance import detectable_difference, error_p, holm, permutation_p, rows_needed


def of_rows(base, other, member=None, rises=True, name="x"):
    """A mean over rows; `base`, `other`: `[S, N]`; `member`: group of each row."""
    base, other = np.atleast_2d(base), np.atleast_2d(other)
    member = np.arange(base.shape[1]) if member is None else member
    groups = int(member.max()) + 1

    def sums(values):
        size = np.bincount(member, minlength=groups)
        return np.stack([np.stack([np.bincount(member, v, groups), size], axis=1) for v in values]).astype(np.float64)

    return Statistic(name, sums(base), sums(other), ratio, rises, base.shape[1])


def test_with_one_seed_it_is_the_paired_difference():
    draw = np.random.default_rng(0)
    member = np.arange(100) % 30
    draw.shuffle(member)
    base, other = draw.normal(1, 1, (2, 100))
    found = compare([of_rows(base, other, member)], 500, seed=7)["x"]
    expected = paired_difference(other, base, member, 500, seed=7)
    assert found.difference == pytest.approx(tuple(expected), abs=1e-12)
    assert (found.base, found.other) == pytest.approx((base.mean(), other.mean()))
    assert found.relative.value == pytest.approx(other.mean() / base.mean() - 1)
    assert (found.seed_error, found.seed_freedom) == (0, math.inf)
    assert math.isnan(found.seed_deviation)


def test_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    """The same draws in blocks: products of other shapes may add in another order. A sum of 20 terms that are not
    negative is within 20 u (u = 2^-53) of the true one, so a ratio of two within 41 u and two ratios within 82 u."""
    sums = Sums(np.random.default_rng(0).random((2, 20, 2)), ratio)
    whole = resampled([sums], 50, seed=3)[0]
    monkeypatch.setattr("arena.stats.arms.AT_ONCE", 60)
    np.testing.assert_allclose(resampled([sums], 50, seed=3)[0], whole, rtol=84 * 2**-53)
    assert whole.shape == (2, 50)


def test_seeds_widen_the_interval_as_their_variance_says():
    """Rows all equal: only seeds differ, and the interval is Student's of two means of S seeds."""
    base, other = np.array([1.0, 1.2, 1.1]), np.array([1.5, 1.3, 1.9])
    found = compare([of_rows(base[:, None] + np.zeros(50), other[:, None] + np.zeros(50))], 4000, seed=0)["x"]
    parts = np.array([base.var(ddof=1) / 3, other.var(ddof=1) / 3])
    freedom = parts.sum() ** 2 / (parts**2 / 2).sum()  # Welch and Satterthwaite
    assert found.prompt_error == pytest.approx(0, abs=1e-9)
    assert found.seed_error == pytest.approx(math.sqrt(parts.sum()))
    assert found.seed_freedom == pytest.approx(freedom)
    assert found.seed_deviation == pytest.approx(0.1)
    half = t.ppf(0.975, freedom) * math.sqrt(parts.sum())
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(half, rel=0.15)
    assert error_p(found) == pytest.approx(2 * t.sf((1.5667 - 1.1) / math.sqrt(parts.sum()), freedom), rel=1e-3)


def test_what_prompts_explain_of_the_seeds_is_not_counted_twice():
    """Each answer has its own noise and seeds have no effect: the error is that of S * G independent answers."""
    draw = np.random.default_rng(2)
    arms = [draw.normal(0, 1, (2, 4, 100)) for _ in range(40)]
    errors = [compare([of_rows(base, other)], 200, seed=i)["x"].error for i, (base, other) in enumerate(arms)]
    assert np.mean(errors) == pytest.approx(math.sqrt(2 / 400), rel=0.15)  # .0707; counted twice it is .1 and more


def false_positives(simulate, sets, resamples=150):
    """Share of data sets in which a difference that is not there is shown."""
    shown = 0
    for number in range(sets):
        low, high = compare([simulate(number)], resamples, seed=number)["x"].difference[1:]
        shown += not low <= 0 <= high
    return shown / sets


def test_clustered_replies_show_nothing_that_is_not_there():
    """40 prompts of 5 replies each, whose two arms differ by prompt: drawn by prompt, 5% of the null data sets are
    called different (400 sets: between 2.5% and 8% with probability .98), drawn by reply three times as many."""
    draw = np.random.default_rng(5)
    prompts, replies = 40, 5

    def simulate(by_prompt):
        member = np.repeat(np.arange(prompts), replies)
        common = draw.normal(0, 1, prompts)[member]
        arms = common + draw.normal(0, 0.7, (2, prompts))[:, member] + draw.normal(0, 1, (2, len(member)))
        return of_rows(arms[0], arms[1], member if by_prompt else None)

    assert 0.025 < false_positives(lambda _: simulate(True), 400) < 0.08
    assert false_positives(lambda _: simulate(False), 150) > 0.12


def test_seeds_show_nothing_that_is_not_there():
    """Three seeds in each arm with an effect of their own: prompts alone are wrong most of the time, both are not."""
    draw = np.random.default_rng(6)

    def simulate(seeds):
        prompts = draw.normal(0, 1, 80)
        own = draw.normal(0, 0.4, (2, seeds, 1))
        base, other = prompts + own + draw.normal(0, 0.5, (2, seeds, 80))
        return of_rows(base, other)

    assert false_positives(lambda _: simulate(3), 300) < 0.09
    assert false_positives(lambda _: simulate(1), 100) > 0.5


def test_an_arm_of_one_seed_borrows_the_other_arms_variance():
    """Rows all equal: the base's seeds have variance .01, so other seeds move a mean of three by .01 / 3 and a single
    one by .01; both come from one variance of two degrees of freedom."""
    base = np.array([1.0, 1.2, 1.1])
    found = compare([of_rows(base[:, None] + np.zeros(50), 1.3 + np.zeros((1, 50)))], 4000, seed=0)["x"]
    assert found.seed_error == pytest.approx(math.sqrt(0.01 / 3 + 0.01))
    assert found.seed_freedom == pytest.approx(2)
    half = t.ppf(0.975, 2) * found.seed_error
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(half, rel=0.15)


def test_one_seed_against_three_shows_nothing_that_is_not_there():
    """Seeds that differ three times as much as the prompts' error: taken for no variance, 61 to 64% of equal arms were
    called different; borrowed it is 7.7% (300 sets: fewer than 12% with probability .997)."""
    draw = np.random.default_rng(7)

    def simulate(_):
        prompts = draw.normal(0, 1, 80)
        base, other = (prompts + draw.normal(0, 0.5, (n, 80)) + draw.normal(0, 0.25, (n, 1)) for n in (3, 1))
        return of_rows(base, other)

    assert false_positives(simulate, 300) < 0.12


def test_the_means_of_one_arm():
    values = np.array([[1.0, 2, 3, 4], [3, 4, 5, 6]])
    statistic = of_rows(values, values)
    (mean,) = means([Sums(statistic.base, ratio)], 2000, seed=0)
    assert mean.value == 3.5
    # The rows' share has variance 1.25 / 4, that of the two seeds (2^2 / 2) / 2 = 1, with one degree of freedom.
    assert mean.low < 3.5 - norm.ppf(0.975) * math.sqrt(1.3125) < 3.5 + 2 < mean.high
    (alone,) = means([Sums(statistic.base[:1], ratio)], 2000, seed=0)
    assert (alone.low, alone.high) == (1, 4)  # of four prompts nothing between the extremes is 95%


def test_sign_flips_are_those_of_scipy():
    draw = np.random.default_rng(3)
    base, other = draw.normal(0, 1, (2, 9))
    found = permutation_p([of_rows(base, other), of_rows(base, base, name="same")], 9999, seed=0)
    reference = permutation_test(
        (other - base,), np.mean, permutation_type="samples", n_resamples=9999, alternative="two-sided"
    )
    assert found["x"] == pytest.approx(reference.pvalue)  # all 512 flips
    assert found["same"] == 1
    base, other = draw.normal(0, 1, 200), draw.normal(0.2, 1, 200)
    drawn = permutation_p([of_rows(base, other)], 9999, seed=0)["x"]
    reference = permutation_test(
        (other, base),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    assert drawn == pytest.approx(reference.pvalue, abs=0.02)


def test_sign_flips_of_a_function_of_sums():
    """Macro-F1 has no mean of differences to flip: whole prompts are exchanged, and all 16 ways are counted by hand."""
    draw = np.random.default_rng(4)
    base, other = draw.integers(0, 5, (2, 1, 4, 4)).astype(float)
    statistic = Statistic("f", base, other, macro_f1, True, 4)

    def difference(flips):
        first = np.where(flips[:, None], other[0], base[0]).sum(axis=0)
        second = np.where(flips[:, None], base[0], other[0]).sum(axis=0)
        return macro_f1(second) - macro_f1(first)

    ways = [difference(np.array([bool(way >> i & 1) for i in range(4)])) for way in range(16)]
    expected = np.mean([abs(way) >= abs(ways[0]) - 1e-12 for way in ways])
    assert permutation_p([statistic], 9999, seed=0)["f"] == pytest.approx(expected)


def test_holm_passes_over_what_is_undefined():
    assert holm([0.04, 0.01, math.nan, 0.02]) == pytest.approx([0.04, 0.03, math.nan, 0.04], nan_ok=True)
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([]) == []


def test_rows_needed_give_the_power_they_promise():
    """Differences of mean .2 and deviation 1 need (1.96 + .8416)^2 / .04 = 196.2 rows; with so many, four of five data
    sets show it."""
    found = compare([of_rows(np.zeros(400), 0.2 + np.tile([-1.0, 1.0], 200))], 4000, seed=0)["x"]
    needed = rows_needed(found, 400)
    assert needed == pytest.approx(196.2, rel=0.06)
    assert detectable_difference(found) == pytest.approx(2.8016 * 1 / 20, rel=0.03)
    draw, shown = np.random.default_rng(0), 0
    for number in range(200):
        each = compare([of_rows(np.zeros(196), draw.normal(0.2, 1, 196))], 150, seed=number)["x"]
        shown += each.difference.low > 0
    assert 0.72 < shown / 200 < 0.88
    assert rows_needed(compare([of_rows(np.ones(5), np.ones(5))], 100, seed=0)["x"], 5) == math.inf


def test_one_group_has_no_interval():
    found = compare([of_rows([1.0, 2], [2.0, 4], np.zeros(2, dtype=int))], 200, seed=0)["x"]
    assert found.difference.value == 1.5
    assert math.isnan(found.difference.low)
