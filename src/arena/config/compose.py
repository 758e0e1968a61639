"""Configurations composed by Hydra from the command line and conf/, checked before anything heavy is imported."""

import os
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf import errors as omegaconf_errors

from arena.config.overrides import (
    as_typed,
    escaped,
    expanded,
    hide_bases,
    redact_saved,
    single_runs,
    unreadable,
    with_paths,
    with_searchpath,
)
from arena.config.pairing import check_parts, kind_of
from arena.config.resolvers import register_resolvers
from arena.core import devices, schema
from arena.core.choices import hint
from arena.core.data_keys import typed_names
from arena.core.errors import ArenaError, UsageError, first_line, run_main
from arena.core.places import Stored
from arena.core.root import Root, Suggested, check_nodes, lightnings
from arena.core.values import check_values_named, flat

Guard = Callable[[dict[str, Any], str], None]
Sweeps = Callable[[list[str], str], bool]


def folder() -> Path:
    """Return the folder `conf`: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    for place in (here / "conf", here.parents[1] / "conf"):
        if (place / "train.yaml").is_file():
            return place
    raise UsageError(f"the folder conf is neither in {here} nor in {here.parents[1]}; install arena again")


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain values, checked against `Root` and the signature of every `_target_`.

    Raises UsageError for a missing or unknown key, a wrong type or value or a broken interpolation, InputOutputError
    for a path that does not exist.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False)
    refuse_environment(raw)
    if missing := [name for name in ("data", "loss", "metric", "model", "monitor") if name not in raw]:
        raise UsageError(f"{missing[0]}: a configuration of your own begins with 'defaults: [train, _self_]'")
    check_parts(raw, raw.get("trusted_packages") or ())
    schema.check_values(raw.get("suggested", {}), Suggested, "suggested.", others=())
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except omegaconf_errors.MissingMandatoryValue as error:
        raise UsageError(f"{error.full_key}: a value is needed; give {error.full_key}=...") from None
    except omegaconf_errors.InterpolationToMissingValueError as error:
        key = first_line(error).rpartition(" ")[2]
        raise UsageError(f"{key}: a value is needed; give {key}=...") from None
    except omegaconf_errors.InterpolationKeyError as error:
        raise UsageError(f"{error.full_key}: {first_line(error)}") from None
    except omegaconf_errors.OmegaConfBaseException as error:
        raise _reason(error) or UsageError(f"{error.full_key or 'configuration'}: {first_line(error)}") from None
    text = OmegaConf.to_yaml(config)
    read = [key for key in map(str, plain) if re.search(rf"\$\{{(\w+:\s*)?{re.escape(key)}[.}}\[]", text)]
    schema.check_values(plain, Root, others=read)
    return checked(plain, plain.get("trusted_packages") or ())


def refuse_environment(raw: dict[str, Any]) -> None:
    """Refuse values from the environment: a run stores what it resolves, and such a value is often a secret."""
    for key, value in flat(raw):
        if re.search(r"(?<!\\)\$\{\s*oc\.env\s*:", str(value)):
            raise UsageError(
                f"{key}: it would be read from the environment and stored with the run; give the value itself, or "
                "leave secrets to the variables of the library that needs them (WANDB_API_KEY, PGPASSWORD)"
            )


def checked(plain: dict[str, Any], trusted: Collection[str], stored: Stored | None = None) -> dict[str, Any]:
    """Check plain values without interpolations; `trusted`, `stored` and the errors are those of `places.require`."""
    check_nodes(plain)
    kind_of(plain).check(plain)
    check_values_named(plain)
    schema.check(plain | {"trainer": lightnings(plain["trainer"])}, trusted=trusted, stored=stored)
    if plain["model"].get("path"):
        # Adapters are restored over these weights, from whatever folder that is done.
        plain["model"]["path"] = os.path.abspath(os.path.expanduser(plain["model"]["path"]))
    return plain


def precheck(
    overrides: list[str],
    multirun: bool,
    guard: Guard | None,
    config_name: str = "train",
    sweeps: Sweeps | None = None,
) -> None:
    """Compose and check every configuration that the command line asks for, before a folder is made for any.

    `guard(settings, folder)` may object to the folder of a single run; `sweeps(overrides, config_name)` checks those of
    a sweeper with checks of its own, and returns whether they are that sweeper's.
    """
    if multirun and sweeps is not None and sweeps(overrides, config_name):
        return
    for single in single_runs(overrides) if multirun else [overrides]:
        settings = settings_of(single, config_name)
        devices.check(settings["trainer"])
        if guard is not None and not multirun:
            guard(settings, settings["run_dir"])


def settings_of(overrides: list[str], config_name: str = "train", run_dir: str | None = None) -> dict[str, Any]:
    """Return the checked configuration of a command line without sweeps, for a run in `run_dir`."""
    config = composed(overrides, config_name)
    try:
        OmegaConf.set_struct(config, False)
        config.run_dir = escaped(run_dir or os.path.abspath(config.hydra.run.dir))
        del config["hydra"]
        OmegaConf.set_struct(config, True)
    except Exception as error:
        raise explained(error, overrides, config_name) from error
    return resolved(config)


def defaults() -> dict[str, Any]:
    """Return the configuration of an empty command line, also from inside a run."""
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        return settings_of([])
    finally:
        GlobalHydra.instance().hydra = running


def typed_settings(typed: list[str], run_dir: str | None = None) -> dict[str, Any]:
    """Return the checked configuration of a command line as typed: paths and texts need no quotes of Hydra's."""
    return as_typed(with_paths(typed), lambda overrides: settings_of(overrides, run_dir=run_dir))


def composed(overrides: list[str], config_name: str = "train") -> DictConfig:
    """Compose a command line without sweeps, Hydra's own part included; neither resolved nor checked."""
    try:
        return _composed(config_name, [*map(expanded, overrides)])
    except Exception as error:
        raise explained(error, overrides, config_name) from error


def _composed(config_name: str, overrides: list[str]) -> DictConfig:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(folder()), version_base="1.3"):
        return compose(config_name, overrides, return_hydra_config=True)


def explained(error: Exception, overrides: list[str], config_name: str = "train") -> ArenaError:
    """Return the one line for what Hydra or OmegaConf found wrong with the command line."""
    from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException

    if isinstance(error, ArenaError):
        return error
    if (reason := _reason(error)) is not None:
        return reason
    text = str(error)
    if isinstance(error, MissingConfigException):
        choice = re.search(r"Could not find '([^']+)'", text)
        options = [line.strip() for line in text.partition("Available options in")[2].splitlines()[1:] if line.strip()]
        options = [option for option in options if not option.startswith(("_", "Config search", "provider"))]
        if choice:
            group, _, name = choice[1].rpartition("/")
            return UsageError(f"{group}={name}: no such choice{schema.closest(name, options)}")
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    if isinstance(error, ValueError) and text.startswith("Config group override must be"):
        groups = [path.name for path in folder().iterdir() if path.is_dir()]
        found = next((each for each in overrides if each.partition("=")[0].partition("@")[0] in groups), "a group")
        return UsageError(f"{found}: the name of a choice is needed; python -m arena.train --help lists them")
    if isinstance(error, ConfigCompositionException) and (key := re.search(r"Could not override '([^']+)'", text)):
        kind = "key" if "." in key[1] else "group or key"
        return UsageError(f"{key[1]}: no such {kind}{_nearest_key(key[1], overrides, config_name)}")
    if isinstance(error, omegaconf_errors.OmegaConfBaseException | HydraException) or text.startswith("Only one of --"):
        return UsageError(first_line(error))
    raise error


def _nearest_key(key: str, overrides: list[str], config_name: str) -> str:
    """Find a key like an unknown one by composing again without the overrides of unknown keys."""
    groups = [path.name for path in folder().iterdir() if path.is_dir()]
    kept = [o for o in overrides if re.split(r"[=@]", o.lstrip("+~"), maxsplit=1)[0].split("/")[0] in groups]
    try:
        config = _composed(config_name, kept)
    except Exception:  # the composition has a second fault; the first one is reported alone
        return ""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig):
        return (
            f"; '{parent}' has no keys below it" if node is not None else _nearest_key(parent, overrides, config_name)
        )
    choices = [str(choice) for choice in node if not str(choice).startswith("_") and choice != "hydra"]
    choices = typed_names(choices) if parent == "data" else choices
    found = hint(folder(), parent, name, OmegaConf.select(config, f"hydra.runtime.choices.{parent}"))
    return found or schema.closest(name, choices if parent else [*choices, *groups])


def _reason(error: BaseException | None) -> ArenaError | None:
    """Find the error of a resolver that read a file; OmegaConf wraps it several times."""
    while error is not None and not isinstance(error, ArenaError):
        error = error.__cause__ or error.__context__
    return error


def run(
    function: Callable[[DictConfig], Any],
    guard: Guard | None = None,
    config_name: str = "train",
    sweeps: Sweeps | None = None,
) -> None:
    """Run `function` under Hydra with the command line of this process, and end with the contract's exit code.

    `function` gets the composed configuration `config_name`; `guard` and `sweeps` are those of `precheck`.
    """

    def main() -> None:
        import hydra
        from hydra._internal.utils import get_args_parser

        register_resolvers()
        # By default Hydra ends the process itself, with code 1 and its own words.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        multirun = get_args_parser().parse_args(sys.argv[1:]).multirun

        def checked_before(typed: list[str]) -> Any:
            sys.argv[1:] = typed
            arguments = get_args_parser().parse_args(typed)
            shows_only = any((arguments.help, arguments.hydra_help, arguments.cfg, arguments.info))
            if not (shows_only or arguments.config_path or arguments.shell_completion):
                chosen = arguments.config_name or config_name
                precheck(arguments.overrides, arguments.multirun, guard, chosen, sweeps)
            return arguments

        arguments = as_typed(with_searchpath(with_paths(sys.argv[1:], multirun)), checked_before)
        broken: list[BaseException] = []

        def job(config: DictConfig) -> Any:
            try:
                return function(config)
            except BaseException as error:
                if arguments.multirun:
                    raise
                broken.append(error)  # Hydra would put a line of its own before ours; it is raised below

        redact_saved()
        hide_bases()
        try:
            hydra.main(config_path=str(folder()), config_name=config_name, version_base="1.3")(job)()
        except Exception as error:
            raise explained(error, arguments.overrides, config_name) from error
        if broken:
            raise broken[0]

    run_main(main)
