"""Samplers and pruners by name, with Optuna's own defaults, and a seed that survives a restart."""

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from arena.core import schema
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
ONE_VALUE = ("cmaes",)
"""Samplers that know one objective only."""


def check_sampler(choice: dict[str, Any], objectives: int) -> None:
    """Refuse an unknown sampler, an option that it does not have, or one that cannot do several objectives.

    Raises:
        UsageError: any of these, or a package that is not installed.
    """
    name = _checked("sampler", choice, SAMPLERS)
    if objectives > 1 and name in ONE_VALUE:
        raise UsageError(
            f"hydra.sweeper.sampler.name={name}: it optimises one value, not {objectives}; nsgaii and tpe do several"
        )
    if name == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise UsageError("hydra.sweeper.sampler.name=cmaes needs a package: pip install cmaes") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _built("sampler", functools.partial(_sampler, choice, 0))


def check_pruner(choice: dict[str, Any], objectives: int) -> None:
    """Refuse an unknown pruner, an option that it does not have, or pruning with several objectives.

    Raises:
        UsageError: any of these.
    """
    name = _checked("pruner", choice, PRUNERS)
    if objectives > 1 and name != "none":
        raise UsageError(
            f"hydra.sweeper.pruner.name={name}: trials with {objectives} objectives cannot be pruned; give none"
        )
    _built("pruner", functools.partial(pruner, choice))


def sampler(choice: dict[str, Any]) -> Any:
    """The sampler of a study.

    Its generator is seeded anew for every trial from the seed and the trial's number. So the next suggestion depends on
    the seed and the history alone: a controller that was stopped goes on where it stood instead of repeating its first
    random trials, and two controllers of one study do not suggest the same.
    """
    from optuna.samplers import BaseSampler

    class Reseeded(BaseSampler):
        def __init__(self) -> None:
            self.inner: Any = _sampler(choice, choice.get("seed"))

        def reseed_rng(self) -> None:
            pass

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.inner.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

        def before_trial(self, study: Any, trial: Any) -> None:
            seed = choice.get("seed")
            # The scrambling of a quasi-random sequence has to stay the same over the whole study.
            if seed is not None and choice["name"] != "qmc":
                self.inner = _sampler(choice, seed_of(seed, trial.number))
            self.inner.before_trial(study, trial)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            self.inner.after_trial(study, trial, state, values)

    return Reseeded()


def seed_of(seed: int, number: int) -> int:
    """A 32-bit seed for one trial, unrelated to those of its neighbours."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


def pruner(choice: dict[str, Any]) -> Any:
    """The pruner of a study; `choice` is `{name: median, ...}`, as `sweep.json` holds it."""
    from optuna import pruners

    return getattr(pruners, PRUNERS[choice["name"]])(**_options(choice))


def target(choice: dict[str, Any]) -> dict[str, Any]:
    """The pruner as a trial's process is told of it: its class by `_target_`, and its options."""
    return {"_target_": f"optuna.pruners.{PRUNERS[choice['name']]}", **_options(choice)}


def _sampler(choice: dict[str, Any], seed: int | None) -> Any:
    from optuna import samplers

    kind = getattr(samplers, SAMPLERS[choice["name"]])
    options = _options(choice)
    # A sampler's words about its own workings (a parameter that it cannot model jointly) help nobody in a sweep.
    quiet = inspect.signature(kind.__init__).parameters.keys() & {
        "warn_independent_sampling",
        "warn_asynchronous_seeding",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(seed=seed, **dict.fromkeys(quiet, False) | options)


def _options(choice: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key not in ("name", "seed")}


def _checked(what: str, choice: dict[str, Any], known: dict[str, str]) -> str:
    """The name, once it and the options are known."""
    import optuna

    name = choice.get("name")
    if name not in known:
        raise UsageError(f"hydra.sweeper.{what}.name={name}: there is no such {what}{schema.closest(str(name), known)}")
    arguments = inspect.signature(getattr(getattr(optuna, f"{what}s"), known[name]).__init__).parameters
    allowed = [each for each in arguments if each not in ("self", "args", "kwargs", "seed")]
    for option in _options(choice):
        if option not in allowed:
            raise UsageError(
                f"hydra.sweeper.{what}.{option}: {name} has no such option{schema.closest(option, allowed)}"
            )
    return str(name)


def _built(what: str, build: Callable[[], Any]) -> None:
    """Let Optuna look at the options' values."""
    try:
        build()
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"hydra.sweeper.{what}: {str(error).strip().splitlines()[0]}") from None
