"""From numbers to words: what may be said of a difference, and when a gain of diversity counts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from arena.evaluation.comparison.bands import Band, band_of
from arena.stats.arms import Found, Statistic, compare
from arena.stats.intervals import Interval
from arena.stats.significance import detectable_difference, error_p, holm, permutation_p, rows_needed

LEVEL = 0.05
"""Of significance."""
PERMUTATIONS = 9999
SIDES = ("better", "worse", "more diverse", "less diverse")
FOR_WEIGHTS = " for these weights"
"""After a word that was found with one seed in each arm: another seed may change it."""
Measures = dict[str, dict[str, Any]]


def word_of(interval: Interval, rises: bool, better: str = "better", worse: str = "worse") -> str:
    """Return `better`, `worse` or `not shown` by where an interval of other - base lies, `undefined` without one."""
    if math.isnan(interval.low):
        return "undefined"
    if interval.low <= 0 <= interval.high:
        return "not shown"
    return better if (interval.low > 0) == rises else worse


def not_worse(difference: Interval, rises: bool, margin: float) -> bool:
    """True where the worse end of the interval of other - base is nearer to 0 than the margin (non-inferiority)."""
    loss = -difference.low if rises else difference.high
    return bool(loss < margin)


def compared(statistics: Sequence[Statistic], resamples: int, seed: int) -> Measures:
    """Every measure by name: both values, difference and relative change with 95% intervals, p values, rows needed."""
    found = compare(statistics, resamples, seed)
    flips = permutation_p(statistics, PERMUTATIONS, seed)
    return {each.name: _entry(each, found[each.name], flips[each.name]) for each in statistics}


def _entry(statistic: Statistic, found: Found, p_prompts: float) -> dict[str, Any]:
    several = len(statistic.base) > 1 or len(statistic.other) > 1
    p_seeds = error_p(found) if several else math.nan
    # With several seeds neither p may be forgotten: the flips know nothing of seeds.
    p = max((each for each in (p_prompts, p_seeds) if not math.isnan(each)), default=math.nan)
    entry: dict[str, Any] = {
        "rises": statistic.rises,
        "rows": statistic.rows,
        "left_out": statistic.left_out,
        "base": found.base,
        "other": found.other,
        "difference": found.difference._asdict(),
        "relative": found.relative._asdict(),
        "standard_error": {"prompts": found.prompt_error, "seeds": found.seed_error},
        "seed_deviation": found.seed_deviation,
        "of_weights": not several,
        "p": {"sign_flips": p_prompts, "with_seeds": p_seeds, "of_both": p, "holm": math.nan},
        "rows_needed": rows_needed(found, statistic.rows),
        "least_shown": detectable_difference(found),
        "word": word_of(found.difference, statistic.rises),
    }
    reasons = {
        "in no prompt do all runs have it": not statistic.rows,
        "undefined in one of the runs": math.isnan(found.difference.value),
        "fewer than two groups of rows, or undefined in too many resamples": math.isnan(found.difference.low),
        "no relative change: the base has 0": math.isnan(found.relative.value),
        "the base is 0 in too many resamples": math.isnan(found.relative.low),
    }
    if reason := next((text for text, holds in reasons.items() if holds), None):
        entry["reason"] = reason
    return entry


def adjust(measures: Measures, primary: str, among: Sequence[str]) -> None:
    """Give the measures of `among`, the primary one included, Holm's p; what that no longer shows is not shown.

    With one seed in each arm what is shown is shown of these weights only, and the word says so.
    """
    for name, p in zip(among, holm([measures[name]["p"]["of_both"] for name in among]), strict=True):
        entry = measures[name]
        entry["p"]["holm"] = p
        if entry["word"] in SIDES and not p < LEVEL:
            entry["word"] = "not shown (Holm)"
        elif entry["word"] in SIDES and entry["of_weights"]:
            entry["word"] += FOR_WEIGHTS
    for name, entry in measures.items():
        entry["role"] = "primary" if name == primary else "secondary" if name in among else "shown"


def class_verdict(measures: Measures, primary: str) -> dict[str, Any]:
    """The verdict on runs that classify: what the primary measure shows."""
    adjust(measures, primary, list(measures))
    entry = measures[primary]
    return {"primary": primary, "word": entry["word"], "line": line_of(primary, entry)}


def reply_verdict(
    measures: Measures,
    quality: Mapping[str, float],
    diverse: Sequence[str],
    primary: str,
    bands: list[Band],
) -> dict[str, Any]:
    """The verdict on diversity: the band of the lower end of the relative gain, and whether it counts.

    It counts only if quality is not worse (by the margin of each of its measures), the gain is shown, and it is above
    the standard deviation of the base's seeds where there are several; a secondary measure's p must hold Holm's
    adjustment too. Each measure of diversity gets its `gain`, `band` and `counts`.
    """
    for name, margin in quality.items():
        entry = measures[name]
        entry |= {"margin": margin, "not_worse": not_worse(Interval(**entry["difference"]), entry["rises"], margin)}
        entry["word"] = "not worse" if entry["not_worse"] else "worse" if entry["word"] == "worse" else "may be worse"
    for name in diverse:
        entry = measures[name]
        value, low, high = entry["relative"].values()
        gain = Interval(value, low, high) if entry["rises"] else Interval(-value, -high, -low)
        entry |= {"gain": gain._asdict(), "word": word_of(gain, True, "more diverse", "less diverse")}
        entry["relative_seed_deviation"] = entry["seed_deviation"] / entry["base"] if entry["base"] > 0 else math.nan
    adjust(measures, primary, diverse)
    for name in quality:
        measures[name]["role"] = "quality"
    held = {name: measures[name]["not_worse"] for name in quality}
    for name in diverse:
        entry = measures[name]
        shown = entry["word"].startswith("more diverse")
        entry["band"] = band_of(entry["gain"]["low"], bands) if shown else None
        noise = entry["relative_seed_deviation"]
        entry["above_seeds"] = None if math.isnan(noise) else bool(entry["gain"]["value"] > noise)
        entry["counts"] = bool(shown and all(held.values()) and entry["above_seeds"] is not False)
    entry = measures[primary]
    line = line_of(primary, entry, [name for name, holds in held.items() if not holds])
    return {"primary": primary, "not_worse": held, "band": entry["band"], "counts": entry["counts"], "line": line}


def line_of(name: str, entry: Mapping[str, Any], failed: Sequence[str] = ()) -> str:
    """What may be said of a measure, in one line; `failed`: measures of quality that are not shown to be not worse."""
    word, gain = entry["word"], entry.get("gain")
    if word == "undefined":
        return f"{name}: undefined ({entry.get('reason', 'no interval')})"
    if gain:
        name += f": the gain of diversity is {gain['value']:+.1%} ({gain['low']:+.1%} to {gain['high']:+.1%})"
    if word.startswith("not shown"):
        why = "not after Holm's adjustment for several measures" if "Holm" in word else "the interval holds zero"
        rows = entry["rows_needed"]
        needed = f"about {float(f'{rows:.2g}'):,.0f} rows, there are {entry['rows']:,}"
        if math.isinf(rows):
            needed = "more seeds" if entry["standard_error"]["seeds"] > 0 else "a difference, and there is none"
        return f"{name}: not shown ({why}); to show it would take {needed}"
    if not gain or not word.startswith("more diverse"):
        return f"{name}: shown {word}"
    against = [f"{each} is not shown to be not worse" for each in failed]
    if entry["above_seeds"] is False:
        noise = entry["relative_seed_deviation"]
        against.append(f"the base's own seeds have a standard deviation of {noise:.1%}")
    end = f"but it does not count: {'; '.join(against)}" if against else "and quality is not worse"
    return f"{name}: {entry['band']}{FOR_WEIGHTS if entry['of_weights'] else ''}, {end}"
