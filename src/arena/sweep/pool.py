"""Several trials at a time: on this machine, each with GPUs or a share of the cores, or by one of Hydra's launchers."""

import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from arena.config.overrides import quoted
from arena.core.devices import visible_gpus
from arena.core.errors import UsageError, first_line
from arena.sweep import process, samplers
from arena.sweep.plan import Plan
from arena.sweep.result import TrialResult, read_trial_result

Slot = dict[str, str]
"""The variables that give a trial its place on the machine."""
POLL = 0.05
"""Seconds between two looks at the trials that run."""
OWN = ("hydra_plugins.arena_launcher.", "hydra._internal.core_plugins.basic_launcher.")
"""Launchers in whose place the sweep starts processes by itself: Hydra's basic one runs every job in one process."""


def gpu_slots(gpus: list[str] | list[int], per_trial: int = 1) -> list[Slot]:
    """A slot for each `per_trial` GPUs, named or numbered as in CUDA_VISIBLE_DEVICES.

    Raises:
        UsageError: a GPU that there is not, one named twice, or too few for one trial.
    """
    visible, names = visible_gpus(), [str(gpu) for gpu in gpus]
    if unknown := [name for name in names if name not in visible]:
        has = f"this machine has {', '.join(visible)}" if visible else "this machine has none"
        raise UsageError(f"gpus={','.join(names)}: there is no GPU {', '.join(unknown)}; {has}")
    if len(set(names)) < len(names):
        raise UsageError(f"gpus={','.join(names)}: a GPU is named twice")
    if per_trial < 1 or len(names) < per_trial:
        raise UsageError(f"gpus_per_trial={per_trial}: it must be 1 to {len(names)}, the number of GPUs")
    starts = range(0, len(names) - per_trial + 1, per_trial)
    return [{"CUDA_VISIBLE_DEVICES": ",".join(names[start : start + per_trial])} for start in starts]


def core_slots(jobs: int) -> list[Slot]:
    """`jobs` slots with an equal share of the cores; a single one leaves the environment, and so the numbers, alone."""
    if jobs == 1:
        return [{}]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // jobs)
    given = os.environ.get("OMP_NUM_THREADS", "")
    return [{"OMP_NUM_THREADS": str(min(share, int(given)) if given.isdigit() else share)}] * jobs


def slots(jobs: int, gpus: Any = None, per_trial: int = 1) -> list[Slot]:
    """The slots of `jobs` trials at a time; `gpus`: None (each trial sees what this process sees), `auto` or a list.

    Raises:
        UsageError: GPUs that there are not, or fewer than the trials need.
    """
    if gpus is None or (gpus == "auto" and not visible_gpus()):
        return core_slots(jobs)
    if not isinstance(gpus, list) and gpus != "auto":
        raise UsageError(f"hydra.launcher.gpus={gpus}: null, auto or a list such as [0,1] is needed")
    found = gpu_slots(visible_gpus() if gpus == "auto" else gpus, per_trial)
    if jobs > len(found):
        raise UsageError(f"n_jobs={jobs}: there are GPUs for {len(found)} trials at a time ({per_trial} each)")
    return [place | share for place, share in zip(found, core_slots(len(found)), strict=True)][:jobs]


class Pool:
    """Trials as processes of this machine, one in each slot.

    Args:
        slots: see `slots`.
        objectives: names of the objectives; default `[monitor]`.
        timeout: seconds that one trial may take; None: any. A `UsageError` unless positive.
        variables: gives the variables of a trial from its number (`process.trial_variables`).
        program: gives the command line of a trial from its overrides and folder; default arena.train's.
    """

    def __init__(
        self,
        slots: list[Slot],
        objectives: list[str] | None = None,
        timeout: float | None = None,
        variables: Callable[[int], Mapping[str, str]] | None = None,
        program: Callable[[list[str], Path], list[str]] | None = None,
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise UsageError(f"timeout={timeout}: a number of seconds greater than 0 is needed, or null")
        self.slots, self.objectives, self.timeout = list(slots), objectives or ["monitor"], timeout
        self.variables, self.program = variables or (lambda number: {}), program
        self.running: dict[int, tuple[process.Process, Slot]] = {}

    def free(self) -> int:
        """How many more trials can start now."""
        return len(self.slots)

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> None:
        """Start a trial in a free slot; its number reaches the configuration as `hydra.job.num`."""
        place = Path(folder).expanduser().resolve()
        overrides = [*overrides, f"hydra.job.num={number}"]
        program = self.program(overrides, place) if self.program else None
        variables = {**self.slots[0], **self.variables(number)}
        trial = process.Process(overrides, place, variables, self.timeout, program)
        self.running[number] = trial, self.slots.pop(0)

    def finished(self, wait: float = 0.0) -> list[tuple[int, TrialResult]]:
        """The trials that ended since the last call; waits up to `wait` seconds for the first one."""
        until = time.monotonic() + wait
        while not (ended := [number for number, (trial, _) in self.running.items() if trial.ended()]):
            if not self.running or time.monotonic() >= until:
                break
            time.sleep(POLL)
        over = {number: self.running.pop(number) for number in ended}
        self.slots += [slot for _, slot in over.values()]
        return [(number, trial.result(self.objectives)) for number, (trial, _) in over.items()]

    def stop(self, grace: float = process.GRACE) -> list[tuple[int, TrialResult]]:
        """Stop all trials, all at once, and return their results."""
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, math.inf)):
            until = time.monotonic() + seconds
            for trial, _ in self.running.values():
                trial.signal(number)
            while time.monotonic() < until and not all(trial.ended() for trial, _ in self.running.values()):
                time.sleep(POLL)
        return self.finished()


class Launched:
    """Trials that a launcher of Hydra (submitit, joblib) runs, in batches: the next ones begin when all are over.

    They are not pruned: that takes the environment of arena's own processes.
    """

    def __init__(self, launcher: Any, jobs: int, plan: Plan) -> None:
        self.launcher, self.jobs, self.plan = launcher, jobs, plan
        self.waiting: dict[int, list[str]] = {}

    def free(self) -> int:
        """How many more trials fit into the next batch."""
        return self.jobs - len(self.waiting)

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> None:
        """Put a trial into the next batch."""
        place = Path(folder)
        places = [f"hydra.sweep.dir={quoted(str(place.parent))}", f"hydra.sweep.subdir={place.name}"]
        self.waiting[number] = [*overrides, *places]

    def finished(self, wait: float = 0.0) -> list[tuple[int, TrialResult]]:
        """Run the batch and return how its trials ended."""
        batch, self.waiting = self.waiting, {}
        returned = self.launcher.launch(list(batch.values()), initial_job_idx=min(batch)) if batch else []
        return [(number, self._result(number, job)) for number, job in zip(batch, returned, strict=True)]

    def stop(self) -> list[tuple[int, TrialResult]]:
        """A launcher stops its own jobs; what they finished is found in their folders."""
        return []

    def _result(self, number: int, job: Any) -> TrialResult:
        error = job._return_value if job.status.name == "FAILED" else None
        code = 0 if error is None else getattr(error, "code", 1)
        result = read_trial_result(self.plan.folder / str(number), code, self.plan.objectives)
        return replace(result, reason=first_line(error)) if result.kind == "failed" and error is not None else result


def pool_of(plan: Plan, composed: DictConfig, launcher: Callable[[], Any] | None = None) -> Pool | Launched:
    """The workers of a plan, `hydra.sweeper.n_jobs` at a time; `launcher` makes the launcher that Hydra composed.

    Raises:
        UsageError: more trials at a time than the GPUs allow.
    """
    jobs = plan.settings["n_jobs"]
    chosen: Any = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    if launcher is not None and not str(chosen.get("_target_")).startswith(OWN):
        return Launched(launcher(), jobs, plan)
    if "gpus" not in chosen:  # Hydra's basic launcher: as many GPUs to each trial as its trainer wants
        devices = OmegaConf.select(composed, "trainer.devices")
        shared = jobs > 1 and OmegaConf.select(composed, "trainer.accelerator") != "cpu"
        chosen["gpus"] = "auto" if shared else None
        chosen["gpus_per_trial"] = devices if isinstance(devices, int) and devices > 0 else 1
    pruner = samplers.pruner_node(plan.settings["pruner"]) if plan.settings["pruner"]["name"] != "none" else None

    def variables(number: int) -> dict[str, str]:
        return process.trial_variables(plan.storage, plan.study, number, plan.objectives, pruner)

    dealt = slots(jobs, chosen["gpus"], chosen["gpus_per_trial"])
    return Pool(dealt, plan.objectives, chosen.get("timeout"), variables)
