"""`hydra/sweeper: arena`: Optuna sweeps that resume. All of the work is done in `arena.sweep`.

Hydra imports every module of `hydra_plugins` whenever any application of the environment starts, so nothing heavy is
imported here.
"""

from dataclasses import asdict
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from arena.sweep.settings import PRUNERS, SAMPLERS, TARGET, Settings


class ArenaSweeper(Sweeper):
    """Hands the composed configuration and the command line on to `arena.sweep.sweeper`."""

    def __init__(self, **settings: Any) -> None:
        self.given: dict[str, Any] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra composed; its launcher is made only where it is not arena's own."""
        self.given = {"hydra_context": hydra_context, "task_function": task_function, "config": config}

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing."""
        from arena.sweep import sweeper

        sweeper.sweep(self.given["config"], arguments, self._launcher)

    def _launcher(self) -> Launcher:
        from hydra.core.plugins import Plugins

        return Plugins.instance().instantiate_launcher(**self.given)


def register() -> None:
    """Make the sweeper, its samplers and its pruners known to Hydra; their options are Optuna's own."""
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
