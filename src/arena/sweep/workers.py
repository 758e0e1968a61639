"""Who runs the trials of a sweep: processes on this machine, or one of Hydra's launchers."""

from collections.abc import Callable
from dataclasses import replace
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
    if "gpus" not in chosen:  # not arena's own, which was told what to deal out: as many to each as the trainer wants
        devices = OmegaConf.select(composed, "trainer.devices")
        shared = jobs > 1 and OmegaConf.select(composed, "trainer.accelerator") != "cpu"
        chosen["gpus"] = "auto" if shared else None
        chosen["gpus_per_trial"] = devices if isinstance(devices, int) and devices > 0 else 1
    pruner = samplers.target(plan.settings["pruner"]) if plan.settings["pruner"]["name"] != "none" else None

    def variables(number: int) -> dict[str, str]:
        return process.trial_variables(plan.storage, plan.study, number, plan.objectives, pruner)

    slots = pool.slots(jobs, chosen["gpus"], chosen["gpus_per_trial"])
    return pool.Pool(slots, plan.objectives, chosen.get("timeout"), variables)


class Launched:
    """Trials that a launcher of Hydra runs, in batches: the next ones begin when all of a batch are over.

    They are not pruned: what a trial has to know for that goes through the environment of arena's own processes.
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

    def finished(self, wait: float = 0.0) -> list[tuple[int, Outcome]]:
        """Run the batch and return how its trials ended."""
        batch, self.waiting = self.waiting, {}
        returned = self.launcher.launch(list(batch.values()), initial_job_idx=min(batch)) if batch else []
        return [(number, self._outcome(number, job)) for number, job in zip(batch, returned, strict=True)]

    def stop(self) -> list[tuple[int, Outcome]]:
        """A launcher stops its own jobs; what they finished is found in their folders."""
        return []

    def _outcome(self, number: int, job: Any) -> Outcome:
        error = job._return_value if job.status.name == "FAILED" else None
        code = 0 if error is None else getattr(error, "code", 1)
        outcome = outcome_of(self.plan.folder / str(number), code, self.plan.objectives)
        if outcome.kind == "failed" and error is not None:
            return replace(outcome, reason=(str(error).strip() or type(error).__name__).splitlines()[0])
        return outcome
