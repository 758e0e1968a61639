"""Values that the configuration computes (`${count:...}` and the like)."""

import json
import math
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from arena.core.devices import fastest_precision


def register_resolvers() -> None:
    """Make `${count:...}`, `${not:...}`, `${copies_for:...}` and the functions below known."""
    resolvers: dict[str, Callable[..., Any]] = {
        "count": len,
        "not": lambda value: not value,
        "fastest_precision": fastest_precision,
        "wandb_offline": wandb_offline,
        "classes_of_heads": classes_of_heads,
        "suggested_lr": suggested_lr,
        "local_folder": local_folder,
        "copies_for": lambda weight: 2 if weight else 1,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def suggested_lr(suggested: Any) -> float:
    """Compute the learning rate that a model suggests times the factors of what is chosen beside it (`suggested`)."""
    return float(f"{suggested['lr'] * math.prod(suggested['factors'].values()):.12g}")


def local_folder(name: str) -> str | None:
    """Return the absolute path of a model's name that is a folder here; None for the id of a model of the hub."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else None


def wandb_offline() -> bool:
    """Whether W&B has to work offline: told so, or no key to be found."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode != "online"
    if os.environ.get("WANDB_API_KEY"):
        return False
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = re.sub(r"^https?://", "", os.environ.get("WANDB_BASE_URL", "api.wandb.ai")).strip("/")
    return not (netrc.is_file() and host in netrc.read_text(encoding="utf-8", errors="replace"))


def classes_of_heads(path: Any, heads: Any, given: Any) -> dict[str, list[str]]:
    """The classes of each head, read from the data's file where they are not given; see `arena.data.source.classes`."""
    path, heads, given = (OmegaConf.to_container(x) if OmegaConf.is_config(x) else x for x in (path, heads, given))
    places = [path] if isinstance(path, str) else path or []
    files = [Path(place).expanduser() for place in places]
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None for file in files)
    return json.loads(_classes(json.dumps([path, heads, given]), stamps))


@lru_cache(maxsize=16)
def _classes(arguments: str, stamps: tuple) -> str:
    # Interpolations are resolved wherever they occur: the file is read once while it stays the same.
    from arena.data.source.classes import classes_of

    return json.dumps(classes_of(*json.loads(arguments)))
