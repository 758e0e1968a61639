"""Choose, fit and check the calibration of one head on its validation rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.core.errors import DataError
from arena.evaluation.calibration import decision, scaling
from arena.evaluation.calibration.rows import Array, HeadRows, Integers, group_folds
from arena.evaluation.calibration.scaling import Scaling
from arena.stats.classification import macro_f1, macro_f1_of
from arena.stats.intervals import draws, paired_difference, percentiles
from arena.stats.scores import log_loss

FOLDS = 5
"""Parts of the validation rows; what is fitted on the others is tried on each."""
LEAST_OF_A_CLASS = 200
"""Rows of the rarest class from which vector scaling, with its 2K numbers, is thought of."""
TEMPERATURES = (0.05, 20.0)
"""Outside, no model that learned something is found."""
NOTHING_TO_DO = 0.02
"""A temperature this close to 1 says that there was nothing to calibrate."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Fitted:
    """A calibrated head.

    Attributes:
        scaling: of its logits.
        decision: bias of its decision rule, `[K]`, or None.
        facts: what was found on the way, for `calibration.json`.
        lines: the same in words.
    """

    scaling: Scaling
    decision: list[float] | None
    facts: dict[str, Any]
    lines: list[str]


def cross_fitted(method: str, rows: HeadRows, seed: int) -> Array:
    """Calibrated probabilities `[N, K]` of each row by a scaling that was fitted without it and its group."""
    found = rows.probabilities.copy()
    z = rows.logits
    for fit, out in group_folds(rows.group, FOLDS, seed):
        if fit.any():
            found[out] = scaling.fit(method, z[fit], rows.target[fit]).of_logits(z[out])
    return found


def choose(method: str, rows: HeadRows, seed: int) -> tuple[str, str]:
    """The method that `auto` stands for, and why: vector scaling where every class has `LEAST_OF_A_CLASS` rows and its
    log loss, cross-fitted, is shown to be below that of temperature scaling (95% interval over groups); otherwise
    temperature scaling."""
    if method != "auto":
        return method, ""
    rarest = int(np.bincount(rows.target, minlength=rows.probabilities.shape[1]).min())
    if rarest < LEAST_OF_A_CLASS:
        return "temperature", f"temperature, since the rarest class has {rarest} rows, fewer than {LEAST_OF_A_CLASS}"
    vector, temperature = (log_loss(cross_fitted(each, rows, seed), rows.target) for each in ("vector", "temperature"))
    gain = paired_difference(vector, temperature, rows.group, RESAMPLES, seed)
    chosen = "vector" if gain.high < 0 else "temperature"
    spread = f"({gain.low:+.4f} to {gain.high:+.4f})"
    return chosen, f"{chosen}, since vector changes the cross-fitted log loss by {gain.value:+.4f} nats {spread}"


def fit(head: str, rows: HeadRows, method: str, rule: str, seed: int) -> Fitted:
    """Fit scaling and decision rule.

    Args:
        head: its name.
        rows: the validation rows with a label of it.
        method: one of `scaling.METHODS`, or `auto`.
        rule: one of `decision.RULES`.
        seed: of the folds.

    Raises:
        DataError: a temperature at its bound, or vector or bias scaling with a class that has no rows.
    """
    where = f"head {head}: " if head else ""
    method, why = choose(method, rows, seed)
    lines = [f"{where}method auto is {why}"] if why else []
    counts = np.bincount(rows.target, minlength=rows.probabilities.shape[1])
    if method != "temperature" and not counts.all():
        raise DataError(f"{where}a class has no validation rows, which {method} scaling needs; use method=temperature")
    z = rows.logits
    found = scaling.fit(method, z, rows.target)
    calibrated = found.of_logits(z)
    before, after = (scaling.log_loss(each, rows.target) for each in (z, found.scaled(z)))
    if method == "temperature":
        check_temperature(where, found.temperature)
        if abs(found.temperature - 1) <= NOTHING_TO_DO:
            lines.append(f"{where}temperature {found.temperature:.4f}: already calibrated")
    facts: dict[str, Any] = {"rows": len(rows.target), "log_loss": {"before": before, "after": after}}
    bias = None
    if rule != "none":
        bias, facts["macro_f1"], line = fit_rule(rule, calibrated, rows, seed)
        lines.append(where + line)
    return Fitted(found, bias, facts, lines)


def check_temperature(where: str, temperature: float) -> None:
    """Insist that a temperature means something.

    Raises:
        DataError: it is at its bound.
    """
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
    """The bias of a decision rule, or None where it is no gain; its macro-F1, and both in words.

    The gain is that of rows which the rule had not seen: it is tuned on some groups and tried on the others. A rule
    that wins only on the rows it was tuned on is not kept.
    """
    classes = calibrated.shape[1]
    likeliest = calibrated.argmax(axis=1)
    called = likeliest.copy()
    for tuned, out in group_folds(rows.group, FOLDS, seed):
        if tuned.any():
            called[out] = decision.decide(calibrated[out], decision.tune(rule, calibrated[tuned], rows.target[tuned]))
    bias = decision.tune(rule, calibrated, rows.target)
    scores = {
        "likeliest": macro_f1(likeliest, rows.target, classes),
        "cross_validated": macro_f1(called, rows.target, classes),
        "tuned": macro_f1(decision.decide(calibrated, bias), rows.target, classes),
    }
    low, high = change(likeliest, called, rows, seed)
    scores |= {"low": low, "high": high}
    gain = scores["cross_validated"] - scores["likeliest"]
    line = (
        f"decision={rule}: macro_f1 {scores['likeliest']:.4f} of the likeliest class, {scores['cross_validated']:.4f} "
        f"cross-validated ({gain:+.4f}, {low:+.4f} to {high:+.4f}; {scores['tuned']:.4f} on the rows it is tuned on)"
    )
    if gain <= 0:
        return None, scores, f"{line}; no gain: the likeliest class is called"
    if classes == 2:
        line += f"; the second class is called from {threshold(bias):.4f}"
    return bias.tolist(), scores, line


def threshold(bias: Array) -> float:
    """The probability of the second of two classes above which it is called."""
    return float(1 / (1 + np.exp(bias[1] - bias[0])))


def change(before: Integers, after: Integers, rows: HeadRows, seed: int, resamples: int = 500) -> tuple[float, float]:
    """Compute the 95% interval of the change of macro-F1 over resampled groups; NaN for a single group."""
    classes = rows.probabilities.shape[1]
    member, drawn = draws(rows.group, resamples, seed)
    cell, groups = (member * classes + rows.target) * classes, drawn.shape[1]
    shape = (groups, classes, classes)
    counts = (np.bincount(cell + called, minlength=groups * classes**2).reshape(shape) for called in (before, after))
    scores = [macro_f1_of(np.tensordot(drawn, each, 1)) for each in counts]
    return percentiles(scores[1] - scores[0], groups)
