"""Choose, fit and check the calibration of one head on its validation rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arena.core.errors import DataError
from arena.evaluation.calibration import decision, scaling
from arena.evaluation.calibration.rows import Array, HeadRows, Integers, group_folds
from arena.evaluation.calibration.store import HeadCalibration
from arena.stats.classification import macro_f1, macro_f1_of
from arena.stats.intervals import draws, paired_difference, percentiles
from arena.stats.scores import log_loss

FOLDS = 5
"""Parts of the validation rows; what is fitted on the others is tried on each."""
MIN_CLASS_ROWS = 200
"""Rows of the rarest class from which vector scaling, with its 2K numbers, is tried."""
TEMPERATURES = (0.05, 20.0)
"""Outside, no model that learned something is found."""
NOTHING_TO_DO = 0.02
"""A temperature this close to 1 says that there was nothing to calibrate."""
RESAMPLES, RULE_RESAMPLES = 2000, 500


@dataclass(frozen=True)
class Fitted:
    """The calibration of a head, with what was found on the way for `calibration.json`, and in words."""

    calibration: HeadCalibration
    details: dict[str, Any]
    lines: list[str]


def cross_fitted(method: str, rows: HeadRows, seed: int) -> Array:
    """Calibrate each row, `[N, K]`, by a scaling that was fitted without it and its group."""
    found, z = rows.probabilities.copy(), rows.logits
    for fit, out in group_folds(rows.group, FOLDS, seed):
        if fit.any():
            found[out] = scaling.fit(method, z[fit], rows.target[fit]).probabilities(z[out])
    return found


def choose(method: str, rows: HeadRows, seed: int) -> tuple[str, str]:
    """Return the method that `auto` stands for, and why.

    Vector scaling where every class has `MIN_CLASS_ROWS` rows and its log loss, cross-fitted, is shown to be below
    that of temperature scaling (95% interval over groups); otherwise temperature scaling.
    """
    if method != "auto":
        return method, ""
    rarest = int(rows.counts.min())
    if rarest < MIN_CLASS_ROWS:
        return "temperature", f"temperature, since the rarest class has {rarest} rows, fewer than {MIN_CLASS_ROWS}"
    vector, temperature = (log_loss(cross_fitted(each, rows, seed), rows.target) for each in ("vector", "temperature"))
    gain = paired_difference(vector, temperature, rows.group, RESAMPLES, seed)
    chosen = "vector" if gain.high < 0 else "temperature"
    spread = f"({gain.low:+.4f} to {gain.high:+.4f})"
    return chosen, f"{chosen}, since vector changes the cross-fitted log loss by {gain.value:+.4f} nats {spread}"


def fit(head: str, rows: HeadRows, method: str, rule: str, seed: int) -> Fitted:
    """Fit scaling and decision rule of a head to its labelled validation rows.

    Raises:
        DataError: a temperature at its bound, or vector or bias scaling with a class that has no rows.
    """
    where = f"head {head}: " if head else ""
    method, why = choose(method, rows, seed)
    lines = [f"{where}method auto is {why}"] if why else []
    if method != "temperature" and not rows.counts.all():
        raise DataError(f"{where}a class has no validation rows, which {method} scaling needs; use method=temperature")
    z = rows.logits
    found = scaling.fit(method, z, rows.target)
    before, after = (scaling.log_loss(each, rows.target) for each in (z, found.logarithms(z)))
    if method == "temperature":
        check_temperature(where, found.temperature)
        if abs(found.temperature - 1) <= NOTHING_TO_DO:
            lines.append(f"{where}temperature {found.temperature:.4f}: already calibrated")
    details: dict[str, Any] = {"rows": len(rows.target), "log_loss": {"before": before, "after": after}}
    if rule != "none":
        bias, details["macro_f1"], line = fit_rule(rule, found.probabilities(z), rows, seed)
        found = replace(found, decision=bias)
        lines.append(where + line)
    return Fitted(found, details, lines)


def check_temperature(where: str, temperature: float) -> None:
    """Raise a `DataError` where a temperature is at its bound and means nothing."""
    low, high = TEMPERATURES
    at_bound = abs(np.log(temperature)) > scaling.LOGARITHMS[1] - 1e-3
    if at_bound or not low <= temperature <= high:
        what = "the model's probabilities say nothing" if temperature > 1 else "the model is right far beyond its word"
        raise DataError(
            f"{where}temperature {temperature:.4f} is at the bound of [{low}, {high}]: {what}; there is nothing to "
            "calibrate"
        )


def fit_rule(
    rule: str, calibrated: Array, rows: HeadRows, seed: int
) -> tuple[list[float] | None, dict[str, float], str]:
    """Tune a decision rule; returns its bias, or None where it is no gain, its macro-F1, and both in words.

    The gain is that of rows which the rule had not seen: it is tuned on some groups and tried on the others. A rule
    that wins only on the rows it was tuned on is not kept.
    """
    classes, likeliest = calibrated.shape[1], calibrated.argmax(axis=1)
    called = likeliest.copy()
    for tuned, out in group_folds(rows.group, FOLDS, seed):
        if tuned.any():
            called[out] = decision.decide(calibrated[out], decision.tune(rule, calibrated[tuned], rows.target[tuned]))
    bias = decision.tune(rule, calibrated, rows.target)
    called_by = {"likeliest": likeliest, "cross_validated": called, "tuned": decision.decide(calibrated, bias)}
    scores = {name: macro_f1(each, rows.target, classes) for name, each in called_by.items()}
    low, high = _change(likeliest, called, rows, seed)
    scores |= {"low": low, "high": high}
    gain = scores["cross_validated"] - scores["likeliest"]
    line = (
        f"decision={rule}: macro_f1 {scores['likeliest']:.4f} of the likeliest class, {scores['cross_validated']:.4f} "
        f"cross-validated ({gain:+.4f}, {low:+.4f} to {high:+.4f}; {scores['tuned']:.4f} on the rows it is tuned on)"
    )
    if gain <= 0:
        return None, scores, f"{line}; no gain: the likeliest class is called"
    if classes == 2:
        line += f"; the second class is called from {1 / (1 + np.exp(bias[1] - bias[0])):.4f}"
    return bias.tolist(), scores, line


def _change(before: Integers, after: Integers, rows: HeadRows, seed: int) -> tuple[float, float]:
    """The 95% interval of the change of macro-F1 over resampled groups; NaN for a single group."""
    classes = rows.probabilities.shape[1]
    member, drawn = draws(rows.group, RULE_RESAMPLES, seed)
    cell, groups = (member * classes + rows.target) * classes, drawn.shape[1]
    shape = (groups, classes, classes)
    counts = (np.bincount(cell + called, minlength=groups * classes**2).reshape(shape) for called in (before, after))
    scores = [macro_f1_of(np.tensordot(drawn, each, 1)) for each in counts]
    return percentiles(scores[1] - scores[0], groups)
