"""The calibration of all heads of a model, from its predictions alone."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.evaluation.calibration import decision, scaling, skill
from arena.evaluation.calibration.comparison import Compared, compare
from arena.evaluation.calibration.fitting import FOLDS, Fitted, fit
from arena.evaluation.calibration.options import CalibrationOptions
from arena.evaluation.calibration.rows import Array, HeadRows, SplitRows, group_folds
from arena.evaluation.calibration.store import Calibration, HeadCalibration
from arena.evaluation.predictions import prior_of


@dataclass(frozen=True)
class Outcome:
    """A finished calibration.

    Attributes:
        calibration: for `arena.predict`.
        facts: of each head: rows it was fitted to, skill, log loss before and after on these rows.
        judged_on: the rows behind `compared`.
        compared: see `comparison.compare`.
        sides: of each head, for the diagram.
        lines: what is worth saying.
    """

    calibration: Calibration
    facts: dict[str, dict[str, Any]]
    judged_on: dict[str, Any]
    compared: dict[str, dict[str, dict[str, Any]]]
    sides: dict[str, Compared]
    lines: list[str]


def calibrate_heads(
    heads: Heads, val: SplitRows, test: SplitRows | None, counts: Array, sha256: str, options: CalibrationOptions
) -> Outcome:
    """Check, fit on validation, compare on test.

    Args:
        heads: of the model.
        val: its validation rows.
        test: its test rows; None: compared on the validation rows, cross-fitted.
        counts: training rows of each class, `[C]`.
        sha256: of its weights.
        options: of the command line.

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
        sides = {name: cross_compared(val.heads[name], each, options) for name, each in fitted.items()}
    else:
        if empty := [name for name in fitted if not len(test.heads[name].target)]:
            raise DataError(f"head {empty[0]}: no test row has a label of it; leave it out with heads=")
        sides = {name: compared_on(test.heads[name], each) for name, each in fitted.items()}
    rows = val if test is None else test
    known = {name: HeadCalibration(**asdict(each.scaling), decision=each.decision) for name, each in fitted.items()}
    return Outcome(
        calibration=Calibration(heads, known, sha256),
        facts={name: each.facts | {"skill": skills[name]} for name, each in fitted.items()},
        judged_on={
            "split": "val, cross-fitted" if test is None else "test",
            "rows": len(rows.ids),
            "groups": len(np.unique(rows.group)),
        },
        compared=compare(sides, rows.group, options.bins, options.resamples, options.seed),
        sides=sides,
        lines=[line for each in fitted.values() for line in each.lines],
    )


def compared_on(rows: HeadRows, fitted: Fitted) -> Compared:
    """Other rows than the calibration was fitted to, before and after."""
    calibrated = fitted.scaling.of_logits(rows.logits)
    return Compared(rows, calibrated, decision.decide(calibrated, fitted.decision or [0.0] * calibrated.shape[1]))


def cross_compared(rows: HeadRows, fitted: Fitted, options: CalibrationOptions) -> Compared:
    """The rows of the fit, before and after: each calibrated by numbers that were fitted without it and its group."""
    calibrated = rows.probabilities.copy()
    called = calibrated.argmax(axis=1)
    for inside, out in group_folds(rows.group, FOLDS, options.seed):
        if not inside.any():
            continue
        some = rows.take(inside)
        found = scaling.fit(fitted.scaling.method, some.logits, some.target)
        bias = np.zeros(calibrated.shape[1])
        if fitted.decision is not None:
            bias = decision.tune(options.decision, found.of_logits(some.logits), some.target)
        calibrated[out] = found.of_logits(rows.logits[out])
        called[out] = decision.decide(calibrated[out], bias)
    return Compared(rows, calibrated, called)
