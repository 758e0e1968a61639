"""Command lines of the commands other than train: Hydra's override grammar over one dataclass of options.

Each field made by `option` is a key: its annotation is checked as in a configuration (`arena.core.schema`), its help
text is what `--help` prints.
"""

import ast
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from arena.config.overrides import given_values, parsed, unreadable
from arena.core import paths, schema, signatures
from arena.core.closest import closest
from arena.core.console import run_command
from arena.core.data_keys import put
from arena.core.errors import UsageError
from arena.core.run import RunFolder, find_runs

Options = TypeVar("Options")
EXIT_CODES = "Exit codes: 0 ok, 2 usage or config, 65 data, 74 input/output, 130 Ctrl-C, 143 SIGTERM, 1 anything else."
COLUMN = 26
"""Where the help of a key begins."""
ORDER = {"run": 0, "configuration": 0, "data": 1, "trusted_packages": 3}
"""Order of the keys in the help, 2 for all others."""


def option(help: str, default: Any = MISSING, placeholder: str | None = None, takes: str | None = None) -> Any:
    """Make a field of an options dataclass.

    Args:
        help: meaning of the key; a line break starts a new line of the printed help, an empty text hides the key.
        default: without one the key is required.
        shown: placeholder of a value in the help, such as FOLDER.
        takes: `text` for a value that is not parsed, `dotted` for a mapping filled by KEY.NAME=VALUE, `raw` for one
            whose values stay text, `overrides` for every key of arena.train, `folders` for arguments without `=`.
    """
    metadata = {"help": help, "placeholder": placeholder, "takes": takes, "required": default is MISSING}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=None if default is MISSING else default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Keys of every command on finished runs."""

    run: str = option("a run folder of arena.train", placeholder="FOLDER", takes="text")
    data: dict[str, Any] = option("", default={}, takes="dotted")
    trusted_packages: list[str] = option(
        "packages of your own whose classes a run may name (its loss, its callbacks, ...)",
        default=[],
        placeholder="[NAME]",
    )

    @cached_property
    def runs(self) -> list[RunFolder]:
        """The run folders that `run` names (`arena.core.run.find_runs`)."""
        return self._trusting(find_runs(self.run))

    @cached_property
    def one_run(self) -> RunFolder:
        """The run folder of a command that works on one."""
        return self._trusting([RunFolder(paths.unquoted(self.run)).require()])[0]

    def _trusting(self, runs: list[RunFolder]) -> list[RunFolder]:
        for run in runs:
            run.trusted = tuple(self.trusted_packages)
        return runs


def read(options: type[Options], typed: Sequence[str]) -> Options:
    """Read a command line, `KEY=VALUE` each, into a dataclass whose fields are made by `option`.

    Raises:
        SystemExit: after `--help` and `--cfg job`, which print to standard output.
        UsageError: an unknown key (with the nearest one), a value of a wrong type, a key that is missing.
        InputOutputError: a path that does not exist.
    """
    if {"--help", "-h"} & set(typed):
        print(help_text(options))
        raise SystemExit(0)
    rest, prints = _without_cfg(list(typed))
    values = _values(options, rest)
    if prints:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(OmegaConf.create(_as_configuration(options, values))), end="")
        raise SystemExit(0)
    return make(options, **values)


def entry_point(function: Callable[[Any], object], options: type) -> Callable[[], None]:
    """Make the `main` of a command: read the options, call the function, end with the contract's exit code."""
    return lambda: run_command(lambda typed: function(read(options, typed)))


def make(options: type[Options], **values: Any) -> Options:
    """Check values and make the dataclass; raises the errors of `read`."""
    known = {each.name: each for each in fields(options)}  # pyright: ignore[reportArgumentType]
    for name in values:
        if name not in known:
            raise UsageError(f"{name}: no such option{closest(name, known)}")
    values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    schema.check_values(values, options)
    for name, each in known.items():
        if each.metadata["required"] and values.get(name) in (None, "", []):
            raise UsageError(f"{name}: a value is needed; give {name}={each.metadata['placeholder'] or 'VALUE'}")
    return options(**values)


def help_text(options: type) -> str:
    """Compose what `--help` prints: the docstring, and each key with its default and meaning."""
    width = min(max(shutil.get_terminal_size((120, 24)).columns, 80), 120)
    known = {each.name: each for each in fields(options)}
    doc = textwrap.dedent(f"    {options.__doc__}").strip()
    if not doc.startswith("python -m"):
        command = options.__name__.removesuffix("Options").lower()
        required = [
            f"{each.name}={each.metadata['placeholder']}" for each in known.values() if each.metadata["required"]
        ]
        doc = " ".join([f"python -m arena.{command}", *required, "[key=value] ..."]) + f"\n\n{doc}"
    parts = [each for each in options.__mro__[1:] if each not in (RunOptions, object)]
    inherited = {name for part in parts for name in part.__annotations__} - set(options.__annotations__)
    own = sorted((name for name in known if name not in inherited), key=lambda name: ORDER.get(name, 2))
    lines = [doc, "", *(line for name in own for line in _key_lines(known[name], width))]
    for part in parts:
        lines += ["", textwrap.fill(" ".join((part.__doc__ or "").split()), width), ""]
        names = [name for name in part.__annotations__ if name in inherited]
        lines += [line for name in names for line in _key_lines(known[name], width)]
    return "\n".join([*lines, "", textwrap.fill(f"--cfg job prints the values. {EXIT_CODES}", width)])


def _key_lines(each: Any, width: int) -> list[str]:
    if not each.metadata["help"]:
        return []
    default = _default(each)
    shown, text = each.metadata["placeholder"] or _written(default), each.metadata["help"]
    takes = each.metadata["takes"]
    left = shown if takes in ("folders", "overrides") else f"{each.name}{'.' if takes == 'dotted' else '='}{shown}"
    if each.metadata["placeholder"] and default not in (None, [], {}):
        text += f" (default: {_written(default)})"
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, width - COLUMN, subsequent_indent="  ")]
    if len(left) + 4 > COLUMN:
        lines.insert(0, "")
    head = f"  {left}".ljust(COLUMN) + lines[0]
    return [head.rstrip(), *(" " * COLUMN + line for line in lines[1:])]


def _default(each: Any) -> Any:
    return each.default if each.default is not MISSING else each.default_factory()


def _written(value: Any) -> str:
    """Write a value as it is typed."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(each)}" for key, each in value.items()) + "}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _without_cfg(typed: list[str]) -> tuple[list[str], bool]:
    """Take `--cfg job` out of the arguments; returns whether it was there."""
    for position, argument in enumerate(typed):
        name, equals, what = argument.partition("=")
        if name in ("--cfg", "-c"):
            following = typed[position + 1 : position + 2] if not equals else [what]
            if following != ["job"]:
                raise UsageError(f"{argument}: give --cfg job, which prints the values of all keys")
            return typed[:position] + typed[position + (1 if equals else 2) :], True
    return typed, False


def _values(options: type, typed: list[str]) -> dict[str, Any]:
    """Read the values of the keys that were typed."""
    known = {each.name: each.metadata["takes"] for each in fields(options)}
    by_way = {takes: name for name, takes in known.items() if takes}
    signature = signatures.signature_of(f"{options.__module__}.{options.__qualname__}")
    assert signature is not None, options
    found: dict[str, Any] = {}
    for argument in typed:
        key, equals, text = argument.partition("=")
        first, _, below = key.lstrip("+").partition(".")
        if equals and key in known and known[key] in (None, "text"):
            found[key] = text if known[key] else _value(key, text, signature.parameters[key].annotation)
        elif equals and known.get(first) == "dotted":
            if not below:
                raise UsageError(f"{argument}: give keys below it, {first}.path=FILE")
            (given,) = given_values([argument])
            put(found.setdefault(first, {}), given.key.removeprefix(f"{first}."), given.value)
        elif equals and known.get(first) == "raw":
            found.setdefault(first, {})[below or "kind"] = paths.unquoted(text)
        elif "overrides" in by_way and (equals or argument.startswith("~")):
            found.setdefault(by_way["overrides"], []).append(argument)
        elif "folders" in by_way and (not equals or "/" in key or Path(argument).expanduser().exists()):
            if argument.startswith("-"):
                raise UsageError(f"cannot read '{argument}'; give folders and key=value (see --help)")
            found.setdefault(by_way["folders"], []).append(argument)
        elif not equals:
            raise UsageError(f"cannot read '{argument}'; write key=value (see --help)")
        else:
            names = [name for name, takes in known.items() if takes not in ("overrides", "folders")]
            if "folders" in known.values() and Path(text).expanduser().is_dir():
                raise UsageError(f"{argument}: folders are given without a key; write {text}")
            raise UsageError(f"{key}: no such key{closest(key, [*names, *(['data.path'] if 'data' in known else [])])}")
    return found


def _value(key: str, text: str, annotation: ast.expr | None) -> Any:
    """Read the value of one key by Hydra's grammar, or as text where only a text fits."""
    if schema.names_in_annotation(annotation) & {"InputPath", "OutputPath"}:
        return paths.value(text)
    override = parsed(text)
    sweeps = override is not None and override.is_sweep_override()
    if override is not None and not sweeps:
        value = override.value()
        if schema.fits(value, annotation) or not schema.fits(text, annotation):
            return value
    if sweeps and schema.fits([], annotation):
        return [part.strip() for part in text.split(",")]
    if schema.fits(text, annotation):
        return text
    raise UsageError(f"{key}={text}: a single value is needed, {key}=VALUE") if sweeps else unreadable(f"{key}={text}")


def _as_configuration(options: type, values: dict[str, Any]) -> dict[str, Any]:
    """List every key with its value, `???` where a required one is missing."""
    from arena.config.compose import typed_settings
    from arena.config.resolvers import register_resolvers

    register_resolvers()
    found = {}
    for each in fields(options):
        value = values.get(each.name, "???" if each.metadata["required"] else _default(each))
        found |= typed_settings(value) if each.metadata["takes"] == "overrides" else {each.name: value}
    return found
