"""Samplers and pruners by name, with Optuna's own defaults, and a seed that survives a restart."""

import hashlib
import importlib.util
import inspect
import warnings
from typing import Any, Literal

from arena.core.closest import closest
from arena.core.construct import instantiate
from arena.core.errors import UsageError, first_line
from arena.sweep.settings import PRUNERS, SAMPLERS


def check(what: Literal["sampler", "pruner"], choice: dict[str, Any], objectives: int) -> None:
    """Refuse an unknown sampler or pruner, an option that it does not have, or one that cannot do several objectives.

    Raises:
        UsageError: any of these, or a package that is not installed.
    """
    import optuna

    known, build = (SAMPLERS, sampler) if what == "sampler" else (PRUNERS, pruner)
    key, name = f"hydra.sweeper.{what}", choice.get("name")
    if name not in known:
        raise UsageError(f"{key}.name={name}: there is no such {what}{closest(str(name), known)}")
    arguments = inspect.signature(getattr(getattr(optuna, f"{what}s"), known[name])).parameters.keys() - {"seed"}
    for option in _options(choice).keys() - arguments:
        raise UsageError(f"{key}.{option}: {name} has no such option{closest(option, arguments)}")
    if objectives > 1 and name == "cmaes":
        raise UsageError(f"{key}.name=cmaes: it optimises one value, not {objectives}; nsgaii and tpe do several")
    if objectives > 1 and what == "pruner" and name != "none":
        raise UsageError(f"{key}.name={name}: trials with {objectives} objectives cannot be pruned; give none")
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise UsageError(f"{key}.name=cmaes needs a package: pip install cmaes")
    try:
        build(choice)  # Optuna looks at the options' values
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{key}: {first_line(error)}") from None


def sampler(choice: dict[str, Any]) -> Any:
    """The sampler of `{name: tpe, seed: 0, ...}`, seeded anew for every trial from the seed and the trial's number.

    So the next suggestion depends on the seed and the history alone: a sweep that was stopped goes on where it stood,
    and two controllers of one study do not suggest the same.
    """
    from optuna import samplers

    kind: Any = getattr(samplers, SAMPLERS[choice["name"]])
    seed = choice.get("seed")
    # Warnings of a sampler about its own workings (a parameter that it cannot model jointly) help nobody in a sweep.
    warns = {"warn_independent_sampling", "warn_asynchronous_seeding"} & inspect.signature(kind).parameters.keys()
    options = dict.fromkeys(warns, False) | _options(choice)

    def before_trial(self: Any, study: Any, trial: Any) -> None:
        # The scrambling of a quasi-random sequence has to stay the same over the whole study.
        if seed is not None and choice["name"] != "qmc":
            with warnings.catch_warnings(action="ignore"):
                kind.__init__(self, seed=seed_of(seed, trial.number), **options)
        kind.before_trial(self, study, trial)

    with warnings.catch_warnings(action="ignore"):
        # Under its own name, by which Optuna's genetic samplers find their generations in the study.
        return type(kind.__name__, (kind,), {"before_trial": before_trial})(seed=seed, **options)


def seed_of(seed: int, number: int) -> int:
    """A 32-bit seed for one trial, unrelated to those of its neighbours."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


def pruner(choice: dict[str, Any]) -> Any:
    """The pruner of `{name: median, ...}`."""
    return instantiate(pruner_node(choice))


def pruner_node(choice: dict[str, Any]) -> dict[str, Any]:
    """The pruner as a trial's process makes it: its class by `_target_`, and its options."""
    return {"_target_": f"optuna.pruners.{PRUNERS[choice['name']]}", **_options(choice)}


def _options(choice: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key not in ("name", "seed")}
