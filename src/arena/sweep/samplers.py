"""Samplers and pruners by name, with Optuna's own defaults, and a seed that survives a restart."""

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from arena.core import schema
from arena.core.construct import instantiate
from arena.core.errors import UsageError

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "grid": "RandomSampler",  # every combination is enqueued in turn: nothing is left to sample
}
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "none": "NopPruner",
}


def check_sampler(choice: dict[str, Any], objectives: int) -> None:
    """Refuse an unknown sampler, an option that it does not have, or one that cannot do several objectives.

    Raises:
        UsageError: any of these, or a package that is not installed.
    """
    name = choice.get("name")
    _check("sampler", choice, SAMPLERS)
    if objectives > 1 and name == "cmaes":
        raise UsageError(
            f"hydra.sweeper.sampler.name={name}: it optimises one value, not {objectives}; nsgaii and tpe do several"
        )
    if name == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise UsageError("hydra.sweeper.sampler.name=cmaes needs a package: pip install cmaes") from None
    _build("sampler", functools.partial(sampler, choice))


def check_pruner(choice: dict[str, Any], objectives: int) -> None:
    """Refuse an unknown pruner, an option that it does not have, or pruning with several objectives.

    Raises:
        UsageError: any of these.
    """
    _check("pruner", choice, PRUNERS)
    if objectives > 1 and choice["name"] != "none":
        raise UsageError(
            f"hydra.sweeper.pruner.name={choice['name']}: trials with {objectives} objectives cannot be pruned; "
            "give none"
        )
    _build("pruner", functools.partial(instantiate, target(choice)))


def sampler(choice: dict[str, Any]) -> Any:
    """The sampler of a study; `choice` is `{name: tpe, seed: 0, ...}`, as `sweep.json` holds it.

    Its generator is seeded anew for every trial from the seed and the trial's number. So the next suggestion depends on
    the seed and the history alone: a controller that was stopped goes on where it stood instead of repeating its first
    random trials, and two controllers of one study do not suggest the same.
    """
    from optuna import samplers

    kind: Any = getattr(samplers, SAMPLERS[choice["name"]])
    seed = choice.get("seed")
    # A sampler's words about its own workings (a parameter that it cannot model jointly) help nobody in a sweep.
    wordy = {"warn_independent_sampling", "warn_asynchronous_seeding"} & inspect.signature(kind).parameters.keys()
    options = dict.fromkeys(wordy, False) | _options(choice)

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


def target(choice: dict[str, Any]) -> dict[str, Any]:
    """The pruner as a trial's process is told of it: its class by `_target_`, and its options."""
    return {"_target_": f"optuna.pruners.{PRUNERS[choice['name']]}", **_options(choice)}


def _options(choice: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key not in ("name", "seed")}


def _check(what: str, choice: dict[str, Any], known: dict[str, str]) -> None:
    """Refuse an unknown name, and options that its class does not have."""
    import optuna

    name = choice.get("name")
    if name not in known:
        raise UsageError(f"hydra.sweeper.{what}.name={name}: there is no such {what}{schema.closest(str(name), known)}")
    arguments = inspect.signature(getattr(getattr(optuna, f"{what}s"), known[name])).parameters.keys() - {"seed"}
    for option in _options(choice).keys() - arguments:
        raise UsageError(f"hydra.sweeper.{what}.{option}: {name} has no such option{schema.closest(option, arguments)}")


def _build(what: str, build: Callable[[], Any]) -> None:
    """Let Optuna look at the options' values."""
    try:
        build()
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"hydra.sweeper.{what}: {str(error).strip().splitlines()[0]}") from None
