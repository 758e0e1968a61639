"""What must be true of a model before its probabilities are worth calibrating."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from arena.core.errors import DataError
from arena.evaluation.calibration.fitting import cross_fitted
from arena.evaluation.calibration.rows import Array, HeadRows
from arena.stats.scores import log_loss

MIN_SKILL = 0.01
"""Share of the prior's log loss that a model has to save."""
ALL = 0.99
"""Share of the rows from which one class counts as the only one that is predicted."""
CONSTANT = 1e-3
"""Standard deviation over the rows below which a probability counts as constant."""


def check(
    rows: Mapping[str, HeadRows], prior: Mapping[str, Array], method: str, seed: int, chosen: Sequence[str] | None
) -> dict[str, float]:
    """Require that the model, and each chosen head, knows more than the class shares; returns the skills by head.

    `prior` are the class shares of each head in the training rows. A `DataError` for a head without rows, a collapsed
    or an unskilled model.
    """
    skills, reasons = {}, {}
    for name, each in rows.items():
        if not len(each.target):
            reasons[name] = "there is no validation row with a label"
            continue
        losses = losses_of(each, prior[name], method, seed)
        skills[name] = 1 - min(losses["model"], losses["scaled"]) / losses["prior"]
        if reason := collapse(each, skills[name]) or _unskilled(losses, skills[name], each, prior[name], method, seed):
            reasons[name] = reason
    mean = float(np.mean(list(skills.values()))) if skills else 0.0
    if reasons and (mean <= MIN_SKILL or len(reasons) == len(rows)):
        first = next(iter(reasons))
        raise DataError(f"{f'head {first}: ' if first else ''}{reasons[first]}; a model that knows nothing is refused")
    if refused := [name for name in chosen or rows if name in reasons]:
        others = [name for name in rows if name not in reasons]
        raise DataError(f"head {refused[0]}: {reasons[refused[0]]}; heads=[{','.join(others)}] calibrates without it")
    return skills


def losses_of(rows: HeadRows, prior: Array, method: str, seed: int) -> dict[str, float]:
    """Compute the validation log loss, in nats, of the model, of the model once it is scaled, and of the prior.

    Scaled is cross-fitted: a good model that is far too sure of itself, or was trained on balanced classes, can lose
    more than the prior until it is calibrated. One that knows nothing gains nothing on rows that the scaling has not
    seen. The prior is the shares of the training rows, or those of the validation rows (cross-fitted) where they lose
    less: against other shares than it meets, any guess has skill.
    """
    constant = replace(rows, probabilities=np.tile(prior, (len(rows.target), 1)), logs=None)
    values = {
        "model": rows.probabilities,
        "scaled": cross_fitted("temperature" if method == "auto" else method, rows, seed),
        "prior": constant.probabilities,
        "shares": cross_fitted("bias", constant, seed),
    }
    losses = {name: float(log_loss(each, rows.target).mean()) for name, each in values.items()}
    return losses | {"prior": min(losses["prior"], losses.pop("shares"))}


def collapse(rows: HeadRows, skill: float) -> str:
    """Say why the model counts as collapsed; empty where it does not.

    To call one class for every row is no collapse where most rows have it and the probabilities are skilled all the
    same: so a rare class looks before a decision rule is tuned.
    """
    if (rows.probabilities.std(axis=0) < CONSTANT).all():
        return "collapsed: the model gives every validation row the same probabilities"
    shares = rows.counts / len(rows.target)
    called = np.bincount(rows.probabilities.argmax(axis=1), minlength=len(shares)) / len(rows.target)
    only = int(called.argmax())
    if called[only] >= ALL and shares.max() < ALL and (skill <= MIN_SKILL or shares[only] <= 0.5):
        return (
            f"collapsed: the model predicts one class for {called[only]:.1%} of the validation rows, which "
            f"{shares[only]:.1%} of them have"
        )
    return ""


def _unskilled(losses: Mapping[str, float], skill: float, rows: HeadRows, prior: Array, method: str, seed: int) -> str:
    """Say why the model counts as one without skill; empty where it has some."""
    if skill > MIN_SKILL:
        return ""
    hint = ""
    if method in ("temperature", "auto") and rows.counts.all():
        other = 1 - losses_of(rows, prior, "bias", seed)["scaled"] / losses["prior"]
        if other > MIN_SKILL:
            hint = f" (with method=bias it is {other:.1%}: its classes were trained with other shares)"
    return (
        f"no skill: the validation log loss is {losses['model']:.4f}, {losses['scaled']:.4f} once scaled, and "
        f"{losses['prior']:.4f} for the shares of the classes; a skill of {skill:.1%}, more than "
        f"{MIN_SKILL:.0%} is needed{hint}"
    )
