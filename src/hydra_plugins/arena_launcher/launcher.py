"""`hydra/launcher=arena`: each job of `-m` is a process of its own, several at a time, each with its own GPU or cores.

Hydra imports this module at every start of every program, so nothing heavy is imported at the top; and no postponed
annotations, which Hydra 1.3 cannot read in a plugin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher

HYDRA_OWN = ("hydra.run.dir", "hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra.mode", "hydra.job.num")
"""Overrides that concern the sweep and not a single run."""


@dataclass
class ArenaLauncherConf:
    """Options of the launcher.

    `workers`: jobs at a time; null: one for each slot of GPUs, else one (a sweeper's `n_jobs` takes precedence).
    `gpus`: null: each trial sees what this process sees; auto: every visible GPU is a slot; a list: these are.
    `gpus_per_trial`: how many GPUs a slot has. `timeout`: seconds that one job may take.
    """

    _target_: str = "hydra_plugins.arena_launcher.launcher.ArenaLauncher"
    workers: Optional[int] = None  # noqa: UP045 - Hydra 1.3 reads this form only
    gpus: Any = None
    gpus_per_trial: int = 1
    timeout: Optional[float] = None  # noqa: UP045


ConfigStore.instance().store(group="hydra/launcher", name="arena", node=ArenaLauncherConf, provider="arena")


class ArenaLauncher(Launcher):
    """See `ArenaLauncherConf`."""

    def __init__(
        self,
        workers: int | None = None,
        gpus: Any = None,
        gpus_per_trial: int = 1,
        timeout: float | None = None,
    ) -> None:
        self.workers = workers
        self.gpus = gpus if gpus is None or isinstance(gpus, str | int) else list(gpus)
        self.gpus_per_trial = gpus_per_trial
        self.timeout = timeout
        self.config: Any = None
        self.hydra_context: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep what `launch` needs; the task function is arena.train's and is called in other processes."""
        self.config = config
        self.hydra_context = hydra_context

    def pool(
        self,
        workers: int | None = None,
        objectives: list[str] | None = None,
        variables: Callable[[int], Mapping[str, str]] | None = None,
    ) -> Any:
        """The `arena.sweep.pool.Pool` that these options describe.

        Args:
            workers: trials at a time; default the launcher's own.
            objectives: names of the objectives; default the monitor.
            variables: of each trial.

        Raises:
            UsageError: GPUs that there are not, or options that contradict each other.
        """
        from arena.sweep import pool

        return pool.Pool(
            pool.slots(workers or self.workers, self.gpus, self.gpus_per_trial), objectives, self.timeout, variables
        )

    def hydra_overrides(self) -> list[str]:
        """The overrides of Hydra's own keys on this command line that concern a single run as well."""
        typed = list(self.config.hydra.overrides.hydra)
        names = [override.partition("=")[0].lstrip("+~") for override in typed]
        return [
            override
            for override, name in zip(typed, names, strict=True)
            if not any(name.replace("/", ".").startswith(own) for own in HYDRA_OWN)
        ]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Run every job; those that fail do not stop the others."""
        from arena.core.console import say
        from arena.core.errors import UsageError
        from arena.sweep.table import Watch

        crew = self.pool()
        jobs = {initial_job_idx + i: list(overrides) for i, overrides in enumerate(job_overrides)}
        folders = {number: self._job(number, overrides) for number, overrides in jobs.items()}
        for folder, _ in folders.values():
            if folder.exists():
                raise UsageError(f"{folder}: the folder of a new trial exists already; choose another study name")
        outcomes: dict[int, Any] = {}
        waiting = sorted(jobs)
        try:
            with Watch(len(jobs), [], []) as watch:
                while len(outcomes) < len(jobs):
                    while waiting and crew.free():
                        number = waiting.pop(0)
                        crew.submit(number, [*jobs[number], *self.hydra_overrides()], folders[number][0])
                        watch.started(number, _parameters(jobs[number]))
                    for number, outcome in crew.finished(wait=0.5):
                        outcomes[number] = outcome
                        watch.finished(number, outcome)
                    for number in crew.running:
                        watch.progress(number, folders[number][0])
        finally:
            stopped = crew.stop()
            if stopped:
                say(f"stopped: {', '.join(str(folders[number][0]) for number, _ in stopped)}")
        return [_returned(folders[number][1], jobs[number], outcomes[number]) for number in sorted(jobs)]

    def _job(self, number: int, overrides: list[str]) -> tuple[Path, Any]:
        """The folder that `hydra.sweep` gives a job, and its configuration."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import open_dict

        composed = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        before = HydraConfig.instance().cfg
        try:
            HydraConfig.instance().set_config(composed)
            return Path(composed.hydra.sweep.dir).absolute() / str(composed.hydra.sweep.subdir), composed
        finally:
            HydraConfig.instance().cfg = before


def _parameters(overrides: list[str]) -> dict[str, Any]:
    pairs = [override.partition("=") for override in overrides]
    return {name: value for name, _, value in pairs}


def _returned(composed: Any, overrides: list[str], outcome: Any) -> Any:
    """What Hydra expects of a job: the objective, or the error that ended it."""
    from hydra.core.utils import JobReturn, JobStatus

    from arena.core.errors import ArenaError

    done = JobReturn(overrides=overrides, cfg=composed, working_dir=str(Path.cwd()), task_name="train")
    if outcome.values is not None:
        done.status = JobStatus.COMPLETED
        done.return_value = outcome.values[0] if len(outcome.values) == 1 else outcome.values
    else:
        error = ArenaError(f"{' '.join(overrides)}: {outcome.kind}: {outcome.reason}")
        if outcome.exit_code is not None and outcome.exit_code > 0:
            error.code = outcome.exit_code
        done.status = JobStatus.FAILED
        done.return_value = error
    return done
