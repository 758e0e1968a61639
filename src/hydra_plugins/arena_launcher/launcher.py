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
    """See `ArenaLauncherConf`. What arena's sweeper launches does not come here: `arena.sweep.workers`."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.config: Any = None
        self.context: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keep what `launch` needs; the task function is arena.train's and is called in other processes."""
        self.config, self.context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Run every job; those that fail do not stop the others."""
        from arena.core.console import say
        from arena.core.errors import UsageError
        from arena.sweep.plan import passed_on
        from arena.sweep.pool import Pool, slots
        from arena.sweep.sweeper import drive
        from arena.sweep.table import Watch

        options, monitor = self.options, self.config.monitor
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
        outcomes: dict[int, Any] = {}
        try:
            with Watch(len(jobs), [], [], monitor=monitor.name, mode=monitor.mode) as watch:
                drive(pool, watch, lambda: next(trials, None), outcomes.__setitem__)
        finally:
            if stopped := pool.stop():
                say(f"stopped: {', '.join(str(places[number][0]) for number, _ in stopped)}")
        return [_returned(places[number][1], jobs[number], outcomes[number]) for number in jobs]

    def _job(self, number: int, overrides: list[str]) -> tuple[Path, Any]:
        """The folder that `hydra.sweep` gives a job, and its configuration."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import open_dict

        composed = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        HydraConfig.instance().set_config(composed)  # as Hydra's own launcher does, for what a folder's name may hold
        return Path(composed.hydra.sweep.dir).absolute() / str(composed.hydra.sweep.subdir), composed


def _returned(composed: Any, overrides: list[str], outcome: Any) -> Any:
    """What Hydra expects of a job: the objective, or the error that ended it."""
    from hydra.core.utils import JobReturn, JobStatus

    from arena.core.errors import ArenaError

    done = JobReturn(overrides=overrides, cfg=composed, working_dir=str(Path.cwd()), task_name="train")
    done.status = JobStatus.COMPLETED if outcome.values is not None else JobStatus.FAILED
    if outcome.values is not None:
        done.return_value = outcome.values[0]
    else:
        error = ArenaError(f"{' '.join(overrides)}: {outcome.kind}: {outcome.reason}")
        if outcome.exit_code is not None and outcome.exit_code > 0:
            error.code = outcome.exit_code
        done.return_value = error
    return done
