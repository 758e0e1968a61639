"""Hydra's override grammar: literal paths and texts, the single runs of a sweep, the values of overrides."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from omegaconf import OmegaConf

from arena.core import paths, redact
from arena.core.data_keys import full
from arena.core.errors import InputOutputError, UsageError
from arena.core.schema import NotTextError

Result = TypeVar("Result")
LOCAL = "file:" + "//"
SEARCHPATH = "hydra.searchpath"
"""Folders of the user's own that hold choices of groups, such as loss/mine.yaml."""


@dataclass(frozen=True)
class Given:
    """One `key=value` of a command line; `adds` where it was written `+key=value`."""

    key: str
    value: Any
    adds: bool


def escaped(text: str) -> str:
    """Escape `${`, so that OmegaConf reads the text back as it is."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def quoted(text: str) -> str:
    """Quote a text of any characters as the value of an override."""
    if re.fullmatch(r"[\w.:+%@-]*/[\w/.:+%@-]*", text, re.ASCII):  # without a slash it might be a number, or null
        return text
    # A quote is escaped, and so are the backslashes before one, the closing one included.
    quotable = re.sub(r"(\\*)'", r"\1\1\\'", escaped(text))
    return "'" + re.sub(r"(\\+)$", r"\1\1", quotable) + "'"


def expanded(argument: str) -> str:
    """Replace the short name of an override's key by its place (`arena.core.data_keys.SHORT`)."""
    key, equals, value = argument.partition("=")
    return f"{full(key)}{equals}{value}"


def with_paths(arguments: list[str], sweeps: bool = False) -> list[str]:
    """Expand short names, and quote the paths that are meant literally.

    A path is literal where a file of that very name exists, or where Hydra's grammar reads something that a path cannot
    be. It can be null, a quoted text, a list, an interpolation or, with `sweeps`, a sweep (but for Hydra's own
    folders).
    """
    arguments = [expanded(argument) for argument in arguments]
    pairs = [argument.partition("=") for argument in arguments]
    return [
        f"{key}={_path(text, sweeps and not key.startswith('hydra.'))}" if equals and paths.is_path(key) else argument
        for argument, (key, equals, text) in zip(arguments, pairs, strict=True)
    ]


def _path(text: str, sweeps: bool) -> str:
    """Write what was typed for a path as the value of an override."""
    override = parsed(text)
    value = None if override is None else override._value
    if value == text and "${" not in text:
        return text
    if paths.exists(text):
        return quoted(text)
    inside = paths.listed(text)
    if inside is not None and (names := paths.separate(inside)):
        return f"[{','.join(map(quoted, names))}]"
    if sweeps and (names := paths.separate(text)):
        return ",".join(map(quoted, names))
    if override is None or (override.is_sweep_override() and not sweeps):
        return quoted(text)
    written_so = value is None or not isinstance(value, str | bool | int | float | dict) or "${" in text
    return text if written_so else quoted(text)


def parsed(text: str) -> Any:
    """Parse a value by Hydra's grammar; None where it cannot be read."""
    try:
        return _parsed_all([f"path={text}"])[0]
    except UsageError:
        return None


def _parsed_all(overrides: list[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise unreadable(error) from None


def unreadable(error: Any) -> UsageError:
    """Make the error for an override that Hydra's grammar cannot read (its `OverrideParseException`, or the text)."""
    if isinstance(error, str):
        return UsageError(f"cannot read '{error}'; quote values with special characters")
    reason = str(error).strip().splitlines()[0]
    reason = "a character that has a meaning of its own" if "Exception" in reason else reason
    return UsageError(f"cannot read '{error.override}': {reason}; quote values with special characters")


def as_typed(arguments: list[str], check: Callable[[list[str]], Result]) -> Result:
    """Return `check(arguments)`; a number, date or truth value where a text is needed is quoted, and checked again.

    Raises NotTextError (from `check`) where no argument has the key that needs a text.
    """
    while True:
        try:
            return check(arguments)
        except NotTextError as error:
            before, arguments = arguments, [_as_text(argument, error.key) for argument in arguments]
            if arguments == before:
                raise


def _as_text(argument: str, key: str) -> str:
    """Quote every value of an override, if it is of this key."""
    name, _, text = argument.partition("=")
    if name.lstrip("+") != key:
        return argument
    if text.startswith(("[", "{")):
        bare = r"([\[,:]\s*)([^\s\[\]{},:'\"][^\[\]{},:'\"]*?)(?=\s*[,\]}])"
        return f"{name}={re.sub(bare, lambda found: found[1] + quoted(found[2]), text)}"
    override = parsed(text)
    several = override is not None and override.is_sweep_override()
    return f"{name}={','.join(map(quoted, text.split(','))) if several else quoted(text)}"


def single_runs(overrides: list[str]) -> Iterator[list[str]]:
    """Yield each value of each sweep once, the other sweeps at their first value; intervals at their lower end."""
    options: list[list[str]] = []
    for override, text in zip(_parsed_all(overrides), overrides, strict=True):
        if not override.is_sweep_override() or override.is_delete():
            options.append([text])
        elif override.is_interval_sweep():
            options.append([f"{override.get_key_element()}={override.value().start}"])
        elif (override.get_key_element() or "").startswith("hydra."):
            options.append([])
        else:
            try:
                options.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
            except Exception:  # a glob: its values are names of files that exist
                options.append([])
    yield [values[0] for values in options if values]
    for position, values in enumerate(options):
        for value in values[1:]:
            yield [value if i == position else v[0] for i, v in enumerate(options) if v]


def given_values(overrides: list[str]) -> list[Given]:
    """Parse overrides that replace values of a stored configuration.

    Raises UsageError for one that cannot be read, sweeps, deletes a key or chooses among packages.
    """
    found = []
    for override, text in zip(_parsed_all(with_paths(overrides)), map(expanded, overrides), strict=True):
        if override.is_sweep_override() or override.is_delete() or override.package is not None:
            raise UsageError(f"{text}: a run that goes on takes single values, key=value")
        path = paths.is_path(override.key_or_group)
        value = paths.value(text.partition("=")[2]) if path else override.value()
        found.append(Given(override.key_or_group.replace("/", "."), value, override.is_add()))
    return found


def with_searchpath(arguments: list[str]) -> list[str]:
    """Turn `--config-dir FOLDER` into an override, so that it is checked like everything else.

    Raises UsageError where it has no value, InputOutputError where there is no such folder.
    """
    rest, places = [], []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            places.append(value if equals else next(waiting, ""))
        elif name == SEARCHPATH:
            places += [str(each).removeprefix(LOCAL) for each in given_values([argument])[0].value]
        else:
            rest.append(argument)
    for place in places:
        if not place:
            raise UsageError("--config-dir: a value is needed; give --config-dir FOLDER")
        if "://" not in place and not os.path.isdir(os.path.expanduser(place)):
            raise InputOutputError(f"--config-dir {place}: no such folder (looked in {os.getcwd()})")
    found = [p if "://" in p else LOCAL + os.path.abspath(os.path.expanduser(p)) for p in places]
    return [*rest, f"{SEARCHPATH}=[{','.join(map(quoted, found))}]"] if found else arguments


def redact_saved() -> None:
    """Have Hydra save `.hydra/*.yaml` and `multirun.yaml`, which it does before any callback, without secrets."""
    from hydra._internal.core_plugins import basic_sweeper
    from hydra.core import utils

    def hidden(config: Any) -> Any:
        return OmegaConf.create(redact.node(OmegaConf.to_container(config, resolve=False)))

    class Redacted(OmegaConf):
        @staticmethod
        def save(config: Any, f: Any, resolve: bool = False) -> None:
            OmegaConf.save(hidden(config), f, resolve)

    utils._save_config = lambda cfg, *where, save=utils._save_config: save(hidden(cfg), *where)
    basic_sweeper.OmegaConf = Redacted  # pyright: ignore[reportPrivateImportUsage]


def hide_bases() -> None:
    """Have Hydra's help leave out YAMLs that others build on, whose names begin with an underscore."""
    from hydra._internal.hydra import Hydra

    def choices(*given: Any, plain: Any = Hydra.format_config_groups, **named: Any) -> str:
        return re.sub(r"\b_\w+, ", "", plain(*given, **named))

    Hydra.format_config_groups = choices
