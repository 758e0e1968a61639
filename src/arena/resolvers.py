"""Values that the configuration computes (`${count:...}` and the like)."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


def register_resolvers() -> None:
    """Make `${count:...}`, `${not:...}`, `${fastest_precision:...}` and `${wandb_offline:}` known."""
    resolvers: dict[str, Callable[..., Any]] = {
        "count": len,
        "not": lambda value: not value,
        "fastest_precision": fastest_precision,
        "wandb_offline": wandb_offline,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def fastest_precision(accelerator: str) -> str:
    """`bf16-mixed` on GPUs and on processors with bfloat16 matrix units (AMX, AVX512-BF16), else `32-true`."""
    if accelerator != "cpu":
        return "bf16-mixed"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "32-true"
    return "bf16-mixed" if re.search(r"\b(amx_bf16|avx512_bf16)\b", flags) else "32-true"


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
