"""Values that the configuration computes (`${count:...}` and the like)."""

import json
import math
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from arena.core.devices import fastest_precision


def register_resolvers() -> None:
    """Register the functions below, `${count:...}`, `${not:...}` and `${copies_for:...}`."""
    for function in (fastest_precision, wandb_offline, classes_of_heads, suggested_lr, local_folder):
        OmegaConf.register_new_resolver(function.__name__, function, replace=True)
    OmegaConf.register_new_resolver("count", len, replace=True)
    OmegaConf.register_new_resolver("not", lambda value: not value, replace=True)
    OmegaConf.register_new_resolver("copies_for", lambda weight: 2 if weight else 1, replace=True)


def suggested_lr(suggested: Any) -> float:
    """Compute the learning rate that a model suggests times the factors of the other choices (`suggested`)."""
    return float(f"{suggested['lr'] * math.prod(suggested['factors'].values()):.12g}")


def local_folder(name: str) -> str | None:
    """Return the absolute path of a model's name that is a folder here; None for the id of a model of the hub."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else None


def wandb_offline() -> bool:
    """Test whether W&B has to work offline: by WANDB_MODE, or for lack of a key."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode != "online"
    if os.environ.get("WANDB_API_KEY"):
        return False
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = re.sub(r"^https?://", "", os.environ.get("WANDB_BASE_URL", "api.wandb.ai")).strip("/")
    return not (netrc.is_file() and host in netrc.read_text(encoding="utf-8", errors="replace"))


def classes_of_heads(path: Any, heads: Any, given: Any) -> dict[str, list[str]]:
    """Return the classes of each head, read from the data where not given (`arena.data.source.classes`)."""
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
