"""The calibration of all heads of a model, from its predictions alone."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.evaluation.calibration import decision, scaling, skill
from arena.evaluation.calibration.comparison import Sides, compare
from arena.evaluation.calibration.fitting import FOLDS, fit
from arena.evaluation.calibration.options import CalibrationOptions
from arena.evaluation.calibration.rows import Array, HeadRows, SplitRows, group_folds
from arena.evaluation.calibration.store import Calibration, HeadCalibration
from arena.evaluation.predictions import prior_of


@dataclass(frozen=True)
class Calibrated:
    """A finished calibration: for `arena.predict`, details of each head, the rows that it was measured on, its
    comparison, the sides of each head for the diagram, and lines to be printed."""

    calibration: Calibration
    details: dict[str, dict[str, Any]]
    measured_on: dict[str, Any]
    compared: dict[str, dict[str, dict[str, Any]]]
    sides: dict[str, Sides]
    lines: list[str]


def calibrate_heads(
    heads: Heads, val: SplitRows, test: SplitRows | None, counts: Array, sha256: str, options: CalibrationOptions
) -> Calibrated:
    """Check the model, fit on validation, compare on test, or without it on the validation rows, cross-fitted.

    `counts` are the training rows of each class, `[C]`.

    Raises:
        UsageError: a head that does not exist.
        DataError: a model that is not worth calibrating, or a calibration that means nothing.
    """
    chosen = heads.names if options.heads is None else list(options.heads)
    if unknown := [name for name in chosen if name not in heads.classes]:
        raise UsageError(f"heads: there is no head {unknown[0]!r}; the run has {', '.join(filter(None, heads.names))}")
    priors = heads.split(prior_of(heads, counts, 1)[0].astype(np.float64))
    skills = skill.check(val.heads, priors, options.method, options.seed, options.heads)
    fitted = {
        name: fit(name, val.heads[name], options.method, options.decision, options.seed)
        for name in heads.names
        if name in chosen
    }
    if test is None:
        sides = {name: _cross_fitted(val.heads[name], each.calibration, options) for name, each in fitted.items()}
    else:
        if empty := [name for name in fitted if not len(test.heads[name].target)]:
            raise DataError(f"head {empty[0]}: no test row has a label of it; leave it out with heads=")
        sides = {name: _sides(test.heads[name], each.calibration) for name, each in fitted.items()}
    rows = val if test is None else test
    return Calibrated(
        calibration=Calibration(heads, {name: each.calibration for name, each in fitted.items()}, sha256),
        details={name: each.details | {"skill": skills[name]} for name, each in fitted.items()},
        measured_on={
            "split": "val, cross-fitted" if test is None else "test",
            "rows": len(rows.ids),
            "groups": len(np.unique(rows.group)),
        },
        compared=compare(sides, rows.group, options.bins, options.resamples, options.seed),
        sides=sides,
        lines=[line for each in fitted.values() for line in each.lines],
    )


def _sides(rows: HeadRows, found: HeadCalibration) -> Sides:
    """Rows before and after."""
    calibrated = found.probabilities(rows.logits)
    return Sides(rows, calibrated, decision.decide(calibrated, found.decision or [0.0] * calibrated.shape[1]))


def _cross_fitted(rows: HeadRows, found: HeadCalibration, options: CalibrationOptions) -> Sides:
    """The rows of the fit, before and after: each calibrated by numbers that were fitted without it and its group."""
    calibrated = rows.probabilities.copy()
    called = calibrated.argmax(axis=1)
    for inside, out in group_folds(rows.group, FOLDS, options.seed):
        if inside.any():
            some = rows.take(inside)
            own = scaling.fit(found.method, some.logits, some.target)
            if found.decision is not None:
                bias = decision.tune(options.decision, own.probabilities(some.logits), some.target)
                own = replace(own, decision=bias.tolist())
            other = _sides(rows.take(out), own)
            calibrated[out], called[out] = other.calibrated, other.called
    return Sides(rows, calibrated, called)
