"""The comparison of two arms as one dictionary (`comparison.json`): numbers, and the words that they allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arena.evaluation.comparison.verdict import FOR_WEIGHTS, LEVEL, Band, band_of, not_worse, oriented, side
from arena.stats.arms import Found, Statistic, compare
from arena.stats.intervals import Interval
from arena.stats.significance import error_p, holm, least_shown, permutation_p, rows_needed

PERMUTATIONS = 9999
SHOWN = ("better", "worse", "more diverse", "less diverse")


@dataclass(frozen=True)
class Rules:
    """What was declared before anybody looked.

    Attributes:
        primary: the measure that decides; all are adjusted for being many (Holm).
        bands: names of relative gains of diversity.
        margin: nats a token by which the log loss may be higher and still count as not worse.
        pass_margin: the same for the checker's share, downwards.
        resamples: of the bootstrap.
        seed: of all draws.
    """

    primary: str
    bands: list[Band]
    margin: float
    pass_margin: float
    resamples: int
    seed: int


def compared(statistics: Sequence[Statistic], rules: Rules) -> dict[str, dict[str, Any]]:
    """Every measure by name: both values, difference and relative change with 95% intervals, p values, rows needed."""
    found = compare(statistics, rules.resamples, rules.seed, 1 - LEVEL)
    flips = permutation_p(statistics, PERMUTATIONS, rules.seed)
    return {each.name: _entry(each, found[each.name], flips[each.name]) for each in statistics}


def _entry(statistic: Statistic, found: Found, p_prompts: float) -> dict[str, Any]:
    several = not math.isinf(found.seed_freedom) or len(statistic.base) > 1 or len(statistic.other) > 1
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
        "of_weights": len(statistic.base) < 2 and len(statistic.other) < 2,
        "p": {"sign_flips": p_prompts, "with_seeds": p_seeds, "of_both": p, "holm": math.nan},
        "rows_needed": rows_needed(found, statistic.rows),
        "least_shown": least_shown(found),
        "word": side(found.difference, statistic.rises),
    }
    if reason := _reason(statistic, found):
        entry["reason"] = reason
    return entry


def _reason(statistic: Statistic, found: Found) -> str:
    """Why a number of the entry is missing; empty where none is, but for what one seed cannot have."""
    if not statistic.rows:
        return "in no prompt do all runs have it"
    if math.isnan(found.difference.value):
        return "undefined in one of the runs"
    if math.isnan(found.difference.low):
        return "fewer than two groups of rows, or undefined in too many resamples"
    if math.isnan(found.relative.value):
        return "no relative change: the base has 0"
    if math.isnan(found.relative.low):
        return "the base is 0 in too many resamples"
    return ""


def adjust(measures: dict[str, dict[str, Any]], primary: str, among: Sequence[str]) -> None:
    """Give the measures of `among`, the primary one included, Holm's p; what that no longer shows is not shown.

    With one seed in each arm what is shown is shown of these weights only, and the word says so.
    """
    for name, p in zip(among, holm([measures[name]["p"]["of_both"] for name in among]), strict=True):
        entry = measures[name]
        entry["p"]["holm"] = p
        if entry["word"] in SHOWN and not p < LEVEL:
            entry["word"] = "not shown (Holm)"
        elif entry["word"] in SHOWN and entry["of_weights"]:
            entry["word"] += FOR_WEIGHTS
    for name in measures:
        measures[name]["role"] = "primary" if name == primary else "secondary" if name in among else "shown"


def class_verdict(measures: dict[str, dict[str, Any]], rules: Rules) -> dict[str, Any]:
    """Words for runs that classify: what the primary measure shows, and how many rows it would take otherwise."""
    adjust(measures, rules.primary, list(measures))
    entry = measures[rules.primary]
    line = f"{rules.primary}: {words(entry)}"
    return {"primary": rules.primary, "word": entry["word"], "line": line}


def words(entry: dict[str, Any]) -> str:
    """What may be said of a difference."""
    word = entry["word"]
    if word == "undefined":
        return f"undefined ({entry.get('reason', 'no interval')})"
    if not word.startswith("not shown"):
        return f"shown {word}"
    why = "not after Holm's adjustment for several measures" if "Holm" in word else "the interval holds zero"
    needed = entry["rows_needed"]
    if math.isinf(needed):
        more = "more seeds would be needed" if entry["standard_error"]["seeds"] > 0 else "there is no difference"
    else:
        more = f"a difference of this size would take about {round_up(needed):,} rows, there are {entry['rows']:,}"
    return f"not shown ({why}); {more}"


def round_up(rows: float) -> int:
    """Two digits are enough for a number of rows that is an estimate of an estimate."""
    if rows <= 1:
        return 1
    step = 10 ** max(0, math.floor(math.log10(rows)) - 1)
    return int(math.ceil(rows / step) * step)


def reply_verdict(
    measures: dict[str, dict[str, Any]],
    quality: dict[str, tuple[bool, float]],
    rises: dict[str, bool | None],
    rules: Rules,
) -> dict[str, Any]:
    """The verdict on diversity: the band of the lower end of the relative gain, and whether it counts.

    It counts only if quality is not worse, the gain is shown, and it is above the standard deviation of the base's
    seeds where there are several; a secondary measure's p must hold Holm's adjustment too.

    Args:
        measures: from `compared`; each gets its `gain`, `band` and `counts`.
        quality: measure of quality -> whether more is better, and its margin.
        rises: of every other measure: whether more is more diverse; None for one that is not of diversity.
        rules: as declared.
    """
    judged = {}
    for name, (up, margin) in quality.items():
        entry = measures[name]
        difference = Interval(**entry["difference"])
        entry |= {"margin": margin, "not_worse": not_worse(difference, up, margin)}
        entry["word"] = "not worse" if entry["not_worse"] else "worse" if entry["word"] == "worse" else "may be worse"
        judged[name] = entry["not_worse"]
    diverse = [name for name, up in rises.items() if up is not None]
    for name in diverse:
        entry = measures[name]
        gain = oriented(Interval(**entry["relative"]), entry["rises"])
        entry["gain"] = gain._asdict()
        entry["word"] = {"better": "more diverse", "worse": "less diverse"}.get(side(gain, True), side(gain, True))
        deviation = entry["seed_deviation"]
        entry["relative_seed_deviation"] = deviation / entry["base"] if entry["base"] > 0 else math.nan
    adjust(measures, rules.primary, diverse)
    for name in quality:
        measures[name]["role"] = "quality"
    for name in diverse:
        entry = measures[name]
        shown = entry["word"].startswith("more diverse")
        entry["band"] = band_of(entry["gain"]["low"], rules.bands) if shown else None
        noise = entry["relative_seed_deviation"]
        entry["above_seeds"] = None if math.isnan(noise) else bool(entry["gain"]["value"] > noise)
        entry["counts"] = bool(shown and all(judged.values()) and entry["above_seeds"] is not False)
    entry = measures[rules.primary]
    verdict = {"primary": rules.primary, "not_worse": judged, "band": entry["band"], "counts": entry["counts"]}
    return verdict | {"line": _diversity_line(rules.primary, entry, measures, judged)}


def _diversity_line(name: str, entry: dict[str, Any], measures: dict[str, Any], judged: dict[str, bool]) -> str:
    gain = entry["gain"]
    if entry["word"] == "undefined":
        return f"{name}: no verdict ({entry.get('reason', 'no interval')})"
    spread = f"{gain['value']:+.1%} ({gain['low']:+.1%} to {gain['high']:+.1%})"
    if not entry["word"].startswith("more diverse"):
        return f"{name}: the gain of diversity is {spread}: {words(entry)}"
    line = f"{name}: the gain of diversity is {spread}: {entry['band']}{FOR_WEIGHTS if entry['of_weights'] else ''}"
    failed = [each for each, held in judged.items() if not held]
    against = [f"{each} is not shown to be not worse, {_reach(measures[each])}" for each in failed]
    if entry["above_seeds"] is False:
        noise = entry["relative_seed_deviation"]
        against.append(f"the base's own seeds have a standard deviation of {noise:.1%}")
    if against:
        return f"{line}, but it does not count: {'; '.join(against)}"
    return f"{line}, and quality is not worse"


def _reach(entry: dict[str, Any]) -> str:
    difference, margin = entry["difference"], entry["margin"]
    reached = difference["low"] if entry["rises"] else difference["high"]
    return f"the interval reaches {reached:+.4f} and the margin is {-margin if entry['rises'] else margin:+.4f}"
