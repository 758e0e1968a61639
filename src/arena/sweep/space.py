"""What a sweep searches: the grammar of Hydra's overrides as Optuna's distributions.

    optim.lr: tag(log, interval(1e-5, 1e-3))    a number between two ends, on a log scale
    loss.gamma: interval(0, 5)                  a number between two ends
    adapter.rank: int(interval(4, 64))          a whole number, both ends included
    seed: range(0, 5)                           0, 1, 2, 3, 4; as everywhere in Hydra the end is not included
    loss: choice(focal, cross_entropy)          one of the values; also `focal,cross_entropy`

Upstream's sweeper takes the end of a `range` in; here the same text means the same in every kind of sweep.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from arena.core.closest import closest
from arena.core.data_keys import as_typed
from arena.core.errors import UsageError, first_line


@dataclass(frozen=True)
class Parameter:
    """One searched parameter: its name, the key of its override, what was typed, and Optuna's distribution.

    `texts` are a choice's values as the command line spells them, in the order of the distribution's choices.
    """

    name: str
    key: str
    typed: str
    distribution: Any
    texts: tuple[str, ...] = ()

    def override(self, value: Any) -> str:
        """`optim.lr=0.0001`: the override that gives a trial this value."""
        if self.texts:  # 1, 1.0 and true are equal in Python and different choices
            spelled = zip(self.distribution.choices, self.texts, strict=True)
            return f"{self.key}={next(t for c, t in spelled if type(c) is type(value) and c == value)}"
        stepped = isinstance(value, float) and self.distribution.step
        return f"{self.key}={f'{value:.12g}' if stepped else repr(value)}"  # 0.1 * 3 is 0.30000000000000004

    def holds(self, value: Any) -> bool:
        """True if the value lies in the distribution."""
        try:
            return bool(self.distribution._contains(self.distribution.to_internal_repr(value)))
        except ValueError:
            return False

    def values(self) -> list[Any]:
        """Every value, for a grid; a `UsageError` for an interval."""
        if self.texts:
            return self.ends()
        low, high, step = self.distribution.low, self.distribution.high, self.distribution.step
        if step is None or self.distribution.log:
            raise UsageError(f"{self.name}={self.typed}: a grid needs values; give choice(...) or range(...)")
        return [low + step * i for i in range(round((high - low) / step) + 1)]

    def ends(self) -> list[Any]:
        """The values that are checked before anything runs: both ends, or every choice."""
        if self.texts:
            return list(self.distribution.choices)
        return list(dict.fromkeys((self.distribution.low, self.distribution.high)))


@dataclass(frozen=True)
class CommandLine:
    """The overrides of a command: of every trial, searched, and Hydra's own."""

    fixed: list[str]
    searched: dict[str, str]
    hydra: list[str]


def name_of(override: str) -> str:
    """The key of an override as users type it, without the signs that add or delete it."""
    return as_typed(override.partition("=")[0].lstrip("+~"))


def split(overrides: list[str]) -> CommandLine:
    """Sort the overrides of a command line; a `UsageError` for a sweep over Hydra's own settings."""
    line = CommandLine([], {}, [])
    for text in overrides:
        override = _parsed(text)
        if override.is_hydra_override():
            if override.is_sweep_override():
                raise UsageError(f"{text}: Hydra's own settings cannot be searched; give the parameter as KEY=...")
            line.hydra.append(text)
        elif override.is_sweep_override() and not override.is_delete():
            key, _, line.searched[key] = text.partition("=")
        else:
            line.fixed.append(text)
    return line


def read(typed: dict[str, Any]) -> tuple[list[Parameter], list[str]]:
    """The parameters of `hydra.sweeper.params`, and its plain values as overrides of every trial; see `parameter`."""
    parameters: dict[str, Parameter] = {}
    fixed: list[str] = []
    for key, value in typed.items():
        text = value if isinstance(value, str) else _spelled(value)
        found = parameter(key, text)
        if found is None:
            fixed.append(f"{key}={text}")
        elif parameters.setdefault(found.name, found) is not found:
            raise UsageError(f"{found.name}: it is given twice among the parameters of the sweep")
    return list(parameters.values()), fixed


def parameter(key: str, typed: str) -> Parameter | None:
    """The parameter that `key=typed` describes; None for a plain value, a `UsageError` where it cannot be searched."""
    override, name = _parsed(f"{key}={typed}"), name_of(key)
    if override.is_hydra_override():
        raise UsageError(f"{name}: Hydra's own settings cannot be searched")
    if not override.is_sweep_override():
        return None
    where = f"{name}={typed}"
    if override.is_interval_sweep():
        return Parameter(name, key, typed, _interval(where, override.value()))
    if override.is_range_sweep():
        return Parameter(name, key, typed, _range(where, override.value()))
    return Parameter(name, key, typed, *_choice(where, override))


def points(parameters: list[Parameter]) -> Iterator[list[str]]:
    """Overrides to check: every end of every parameter, the others at their first value."""
    first = [each.override(each.ends()[0]) for each in parameters]
    yield first
    for position, each in enumerate(parameters):
        for value in each.ends()[1:]:
            yield [*first[:position], each.override(value), *first[position + 1 :]]


def grid(parameters: list[Parameter]) -> list[dict[str, Any]]:
    """Every combination of the parameters' values, the last one changing fastest."""
    values = [each.values() for each in parameters]
    return [dict(zip([p.name for p in parameters], chosen, strict=True)) for chosen in itertools.product(*values)]


def check_start(start: Any, parameters: list[Parameter]) -> dict[str, Any]:
    """Check a starting point of `hydra.sweeper.enqueue`; whole numbers become floats where a float is searched."""
    known = {each.name: each for each in parameters}
    values: dict[str, Any] = {}
    for key, value in start.items():
        name = name_of(key)
        if name not in known:
            raise UsageError(f"hydra.sweeper.enqueue: {name} is no parameter of the sweep{closest(name, known)}")
        each = known[name]
        if isinstance(getattr(each.distribution, "low", None), float) and isinstance(value, int):
            value = float(value)
        if not each.holds(value):
            raise UsageError(f"hydra.sweeper.enqueue: {name}={value} lies outside {each.typed}")
        values[name] = value
    return values


def _parsed(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UsageError(f"cannot read '{text}': {first_line(error)}") from None


def _spelled(value: Any) -> str:
    """A value as the command line would spell it."""
    from hydra.core.override_parser.types import Transformer

    text = Transformer.str(value)
    return text.lower() if isinstance(value, bool) else text


def _interval(where: str, interval: Any) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = interval.start, interval.end, "log" in interval.tags
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"{where}: both ends must be finite numbers")
    if low >= high:
        raise UsageError(f"{where}: an empty interval; the first number must be the smaller one")
    if log and low <= 0:
        raise UsageError(f"{where}: a log scale needs a lower end above 0")
    kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
    return kind(low, high, log=log)


def _range(where: str, numbers: Any) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, stop, step = numbers.start, numbers.stop, numbers.step
    if step <= 0 or low >= stop:
        raise UsageError(f"{where}: an empty range; it goes up from the first number to below the second")
    if "log" in numbers.tags:
        raise UsageError(f"{where}: a range has equal steps; for a log scale give tag(log, interval(...))")
    # The tolerance keeps range(0, 0.3, 0.1) at three values, though 3 * 0.1 > 0.3.
    high = low + step * (math.ceil((stop - low) / step - 1e-9) - 1)
    if all(isinstance(each, int) for each in (low, stop, step)):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(float(low), float(high), step=float(step))


def _choice(where: str, override: Any) -> tuple[Any, tuple[str, ...]]:
    """The distribution of a choice, and its values as the command line spells them."""
    from hydra.errors import HydraException
    from optuna.distributions import CategoricalDistribution

    try:
        elements = list(override.sweep_iterator())
    except HydraException:  # a glob: its names are not known to the grammar
        raise UsageError(f"{where}: give interval(...), range(...) or choice(...)") from None
    texts = tuple(map(_spelled, elements))
    plain = (str, bool, int, float, type(None))
    pairs = zip(elements, texts, strict=True)
    choices = [each if isinstance(each, plain) else getattr(each, "text", text) for each, text in pairs]
    if len({(type(choice), choice) for choice in choices}) < len(choices):
        raise UsageError(f"{where}: a value is named twice")
    return CategoricalDistribution(choices), texts
