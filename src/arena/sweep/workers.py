"""Who runs the trials of a sweep: processes on this machine, or one of Hydra's launchers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from arena.config.overrides import quoted
from arena.sweep import pool, process, samplers
from arena.sweep.outcome import Outcome, outcome_of
from arena.sweep.plan import Plan

OWN = ("hydra_plugins.arena_launcher.", "hydra._internal.core_plugins.basic_launcher.")
"""Launchers in whose place the sweep starts processes by itself: Hydra's basic one runs every job in one process."""


def of(plan: Plan, composed: DictConfig, launcher: Callable[[], Any] | None = None) -> "pool.Pool | Launched":
    """The workers of a plan: `hydra.sweeper.n_jobs` at a time.

    Processes of this machine each get GPUs of their own or a share of the cores; a single one sees the machine as it
    is. Another launcher of Hydra (submitit, joblib) gets the trials in batches.

    Args:
        plan: of the sweep.
        composed: the configuration, with Hydra's part.
        launcher: makes the launcher that the configuration chooses.

    Raises:
        UsageError: more trials at a time than the GPUs allow.
    """
    jobs = plan.settings["n_jobs"]
    chosen: Any = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    if launcher is not None and not str(chosen.get("_target_")).startswith(OWN):
        return Launched(launcher(), jobs, plan)
    choice = plan.settings["pruner"]
    told = None if choice["name"] == "none" else samplers.target(choice)

    def variables(number: int) -> dict[str, str]:
        return process.trial_variables(plan.storage, plan.study, number, plan.objectives, plan.mode, told)

    if "gpus" in chosen:  # arena's own, which was told what to deal out
        slots = pool.slots(jobs, chosen["gpus"], chosen["gpus_per_trial"])
    else:
        slots = pool.slots(jobs, *_gpus(jobs, composed))
    return pool.Pool(slots, plan.objectives, chosen.get("timeout"), variables)


def _gpus(jobs: int, composed: DictConfig) -> tuple[str | None, int]:
    """Whether GPUs are dealt out, and how many to each trial: the trainer's number of devices."""
    devices = OmegaConf.select(composed, "trainer.devices")
    per_trial = devices if isinstance(devices, int) and devices > 0 else 1
    shared = jobs > 1 and OmegaConf.select(composed, "trainer.accelerator") != "cpu"
    return "auto" if shared else None, per_trial


class Launched:
    """Trials that a launcher of Hydra runs, in batches: the next ones begin when all of a batch are over.

    They are not pruned: what a trial has to know for that goes through the environment of arena's own processes.
    """

    def __init__(self, launcher: Any, jobs: int, plan: Plan) -> None:
        self.launcher, self.jobs, self.plan = launcher, jobs, plan
        self.waiting: list[tuple[int, list[str]]] = []

    def free(self) -> int:
        """How many more trials fit into the next batch."""
        return self.jobs - len(self.waiting)

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> None:
        """Put a trial into the next batch."""
        place = Path(folder)
        places = [f"hydra.sweep.dir={quoted(str(place.parent))}", f"hydra.sweep.subdir={place.name}"]
        self.waiting.append((number, [*overrides, *places]))

    def finished(self, wait: float = 0.0) -> list[tuple[int, Outcome]]:
        """Run the batch and return how its trials ended."""
        if not self.waiting:
            return []
        first = self.waiting[0][0]
        returned = self.launcher.launch([overrides for _, overrides in self.waiting], initial_job_idx=first)
        numbers = [number for number, _ in self.waiting]
        self.waiting = []
        return [(number, self._outcome(number, job)) for number, job in zip(numbers, returned, strict=True)]

    def stop(self) -> list[tuple[int, Outcome]]:
        """A launcher stops its own jobs; what they finished is found in their folders."""
        return []

    def _outcome(self, number: int, job: Any) -> Outcome:
        failed = job.status.name == "FAILED"
        error = job._return_value if failed else None
        code = getattr(error, "code", 1) if failed else 0
        outcome = outcome_of(self.plan.folder / str(number), code, self.plan.objectives)
        if outcome.kind == "failed" and error is not None:
            words = (str(error).strip() or type(error).__name__).splitlines()[0]
            return Outcome("failed", None, words, code)
        return outcome
