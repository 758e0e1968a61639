"""Configuration stored in a run folder: written by arena, and read back whoever wrote it.

A run folder may come from somebody else. What is read is plain data: text, numbers, lists and mappings. Nothing is
interpolated, no tag makes an object, no anchor is repeated a billion times, and a file that no run writes is refused.
"""

from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from arena.core import redact
from arena.core.errors import DataError, InputOutputError
from arena.core.moved import current
from arena.core.run import write_atomically

MAX_BYTES = 1_000_000
"""Bytes of a stored configuration; a usual one has 8 thousand, one of ten heads with a hundred classes each 100."""
MAX_VALUES = 50_000
"""Values in it; a usual one has 300."""
MAX_DEPTH = 50
"""Levels of nesting; a configuration has about five."""
PARTS = ("data", "loss", "metric", "model", "monitor", "optim", "run_dir", "seed", "trainer")
"""Keys that each stored configuration has; one that was cut off lacks some."""


class _Loader(yaml.CSafeLoader):
    # As Hydra reads a configuration: 1e-3 is a number, and a date is text.
    yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers


class _Dumper(yaml.SafeDumper):
    # Text that any reader of YAML would take for a number or a date is written in quotes.
    yaml_implicit_resolvers = {
        first: [*rules, *yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])]
        for first, rules in _Loader.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: what is read back may hold no alias."""
        return True


def read(path: Path) -> dict[str, Any]:
    """Read the `config.yaml` of a run folder as plain values.

    Raises InputOutputError where the file cannot be read, DataError where it is no configuration of a run.
    """
    found = read_yaml(path)
    missing = [name for name in PARTS if name not in found] if isinstance(found, dict) else PARTS
    if missing:
        raise DataError(f"{path}: damaged, it has no {', '.join(missing)}; {_ANEW}")
    try:
        return current(found)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); {_ANEW}") from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain values; raises the errors of `read`."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: it has more than {MAX_BYTES:,} bytes; a run writes no such file")
    try:
        if reason := _unusual(content):
            raise DataError(f"{path}: {reason}; a run writes no such file")
        return _Loader(content).get_single_data()
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{path}: damaged, {_reason(error)}; {_ANEW}") from None


_ANEW = "copy the run folder again, or train again"


def _unusual(content: bytes) -> str | None:
    """Describe what would grow while it is loaded; None for nothing."""
    depth = 0
    for number, event in enumerate(yaml.parse(content, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            return f"it repeats a part by the alias *{event.anchor}"
        if depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep"
        if number > MAX_VALUES:
            return f"it has more than {MAX_VALUES:,} values"
    return None


def _reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + (getattr(error, "problem", None) or str(error) or "it cannot be read").splitlines()[0]


def write(path: Path, settings: dict[str, Any]) -> None:
    """Write a resolved configuration so that `read` gives the same values back, but for secrets, which are hidden."""
    write_atomically(
        path, yaml.dump(redact.node(settings), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
    )


def relocated(node: Any, old: str, new: str) -> Any:
    """Replace the folder `old` by `new` wherever a path of a configuration begins with it."""
    if isinstance(node, dict):
        return {key: relocated(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [relocated(value, old, new) for value in node]
    inside = isinstance(node, str) and (node == old or Path(old) in Path(node).parents)
    return new + node[len(old) :] if inside else node
