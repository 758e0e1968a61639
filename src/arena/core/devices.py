"""Devices of this machine and the precision that suits them; torch is not imported."""

import logging
import os
import re
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from arena.core.errors import UsageError

log = logging.getLogger("arena")
FILES = ("nvidia[0-9]*", "kfd", "dxg")
"""Device files of GPUs: NVIDIA's, AMD's, and those that Windows lends to Linux."""
BFLOAT16 = 8.0
"""Compute capability (Ampere) from which NVIDIA's tensor cores multiply bfloat16; V100 has 7.0, T4 7.5, P100 6.0."""


def has_gpu() -> bool:
    """Test whether torch can find a GPU here."""
    if sys.platform == "darwin":
        return True
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1") or metadata.version("torch").endswith("+cpu"):
        return False
    return any(any(Path("/dev").glob(pattern)) for pattern in FILES)


def check(trainer: dict[str, Any]) -> None:
    """Require a GPU where a trainer needs one; raises UsageError."""
    accelerator, strategy = trainer.get("accelerator"), trainer.get("strategy")
    if accelerator in ("gpu", "cuda") and not has_gpu():
        raise UsageError(
            f"trainer.accelerator={accelerator}: this machine has no GPU that torch can use; give trainer=cpu"
        )
    devices, cores = trainer.get("devices"), os.cpu_count() or 1
    if accelerator == "cpu" and isinstance(devices, int) and devices > cores:
        raise UsageError(f"trainer.devices={devices}: this machine has {cores} cores; give {cores} or fewer processes")
    if accelerator == "cpu" and isinstance(strategy, str) and strategy.startswith("fsdp"):
        raise UsageError(f"trainer.strategy={strategy}: it needs GPUs; give trainer=cpu")


def visible_gpus() -> list[str]:
    """List the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
    return ask_gpus("index")


def ask_gpus(property_name: str) -> list[str]:
    """Query a property of each NVIDIA GPU; empty where there is none or the driver does not answer."""
    command = ["nvidia-smi", f"--query-gpu={property_name}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def fastest_precision(accelerator: str) -> str:
    """Return `bf16-mixed` where the device of an accelerator multiplies bfloat16, else `32-true`.

    `auto` is a GPU where there is one that this torch can use, and otherwise the processor, as Lightning chooses. The
    weakest of several GPUs decides. A GPU that cannot be queried (one of AMD) counts as one that can.
    """
    if accelerator in ("gpu", "cuda", "auto"):
        capabilities = _capabilities() if accelerator != "auto" or has_gpu() else ()
        if capabilities:
            return "bf16-mixed" if min(capabilities) >= BFLOAT16 else "32-true"
    if accelerator in ("cpu", "auto"):
        return "bf16-mixed" if _processor_multiplies_bfloat16() else "32-true"
    return "bf16-mixed" if accelerator in ("gpu", "cuda") else "32-true"


def set_cudnn_attention(wanted: bool) -> None:
    """Switch cuDNN's attention on CUDA on or off; logs the change where there is a GPU.

    cuDNN makes a plan for each new shape, 3 ms for each layer, and batches that are padded to their own length bring a
    new shape at almost every step: on an H100 an update of a 0.5B model took 494 ms with it and 156 ms without.
    """
    import torch

    if torch.backends.cuda.cudnn_sdp_enabled() == wanted:
        return
    torch.backends.cuda.enable_cudnn_sdp(wanted)
    if torch.cuda.is_available():
        state = "on" if wanted else "off, as lengths change from batch to batch; trainer.cudnn_attention=true: on"
        log.info("cuDNN attention is %s", state)


@lru_cache(maxsize=1)
def _capabilities() -> tuple[float, ...]:
    found = ask_gpus("compute_cap") if visible_gpus() else []
    return tuple(float(each) for each in found if re.fullmatch(r"\d+\.\d+", each))


def _processor_multiplies_bfloat16() -> bool:
    """Test the processor for matrix units for bfloat16 (AMX, AVX512-BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(re.search(r"\b(amx_bf16|avx512_bf16)\b", flags))
