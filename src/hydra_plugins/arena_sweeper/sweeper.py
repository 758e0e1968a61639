"""`hydra/sweeper: arena`: Optuna sweeps that resume, see `arena.sweep`. Hydra imports this module at every start of
every program, so nothing heavy is imported here."""

from dataclasses import asdict
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from arena.sweep.settings import PRUNERS, SAMPLERS, TARGET, Settings


class ArenaSweeper(Sweeper):
    """Passes the composed configuration and the command line on to `arena.sweep.sweeper`."""

    def __init__(self, **settings: Any) -> None:
        self.given: dict[str, Any] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra composed; its launcher is made only where it is not arena's own."""
        self.given = {"hydra_context": hydra_context, "task_function": task_function, "config": config}

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing."""
        from hydra.core.plugins import Plugins

        from arena.sweep import sweeper

        launcher = partial(Plugins.instance().instantiate_launcher, **self.given)
        sweeper.sweep(self.given["config"], arguments, launcher)


def register() -> None:
    """Register the sweeper, its samplers and its pruners with Hydra; their options are Optuna's own."""
    store = ConfigStore.instance()
    defaults = [{"sampler": "tpe"}, {"pruner": "none"}, "_self_"]
    node = {"defaults": defaults, "_target_": TARGET, **asdict(Settings())}
    store.store(group="hydra/sweeper", name="arena", node=node, provider="arena_sweeper")
    for name in SAMPLERS:
        node = {"name": name, "seed": "${seed}"}
        store.store(group="hydra/sweeper/sampler", name=name, node=node, provider="arena_sweeper")
    for name in PRUNERS:
        node = {"name": name} | ({"percentile": 25.0} if name == "percentile" else {})
        store.store(group="hydra/sweeper/pruner", name=name, node=node, provider="arena_sweeper")


register()
