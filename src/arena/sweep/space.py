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

from arena.core import schema
from arena.core.errors import UsageError


@dataclass(frozen=True)
class Parameter:
    """One thing that is searched: its name, the key of its override, what was typed, and Optuna's distribution.

    `texts` are a choice's values as the command line spells them, in the order of the distribution's choices.
    """

    name: str
    key: str
    typed: str
    distribution: Any
    texts: tuple[str, ...] = ()

    def override(self, value: Any) -> str:
        """`optim.lr=0.0001`: the override that gives a trial this value."""
        return f"{self.key}={self._text(value)}"

    def _text(self, value: Any) -> str:
        if self.texts:
            return self.texts[self._position(value)]
        if isinstance(value, float) and getattr(self.distribution, "step", None):
            return f"{value:.12g}"  # 0.1 * 3 is 0.30000000000000004
        return repr(value)

    def _position(self, value: Any) -> int:
        same = (i for i, c in enumerate(self.distribution.choices) if type(c) is type(value) and c == value)
        return next(same)  # 1, 1.0 and true are equal in Python and different choices

    def holds(self, value: Any) -> bool:
        """Whether the value lies in the distribution."""
        if self.texts:
            return any(type(choice) is type(value) and choice == value for choice in self.distribution.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(self.distribution.low, int) and not isinstance(value, int):
            return False
        return bool(self.distribution._contains(value))

    def values(self) -> list[Any]:
        """Every value, for a grid.

        Raises:
            UsageError: an interval has no list of values.
        """
        if self.texts:
            return list(self.distribution.choices)
        low, high, step = self.distribution.low, self.distribution.high, self.distribution.step
        if step is None or self.distribution.log:
            raise UsageError(f"{self.name}={self.typed}: a grid needs values; give choice(...) or range(...)")
        return [low + step * i for i in range(round((high - low) / step) + 1)]

    def ends(self) -> list[Any]:
        """The values that are tried on the configuration before anything runs: both ends, or every choice."""
        if self.texts:
            return list(self.distribution.choices)
        return list(dict.fromkeys((self.distribution.low, self.distribution.high)))


@dataclass(frozen=True)
class CommandLine:
    """The overrides of a command: those that every trial gets, those that are searched, and Hydra's own."""

    fixed: list[str]
    searched: dict[str, str]
    hydra: list[str]


def split(overrides: list[str]) -> CommandLine:
    """Sort the overrides of a command line.

    Raises:
        UsageError: an override that cannot be read, or a sweep over Hydra's own settings.
    """
    fixed: list[str] = []
    searched: dict[str, str] = {}
    own: list[str] = []
    for text in overrides:
        override = _parsed(text)
        key = (override.get_key_element() or "").lstrip("+~")
        if key.startswith(("hydra.", "hydra/")):
            if override.is_sweep_override():
                raise UsageError(f"{text}: Hydra's own settings cannot be searched; give the parameter as KEY=...")
            own.append(text)
        elif override.is_sweep_override() and not override.is_delete():
            searched[text.partition("=")[0]] = text.partition("=")[2]
        else:
            fixed.append(text)
    return CommandLine(fixed, searched, own)


def read(typed: dict[str, Any]) -> tuple[list[Parameter], list[str]]:
    """The parameters of `hydra.sweeper.params`, and its plain values as overrides of every trial.

    Raises:
        UsageError: see `parameter`; also if one is given twice.
    """
    parameters: list[Parameter] = []
    fixed: list[str] = []
    for key, value in typed.items():
        text = value if isinstance(value, str) else _spelled(value)
        found = parameter(key, text)
        if found is None:
            fixed.append(f"{key}={text}")
        elif found.name in [other.name for other in parameters]:
            raise UsageError(f"{found.name}: it is given twice among the parameters of the sweep")
        else:
            parameters.append(found)
    return parameters, fixed


def parameter(key: str, typed: str) -> Parameter | None:
    """The parameter that `key=typed` describes; None for a plain value.

    Raises:
        UsageError: it cannot be read, is empty, or is no sweep that can be searched.
    """
    override = _parsed(f"{key}={typed}")
    name = key.lstrip("+")
    if name.startswith(("hydra.", "hydra/")):
        raise UsageError(f"{name}: Hydra's own settings cannot be searched")
    if not override.is_sweep_override():
        return None
    if override.is_interval_sweep():
        return Parameter(name, key, typed, _interval(f"{name}={typed}", override.value()))
    if override.is_range_sweep():
        return Parameter(name, key, typed, _range(f"{name}={typed}", override.value()))
    if not override.is_choice_sweep():
        raise UsageError(f"{name}={typed}: give interval(...), range(...) or choice(...)")
    return _choice(name, key, typed, override)


def points(parameters: list[Parameter]) -> Iterator[list[str]]:
    """Overrides to hold against the configuration: every end of every parameter, the others at their first value."""
    first = [each.override(each.ends()[0]) for each in parameters]
    yield first
    for position, each in enumerate(parameters):
        for value in each.ends()[1:]:
            yield [*first[:position], each.override(value), *first[position + 1 :]]


def grid(parameters: list[Parameter]) -> list[dict[str, Any]]:
    """Every combination of the parameters' values, the last one changing fastest.

    Raises:
        UsageError: an interval has no list of values.
    """
    values = [each.values() for each in parameters]
    return [dict(zip([p.name for p in parameters], chosen, strict=True)) for chosen in itertools.product(*values)]


def check_start(start: Any, parameters: list[Parameter]) -> dict[str, Any]:
    """A starting point of `hydra.sweeper.enqueue` with whole numbers made floats where a float is searched.

    Raises:
        UsageError: an unknown parameter, or a value outside what is searched.
    """
    known = {each.name: each for each in parameters}
    values: dict[str, Any] = {}
    for name, value in start.items():
        if name not in known:
            raise UsageError(f"hydra.sweeper.enqueue: {name} is no parameter of the sweep{schema.closest(name, known)}")
        each = known[name]
        if isinstance(getattr(each.distribution, "low", None), float) and isinstance(value, int):
            value = float(value)
        if not each.holds(value):
            raise UsageError(f"hydra.sweeper.enqueue: {name}={value} lies outside {each.typed}")
        values[name] = value
    return values


# --- reading ----------------------------------------------------------------------------------------------------------


def _parsed(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UsageError(f"cannot read '{text}': {str(error).strip().splitlines()[0]}") from None


def _spelled(value: Any) -> str:
    """A YAML value as the command line would spell it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ",".join(_spelled(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_spelled(each)}" for name, each in value.items()) + "}"
    return str(value)


def _interval(typed: str, interval: Any) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = interval.start, interval.end, "log" in interval.tags
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"{typed}: both ends must be finite numbers")
    if low >= high:
        raise UsageError(f"{typed}: an empty interval; the first number must be the smaller one")
    if log and low <= 0:
        raise UsageError(f"{typed}: a log scale needs a lower end above 0")
    kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
    return kind(low, high, log=log)


def _range(typed: str, numbers: Any) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, stop, step = numbers.start, numbers.stop, numbers.step
    if step <= 0 or low >= stop:
        raise UsageError(f"{typed}: an empty range; it goes up from the first number to below the second")
    if "log" in numbers.tags:
        raise UsageError(f"{typed}: a range has equal steps; for a log scale give tag(log, interval(...))")
    # The tolerance keeps range(0, 0.3, 0.1) at three values, though 3 * 0.1 > 0.3.
    high = low + step * (math.ceil((stop - low) / step - 1e-9) - 1)
    if all(isinstance(each, int) for each in (low, stop, step)):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(float(low), float(high), step=float(step))


def _choice(name: str, key: str, typed: str, override: Any) -> Parameter:
    from optuna.distributions import CategoricalDistribution

    try:
        elements = list(override.sweep_iterator())
        spelled = zip(elements, override.sweep_string_iterator(), strict=True)
        texts = tuple(_spelled(e) if e is None or isinstance(e, bool) else str(text) for e, text in spelled)
    except Exception:  # a glob: its names are not known to the grammar
        raise UsageError(f"{name}={typed}: give interval(...), range(...) or choice(...)") from None
    choices = [
        element if element is None or isinstance(element, bool | int | float) else _unquoted(element, text)
        for element, text in zip(elements, texts, strict=True)
    ]
    if len({(type(choice), choice) for choice in choices}) < len(choices):
        raise UsageError(f"{name}={typed}: a value is named twice")
    return Parameter(name, key, typed, CategoricalDistribution(choices), texts)


def _unquoted(element: Any, text: str) -> str:
    return element if isinstance(element, str) else getattr(element, "text", text)
