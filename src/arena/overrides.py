"""Overrides of a command line: the runs that those with `-m` ask for, and the values of single ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from arena.errors import UsageError


def single_runs(overrides: list[str]) -> Iterator[list[str]]:
    """Each value of each sweep once, the other sweeps at their first value; intervals at their lower end.

    Raises:
        UsageError: an override that cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UsageError(f"cannot read '{error.override}': {str(error).strip().splitlines()[0]}") from None
    options: list[list[str]] = []
    for override, text in zip(parsed, overrides, strict=True):
        if not override.is_sweep_override() or override.is_delete():
            options.append([text])
        elif override.is_interval_sweep():
            interval: Any = override.value()
            options.append([f"{override.get_key_element()}={interval.start}"])
        elif (override.get_key_element() or "").startswith("hydra."):
            options.append([])
        else:
            try:
                options.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
            except Exception:  # a glob: its values are names of files that exist
                options.append([])
    first = [values[0] for values in options if values]
    yield first
    for position, values in enumerate(options):
        for value in values[1:]:
            yield [value if i == position else v[0] for i, v in enumerate(options) if v]


@dataclass(frozen=True)
class Given:
    """One `key=value` of a command line; `adds` where it was written `+key=value`."""

    key: str
    value: Any
    adds: bool


def given_values(overrides: list[str]) -> list[Given]:
    """Keys and values of a command line whose values replace those of a stored configuration.

    Raises:
        UsageError: an override that cannot be read, a sweep, or one that deletes a key or chooses among packages.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UsageError(f"cannot read '{error.override}': {str(error).strip().splitlines()[0]}") from None
    found = []
    for override, text in zip(parsed, overrides, strict=True):
        if override.is_sweep_override() or override.is_delete() or override.package is not None:
            raise UsageError(f"{text}: a run that goes on takes single values, key=value")
        found.append(Given(override.key_or_group.replace("/", "."), override.value(), override.is_add()))
    return found
