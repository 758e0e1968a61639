"""`hydra/launcher=arena`: the GPUs and the time of each trial of arena's sweeper, which runs them by itself.

Hydra imports this module at every start of every program, so nothing heavy is imported at the top; and no postponed
annotations, which Hydra 1.3 cannot read in a plugin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


@dataclass
class ArenaLauncherConf:
    """Options of the launcher."""

    _target_: str = "hydra_plugins.arena_launcher.launcher.ArenaLauncher"
    gpus: Any = None  # null: each trial sees what this process sees; auto: every visible GPU is a slot; a list: these
    gpus_per_trial: int = 1
    timeout: Optional[float] = None  # noqa: UP045 - seconds that one trial may take; Hydra 1.3 reads this form only


ConfigStore.instance().store(group="hydra/launcher", name="arena", node=ArenaLauncherConf, provider="arena")


class ArenaLauncher(Launcher):
    """See `ArenaLauncherConf` and `arena.sweep.pool.pool_of`."""

    def __init__(self, **options: Any) -> None:
        pass

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Nothing to set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Refuse the jobs of Hydra's own sweeper."""
        from arena.core.errors import UsageError

        raise UsageError(
            "hydra/launcher=arena: only trials of arena's sweeper are processes of their own; add hydra/sweeper=arena "
            "hydra/sweeper/sampler=grid, and hydra.sweeper.n_jobs=2 for two at a time"
        )
