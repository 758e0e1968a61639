"""Who runs the trials of a sweep: processes on this machine, or one of Hydra's launchers."""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from arena.errors import UsageError
from arena.sweep import pool, process, samplers
from arena.sweep.plan import Plan


def of(plan: Plan, composed: DictConfig) -> pool.Pool:
    """The processes of a plan: `hydra.sweeper.n_jobs` at a time, each with GPUs of its own or a share of the cores.

    A single trial at a time sees the machine as it is.

    Raises:
        UsageError: more trials at a time than the GPUs allow.
    """
    choice = plan.settings["pruner"]
    told = None if choice["name"] == "none" else samplers.target(choice)

    def variables(number: int) -> dict[str, str]:
        return process.trial_variables(plan.storage, plan.study, number, plan.objectives, plan.mode, told)

    timeout = OmegaConf.select(composed, "hydra.launcher.timeout")
    return pool.Pool(_slots(plan.settings["n_jobs"], composed), plan.objectives, timeout, variables)


def _slots(workers: int, composed: DictConfig) -> list[pool.Slot]:
    accelerator = OmegaConf.select(composed, "trainer.accelerator")
    gpus = pool.visible_gpus() if workers > 1 and accelerator != "cpu" else []
    if not gpus:
        return pool.core_slots(workers)
    devices: Any = OmegaConf.select(composed, "trainer.devices")
    per_trial = devices if isinstance(devices, int) and devices > 0 else 1
    if workers * per_trial > len(gpus):
        most = math.floor(len(gpus) / per_trial)
        raise UsageError(
            f"hydra.sweeper.n_jobs={workers}: {len(gpus)} GPUs are enough for {most} at a time ({per_trial} each)"
        )
    return pool.gpu_slots(gpus, per_trial)[:workers]
