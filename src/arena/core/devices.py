"""Whether this machine has the device that a configuration asks for, found out without importing torch."""

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from arena.errors import UsageError

FILES = ("nvidia[0-9]*", "kfd", "dxg")
"""Device files of GPUs: NVIDIA's, AMD's, and those that Windows lends to Linux."""


def has_gpu() -> bool:
    """Whether torch can find a GPU here."""
    if sys.platform == "darwin":
        return True
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1") or metadata.version("torch").endswith("+cpu"):
        return False
    return any(any(Path("/dev").glob(pattern)) for pattern in FILES)


def check(trainer: dict[str, Any]) -> None:
    """Insist on a GPU where a trainer needs one.

    Raises:
        UsageError: this machine has none.
    """
    accelerator, strategy = trainer.get("accelerator"), trainer.get("strategy")
    if accelerator in ("gpu", "cuda") and not has_gpu():
        raise UsageError(
            f"trainer.accelerator={accelerator}: this machine has no GPU that torch can use; give trainer=cpu"
        )
    if accelerator == "cpu" and isinstance(strategy, str) and strategy.startswith("fsdp"):
        raise UsageError(f"trainer.strategy={strategy}: it needs GPUs; give trainer=cpu")
