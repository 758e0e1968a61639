"""Which losses a head can have, and which options each takes."""

import inspect
from collections.abc import Mapping
from typing import Any

from arena.core import schema
from arena.core.errors import UsageError
from arena.core.heads import Heads
from arena.loss.adjustment import LogitAdjustment
from arena.loss.base import Loss
from arena.loss.classification import CrossEntropy, Focal, GeneralizedCrossEntropy
from arena.loss.margin import Ldam
from arena.loss.reshaped import Asymmetric, Dice, Poly
from arena.loss.two_stage import TwoStage

KINDS: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "generalized_cross_entropy": GeneralizedCrossEntropy,
    "logit_adjustment": LogitAdjustment,
    "ldam": Ldam,
    "dice": Dice,
    "asymmetric": Asymmetric,
    "poly": Poly,
    "two_stage": TwoStage,
}
OPTIONS = {name: list(inspect.signature(kind.__init__).parameters)[2:] for name, kind in KINDS.items()}
"""What each kind takes besides `self` and `labels`."""
EVERY_OPTION = sorted({option for options in OPTIONS.values() for option in options})


def head_losses(
    heads: Heads, kind: str, options: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> list[Loss]:
    """The loss of each head, in the order of the heads.

    Args:
        heads: names and classes.
        kind: of every head that does not choose another one.
        options: of all heads whose kind has them; None stands for the kind's own default.
        own: the same keys, and `kind`, for single heads by name; they win.

    Raises:
        UsageError: a head, a key or a value that does not exist, or an option that a kind does not have.
    """
    check_names("loss.heads", own, heads)
    kinds = {name: (own.get(name) or {}).get("kind") or kind for name in heads.names}
    for name, chosen in kinds.items():
        if chosen not in KINDS:
            where = f"loss.heads.{name}.kind" if name in own else "loss.kind"
            raise UsageError(f"{where}={chosen}: no such loss for a head{schema.closest(str(chosen), KINDS)}")
    common = {option: value for option, value in options.items() if value is not None}
    for option in common:
        if not any(option in OPTIONS[chosen] for chosen in kinds.values()):
            raise UsageError(_not_an_option(f"loss.{option}", option, kind))
    built = []
    for name, chosen in kinds.items():
        taken = {option: value for option, value in common.items() if option in OPTIONS[chosen]}
        for option, value in (own.get(name) or {}).items():
            if option == "kind" or value is None:
                continue
            if option not in OPTIONS[chosen]:
                raise UsageError(_not_an_option(f"loss.heads.{name}.{option}", option, chosen))
            taken[option] = value
        built.append(_build(chosen, heads.classes[name], taken, f"loss.heads.{name}" if name in own else "loss"))
    return built


def check_names(key: str, given: Mapping[str, Any], heads: Heads) -> None:
    """Insist that all keys of a mapping are heads.

    Raises:
        UsageError: one is none; `key` is the configuration key to blame.
    """
    for name in given:
        if name not in heads.names:
            raise UsageError(f"{key}.{name}: no such head{schema.closest(name, heads.names)}")


def _not_an_option(key: str, option: str, kind: str) -> str:
    having = [name for name, options in OPTIONS.items() if option in options]
    if not having:
        return f"{key}: no loss has such an option{schema.closest(option, [*EVERY_OPTION, 'kind'])}"
    instead = {("focal", "class_weight"): "; the class factors of focal are alpha"}
    instead |= {(name, "alpha"): "; its class factors are class_weight" for name in KINDS if name != "focal"}
    hint = instead.get((kind, option), "") if option != "alpha" or "class_weight" in OPTIONS[kind] else ""
    return f"{key}: {kind} has no such option ({', '.join(having)} {'has' if len(having) == 1 else 'have'} it){hint}"


def _build(kind: str, labels: list[str], options: dict[str, Any], key: str) -> Loss:
    target = f"{KINDS[kind].__module__}.{KINDS[kind].__name__}"
    schema.check_arguments({"_target_": target, "labels": labels} | options, key)
    return KINDS[kind](labels, **options)
