"""`hydra/launcher=arena`: each job of `-m` is a process of its own, several at a time, each with its own GPU or cores.

Hydra imports this module at every start of every program, so nothing heavy is imported at the top; and no postponed
annotations, which Hydra 1.3 cannot read in a plugin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


@dataclass
class ArenaLauncherConf:
    """Options of the launcher."""

    _target_: str = "hydra_plugins.arena_launcher.launcher.ArenaLauncher"
    # jobs at a time; null: one for each slot of GPUs, else one (a sweeper's n_jobs takes precedence)
    workers: Optional[int] = None  # noqa: UP045 - Hydra 1.3 reads this form only
    gpus: Any = None  # null: each trial sees what this process sees; auto: every visible GPU is a slot; a list: these
    gpus_per_trial: int = 1
    timeout: Optional[float] = None  # noqa: UP045 - seconds that one job may take


ConfigStore.instance().store(group="hydra/launcher", name="arena", node=ArenaLauncherConf, provider="arena")


class ArenaLauncher(Launcher):
    """See `ArenaLauncherConf`. The trials of arena's sweeper do not come here: `arena.sweep.pool.pool_of`."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.config: Any = None
        self.context: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep the context; the task function is arena.train's and is called in other processes."""
        self.config, self.context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Run every job; those that fail do not stop the others."""
        from arena.core.console import say
        from arena.core.errors import UsageError
        from arena.sweep.plan import passed_on
        from arena.sweep.pool import Pool, slots
        from arena.sweep.progress import Progress
        from arena.sweep.sweeper import run_jobs

        options = self.options
        gpus = options["gpus"] if isinstance(options["gpus"], str | int | None) else list(options["gpus"])
        pool = Pool(slots(options["workers"], gpus, options["gpus_per_trial"]), timeout=options["timeout"])
        jobs = {initial_job_idx + i: list(overrides) for i, overrides in enumerate(job_overrides)}
        places = {number: self._job(number, overrides) for number, overrides in jobs.items()}
        for folder, _ in places.values():
            if folder.exists():
                raise UsageError(f"{folder}: the folder of a new trial exists already; choose another study name")
        common = passed_on(self.config)
        trials = (
            (number, dict(each.split("=", 1) for each in overrides), [*overrides, *common], places[number][0])
            for number, overrides in jobs.items()
        )
        results: dict[int, Any] = {}
        try:
            run_jobs(pool, Progress(len(jobs)), lambda: next(trials, None), results.__setitem__)
        finally:
            if stopped := pool.stop():
                say(f"stopped: {', '.join(str(places[number][0]) for number, _ in stopped)}")
        return [_returned(places[number][1], jobs[number], results[number]) for number in jobs]

    def _job(self, number: int, overrides: list[str]) -> tuple[Path, Any]:
        """The folder that `hydra.sweep` gives a job, and its configuration."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import open_dict

        composed = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        HydraConfig.instance().set_config(composed)  # as Hydra's own launcher does, for what a folder's name may hold
        return Path(composed.hydra.sweep.dir).absolute() / str(composed.hydra.sweep.subdir), composed


def _returned(composed: Any, overrides: list[str], result: Any) -> Any:
    """The objective of a job as Hydra expects it, or the error that ended it."""
    from hydra.core.utils import JobReturn, JobStatus

    from arena.core.errors import ArenaError

    done = JobReturn(overrides=overrides, cfg=composed, working_dir=str(Path.cwd()), task_name="train")
    if result.values is not None:
        done.status, done.return_value = JobStatus.COMPLETED, result.values[0]
        return done
    error = ArenaError(f"{' '.join(overrides)}: {result.kind}: {result.reason}")
    if result.exit_code is not None and result.exit_code > 0:
        error.code = result.exit_code
    done.status, done.return_value = JobStatus.FAILED, error
    return done
