"""The runs that the overrides of a command line with `-m` ask for."""

from collections.abc import Iterator
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
