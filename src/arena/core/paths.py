"""Paths on a command line: any name that a file system allows, typed once and printed so that it can be pasted."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

NAMES = ("path", "dir", "resume", "hardness", "teacher", "offset", "predictions", "rejects", "cache")
"""Last parts of the configuration's keys that name files and folders, beside those that end in `_path` or `_dir`."""
OWN = ("output", "checkpoint", "other", "storage")
"""Keys of the other commands that do."""


def is_path(key: str) -> bool:
    """Test whether a key of a command line names a file or a folder."""
    name = key.lstrip("+~").rpartition(".")[2]
    return name in NAMES or name.endswith(("_path", "_dir")) or key in OWN


def exists(text: str) -> bool:
    """Test for a file or a folder of that name; `~` is the home folder."""
    return bool(text) and os.path.lexists(os.path.expanduser(text))


def separate(text: str, known: Callable[[str], bool] = exists) -> list[str] | None:
    """Split `a,b` at the commas that are not part of a name; None where that does not give known names only."""
    parts = text.split(",")
    for end in range(len(parts), 0, -1):
        name = ",".join(parts[:end]).strip()
        if known(name):
            rest = separate(",".join(parts[end:]), known) if end < len(parts) else []
            if rest is not None:
                return [name, *rest]
    return None


def listed(text: str) -> str | None:
    """Return the inside of `[...]`, None of anything else."""
    return text[1:-1] if len(text) > 1 and text.startswith("[") and text.endswith("]") else None


def unquoted(text: str) -> str:
    """Remove the quotes that Hydra's grammar would remove from a path, unless they are part of an existing name."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1].replace(f"\\{text[0]}", text[0]) if quoted and not exists(text) else text


def value(text: str) -> str | list[str] | None:
    """Read a path as typed in a command that is not Hydra's: null, `[FILE,FILE]`, or the path itself."""
    if exists(text):
        return text
    if text in ("", "null"):
        return None
    if (inside := listed(text)) is not None:
        return [unquoted(name.strip()) for name in separate(inside) or inside.split(",")]
    return unquoted(text)


def quote_path(path: str | Path) -> str:
    """Quote a path for a shell, for messages and for commands to paste."""
    return shlex.quote(str(path))
