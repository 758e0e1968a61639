"""The checker that the command line chooses, with its options."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from arena.core.errors import UsageError
from arena.core.schema import check_values, closest
from arena.evaluation.generation import checkers

CHECKERS: dict[str, type] = {
    "exact_number": checkers.ExactNumber,
    "regex": checkers.RegularExpression,
    "rules": checkers.Rules,
}
KIND = "kind"
"""Key of a checker's name beside its options."""


def separate(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Take `checker=NAME` (under `kind`) and `checker.OPTION=VALUE` out of a command line, values as they were typed.

    A regular expression is no YAML: `[0-9]+` would be read as a broken list.
    """
    others, chosen = [], {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "checker":
            chosen[KIND] = value
        elif key.startswith("checker."):
            chosen[key.removeprefix("checker.")] = value
        else:
            others.append(argument)
    return others, chosen


def make(chosen: dict[str, str]) -> checkers.Checker | None:
    """Build the checker of `separate`, None where none is chosen; a `UsageError` for a wrong name, option or value."""
    options = {key: value for key, value in chosen.items() if key != KIND}
    kind = chosen.get(KIND, "null")
    if kind == "null":
        if options:
            raise UsageError(f"checker.{next(iter(options))}: no checker is chosen; give checker=NAME")
        return None
    if kind not in CHECKERS:
        raise UsageError(f"checker={kind}: no such checker{closest(kind, CHECKERS)}")
    known = {each.name: each for each in fields(CHECKERS[kind])}
    for key in options:
        if key not in known:
            raise UsageError(f"checker.{key}: {kind} has no such option{closest(key, known)}")
    values = {key: text if known[key].type is str else _value(key, text) for key, text in options.items()}
    check_values(values, CHECKERS[kind], "checker.")
    for name, each in known.items():
        if name not in values and each.default is MISSING:
            raise UsageError(f"checker.{name}: {kind} needs a value; give checker.{name}=...")
    return CHECKERS[kind](**values)


def described(checker: Any) -> dict[str, Any] | None:
    """Name and options of a checker, for a file."""
    if checker is None:
        return None
    kind = next(name for name, each in CHECKERS.items() if isinstance(checker, each))
    return {KIND: kind} | {each.name: getattr(checker, each.name) for each in fields(checker)}


def _value(key: str, text: str) -> Any:
    """Read a value that is no text, as YAML."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        found: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    except (OmegaConfBaseException, YAMLError):
        raise UsageError(f"checker.{key}={text}: cannot be read") from None
    return found["value"]
