"""A check that all processes of a distributed run have the same settings."""

import hashlib
import json
import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.errors import UsageError
from arena.core.run import plain

log = logging.getLogger("arena")


class RankConsistencyCheck(Callback):
    """Refuses a distributed run whose processes have different settings, before its first step.

    Otherwise it goes unnoticed: with `-m` on the command line every process that Lightning starts runs a sweep of its
    own, draws parameters of its own, and the gradients of different models are averaged.

    Args:
        settings: the resolved configuration of this process; where it runs (`run_dir`) makes no difference.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        model = {key: value for key, value in settings["model"].items() if key != "architecture"}
        # The first process alone fills in the architecture, once it has seen the weights.
        text = json.dumps(plain(settings | {"model": model}), sort_keys=True, ensure_ascii=False)
        self.digest = hashlib.sha256(text.replace(str(settings["run_dir"]), "").encode()).hexdigest()[:16]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the digests; all processes raise, or none."""
        if trainer.world_size == 1:
            return
        rank = trainer.global_rank
        log.debug("process %d of %d: settings %s", rank, trainer.world_size, self.digest)
        first = trainer.strategy.broadcast(self.digest)
        if not trainer.strategy.reduce_boolean_decision(first == self.digest, all=True):
            raise UsageError(
                "the processes of this run have different settings; in a sweep each run must be a process of its own: "
                "hydra/sweeper=arena hydra/sweeper/sampler=grid"
            )
