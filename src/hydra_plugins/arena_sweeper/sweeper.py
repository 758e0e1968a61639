"""`hydra/sweeper: arena`: Optuna sweeps that resume. All of the work is done in `arena.sweep`.

Hydra imports every module of `hydra_plugins` whenever any application of the environment starts, so nothing heavy is
imported here.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ArenaSweeper(Sweeper):
    """Hands the composed configuration and the command line on to `arena.sweep.sweeper`."""

    def __init__(self, **settings: Any) -> None:
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None
        self.task: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra composed; its launcher is made only where it is not arena's own."""
        self.config, self.context, self.task = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing."""
        from arena.sweep import sweeper

        assert self.config is not None
        sweeper.sweep(self.config, arguments)


DEFAULTS: dict[str, Any] = {
    "defaults": [{"sampler": "tpe"}, {"pruner": "none"}, "_self_"],
    "_target_": "hydra_plugins.arena_sweeper.sweeper.ArenaSweeper",
    "study_name": "${study}",
    "storage": None,  # a database URL for many machines; null: study.db in the study's folder
    "direction": None,  # minimize, maximize or a list of these; null: as the monitor's mode says
    "objectives": ["monitor"],  # or dotted paths in result.json, such as validation.log_loss.value
    "n_trials": 20,  # in all, those of earlier calls of the same command included
    "n_jobs": 1,  # trials at a time
    "max_failure_rate": 0.5,  # the sweep ends when more than this share of n_trials failed
    "timeout": None,  # seconds after which no new trial begins
    "resume": True,  # false: refuse to go on with a study that exists
    "retry_failed": False,  # try the failed trials of an earlier call again
    "enqueue": [],  # points to begin with, such as [{optim.lr: 1e-4}]
    "heartbeat": 60,  # seconds between two signs of life of a trial in a database of many machines
    "params": {},
}
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "nsgaii", "nsgaiii", "grid")
PRUNERS: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {},
    "percentile": {"percentile": 25.0},
    "hyperband": {},
    "successive_halving": {},
}


def register() -> None:
    """Make the sweeper, its samplers and its pruners known to Hydra."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="arena", node=DEFAULTS, provider="arena_sweeper")
    for name in SAMPLERS:
        node = {"name": name, "seed": "${seed}"}
        store.store(group="hydra/sweeper/sampler", name=name, node=node, provider="arena_sweeper")
    for name, options in PRUNERS.items():
        node = {"name": name, **options}
        store.store(group="hydra/sweeper/pruner", name=name, node=node, provider="arena_sweeper")


register()
