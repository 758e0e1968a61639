"""What a calibration changes, measured on rows that it was not fitted to.

Shape legend: N rows, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core import tables
from arena.evaluation.calibration.rows import Array, HeadRows, Integers
from arena.stats import calibration as errors
from arena.stats.calibration import ErrorInterval, Gaps, equal_mass, equal_width
from arena.stats.classification import absent, confusion_matrix, macro_f1
from arena.stats.intervals import draws, percentiles
from arena.stats.scores import brier_score, log_loss

CALIBRATION_ERRORS = ("calibration_error", "calibration_error_equal_mass", "calibration_error_classwise")
MEASURES = ("log_loss", "brier_score", *CALIBRATION_ERRORS, "accuracy", "macro_f1")
SIDES = ("before", "after", "change")
MEAN = "mean"
Comparison = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Sides:
    """One head, before and after: labelled rows as the model gives them, calibrated probabilities `[N, K]`, and the
    class that each row is called with the decision rule `[N]`."""

    rows: HeadRows
    calibrated: Array
    called: Integers


def measure(probabilities: Array, predicted: Integers, target: Integers, bins: int) -> Array:
    """Compute the values of `MEASURES` from probabilities `[N, K]`, called classes and targets `[N]`; NaN if N = 0."""
    if not len(target):
        return np.full(len(MEASURES), np.nan)
    confidence, right = errors.top(probabilities, target)
    return np.array(
        [
            log_loss(probabilities, target).mean(),
            brier_score(probabilities, target).mean(),
            errors.calibration_error(confidence, right, equal_width(confidence, bins)),
            errors.calibration_error(confidence, right, equal_mass(confidence, bins)),
            errors.classwise_error(probabilities, target, bins),
            (predicted == target).mean(),
            macro_f1(predicted, target, probabilities.shape[1]),
        ]
    )


def compare(
    heads: Mapping[str, Sides], group: Integers, bins: int, resamples: int, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute every measure before and after, and the change, each with a 95% interval over resampled groups.

    Calibration errors have the interval of `arena.stats.calibration`, with the `debiased` error beside it. Their change
    has none: resampling adds noise to the bins, which raises the small error of the two more than the large one. The
    draws are the same for all heads and both sides. Accuracy and macro-F1 after are those of the decision rule.

    Returns head (and `mean` over the heads with rows, where there are several) -> measure -> before, after, change ->
    value, low, high; of calibration errors before and after also debiased.
    """
    values = _values(heads, None, bins)
    member, counts = draws(group, resamples, seed)
    several_groups = counts.shape[1] > 1
    drawn = np.array([_values(heads, each[member], bins) for each in counts]) if several_groups else np.empty(0)
    groups_of = {name: len(np.unique(member[each.rows.place])) for name, each in heads.items()}
    groups_of[MEAN] = min((each for each in groups_of.values() if each), default=0)
    intervals = _errors(heads, member, counts, bins, groups_of) if resamples else {}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    names: list[str] = [*heads, *([MEAN] if len(heads) > 1 else [])]
    for i, name in enumerate(names):
        found[name] = {what: {} for what in MEASURES}
        for k, what in enumerate(MEASURES):
            for j, side in enumerate(SIDES):
                ends: dict[str, float] = {"low": np.nan, "high": np.nan}
                if (name, side, what) in intervals:
                    ends = intervals[name, side, what]._asdict()
                elif len(drawn) and what not in CALIBRATION_ERRORS:
                    ends = dict(zip(("low", "high"), percentiles(drawn[:, i, j, k], groups_of[name]), strict=True))
                found[name][what][side] = {"value": float(values[i, j, k])} | ends
    return found


def _errors(
    heads: Mapping[str, Sides], member: Integers, drawn: Integers, bins: int, groups_of: Mapping[str, int]
) -> dict[tuple[str, str, str], ErrorInterval]:
    """The interval of every calibration error by head, side and name."""
    found: dict[tuple[str, str, str], Gaps] = {}
    for name, each in heads.items():
        target, group = each.rows.target, member[each.rows.place]
        for side, probabilities in zip(SIDES, (each.rows.probabilities, each.calibrated), strict=False):
            if len(target):
                confidence, right = errors.top(probabilities, target)
                gaps = [
                    Gaps.of(confidence, right, f(confidence, bins), group, drawn) for f in (equal_width, equal_mass)
                ]
                gaps.append(errors.classwise_gaps(probabilities, target, bins, group, drawn))
                found |= {(name, side, what): one for what, one in zip(CALIBRATION_ERRORS, gaps, strict=True)}
    if len(heads) > 1 and found:
        for side in SIDES[:2]:
            for what in CALIBRATION_ERRORS:
                parts = [found[name, side, what] for name in heads if (name, side, what) in found]
                found[MEAN, side, what] = Gaps.mean(parts, np.ones(len(parts)))
    return {key: errors.error_interval(each, groups_of[key[0]]) for key, each in found.items()}


def _values(heads: Mapping[str, Sides], times: Integers | None, bins: int) -> Array:
    """The measures of all heads, and of their mean where there are several, `[T (+ 1), 3, measures]`.

    `times`: how often each row of the split is drawn, `[M]`; None for the split itself.
    """
    found = []
    for each in heads.values():
        rows, target = each.rows, each.rows.target
        likeliest = rows.probabilities.argmax(axis=1)
        chosen = slice(None) if times is None else np.repeat(np.arange(len(target)), times[rows.place])
        before = measure(rows.probabilities[chosen], likeliest[chosen], target[chosen], bins)
        after = measure(each.calibrated[chosen], each.called[chosen], target[chosen], bins)
        found.append([before, after, after - before])
    stacked = np.array(found)
    if len(stacked) == 1:
        return stacked
    labelled = [t for t, each in enumerate(heads.values()) if len(each.rows.target)] or list(range(len(stacked)))
    return np.concatenate([stacked, stacked[labelled].mean(axis=0, keepdims=True)])


def absent_classes(heads: Mapping[str, Sides], classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the classes (of several heads `head/class`) without rows that are not called, before or after."""
    found = []
    for head, sides in heads.items():
        labels, target = classes[head], sides.rows.target
        for called in (sides.rows.probabilities.argmax(axis=1), sides.called):
            missing = absent(confusion_matrix(target, called, len(labels)))
            found += [f"{head}/{labels[k]}" if head else labels[k] for k in missing]
    return list(dict.fromkeys(found))


def lines_of(compared: Comparison) -> list[list[str]]:
    """The comparison as a table of texts under a header: one line for each head and measure."""
    lines = [["head", "measure", "before", "95% interval", "after", "95% interval", "change", "95% interval"]]
    for head, values in compared.items():
        for name, sides in values.items():
            cells = []
            for side, sign in zip(SIDES, ("", "", "+"), strict=True):
                value, low, high = (f"{sides[side][end]:{sign}.4f}" for end in ("value", "low", "high"))
                cells += [value, f"{low} to {high}" if np.isfinite(sides[side]["low"]) else "-"]
            lines.append([head, name, *cells])
    return lines if any(compared) else [line[1:] for line in lines]


def tsv_of(compared: Comparison) -> str:
    """The comparison as tab-separated values, all digits."""
    lines = [["head", "measure", *(f"{side}{end}" for side in SIDES for end in ("", "_low", "_high"))]]
    for head, values in compared.items():
        for name, sides in values.items():
            cells = [sides[side][end] for side in SIDES for end in ("value", "low", "high")]
            lines.append([head, name, *(repr(cell) if np.isfinite(cell) else "" for cell in cells)])
    return tables.text_of(lines, "\t")
