"""The configuration of a run folder, whoever made it: read, freed of what belongs to a command line, and checked."""

import re
from collections.abc import Collection
from typing import Any

from arena.config import compose as config
from arena.config.pairing import check_parts
from arena.core.errors import DataError, UsageError
from arena.core.places import NotTrustedError, Stored
from arena.core.run import RunFolder
from arena.core.stored import moved, read

CLASSES = ("data", "loss", "metric", "model", "optim", "tokenizer", "trainer")
"""Keys of a stored configuration that each name a class."""


def values_of(run: RunFolder) -> dict[str, Any]:
    """The configuration of a run folder, whoever made it, with the places where the folder is now; not yet checked.

    What belongs to a command line is not taken over: packages that it trusted, other versions that it accepted, whether
    anything was sent, and where rejected rows and caches went.

    Raises:
        InputOutputError: the file cannot be read.
        DataError: it is no configuration of a run.
    """
    plain = read(run.config)
    plain = moved(plain, str(plain["run_dir"]), str(run.path))
    for name in CLASSES:
        if not isinstance(plain.get(name), dict) or "_target_" not in plain[name]:
            raise DataError(f"{run.config}: damaged, {name} names no class")
    plain |= {"run_dir": str(run.path), "resume": None, "accept_versions": False, "trusted_packages": list(run.trusted)}
    if isinstance(plain["data"].get("ingest"), dict):
        plain["data"]["ingest"] |= {"rejects": str(run.path / "rejects.jsonl")}
    if plain["data"].get("cache"):
        plain["data"]["cache"] = "auto"
    loggers = plain.get("logger")
    for node in loggers.values() if isinstance(loggers, dict) else ():
        if isinstance(node, dict) and "offline" in node:
            node["offline"] = True
    return plain


def checked(run: RunFolder, plain: dict[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """What `values_of` gave, with the values that the command line gives instead, checked like a typed configuration.

    Args:
        run: the folder; its `trusted` names packages of the user's own.
        plain: the values.
        given: dotted keys that the command line gives.

    Raises:
        InputOutputError: a path that does not exist.
        DataError: a stored value that does not fit its place.
        UsageError: a given value that does not fit, or a class of the user's own that is not trusted.
    """
    origin = Stored(run.path, frozenset(given))
    try:
        check_parts(plain, run.trusted)
        return config.checked(plain, run.trusted, origin)
    except NotTrustedError as error:
        raise NotTrustedError(f"{run.config}: {error}") from None
    except UsageError as error:
        if not origin.holds(re.split("[=:]", str(error), maxsplit=1)[0]):
            raise
        raise DataError(f"{run.config}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{run.config}: damaged ({error}); copy the run folder again, or train again") from None
