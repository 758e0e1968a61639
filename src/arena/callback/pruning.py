"""Stops a trial of a sweep that does worse than the others did; nothing happens in a run that is no trial.

See `arena.core.trial` for how it speaks with the sweep.
"""

import json
import logging
import os
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.schema import NonNegative
from arena.core.trial import TRIAL, Reporter, pruner_name, reported

log = logging.getLogger("arena")

SHARE = 0.02
"""Of the training time that may be spent on waiting for answers, beyond `patience`."""


class Pruning(Callback):
    """Reports the objective after each validation and stops all processes together where the sweep's pruner says so.

    The steps that the pruner sees are validations, counted from 0 as Optuna's pruners expect (`n_warmup_steps: 1`
    spares the first one); trials with different batch sizes share them. The last validation is reported but not asked
    about: a run that is over is complete.

    A storage that is slow, locked or gone never stops the run and costs it at most `patience` seconds in all, plus 2%
    of the training time: after that nothing waits any more, reports go on in the background, and a late answer counts
    at the next validation.

    Args:
        monitor: name of the value that is reported where the sweep's objective is the monitor.
        patience: seconds.
    """

    def __init__(self, monitor: str, patience: NonNegative = 5.0) -> None:
        self.monitor = monitor
        self.patience = patience
        self.validations = 0
        self.pruned: str | None = None
        self._name: str | None = None
        self._pruner = ""
        self._reporter: Reporter | None = None
        self._began = 0.0
        self._waited = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations} if self.validations else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict.get("validations", 0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out what there is to report; the first process opens the storage."""
        told = json.loads(os.environ.get(TRIAL) or "{}")
        self._name = reported(told, self.monitor)
        if self._name is None:
            return
        self._pruner = pruner_name(told)
        self._began = time.monotonic()
        if trainer.is_global_zero:
            self._reporter = Reporter(told)
            self._reporter.start()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, ask, and let every process hear the answer."""
        if self._name is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.validations += 1
        stop = self._ask(trainer, self._name) if self._reporter is not None else False
        if trainer.world_size > 1:
            stop = bool(trainer.strategy.broadcast(stop))
        if stop and trainer.global_step < trainer.estimated_stepping_batches:
            self.pruned = f"pruned by {self._pruner} at validation {self.validations}"
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the thread go; what it has not reported by now is of no use any more."""
        if self._reporter is not None:
            self._reporter.close()
            self._reporter = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """As above."""
        self.on_fit_end(trainer, pl_module)

    def _ask(self, trainer: Trainer, name: str) -> bool:
        value = trainer.callback_metrics.get(name)
        if value is None or self._reporter is None:
            if self.validations == 1:
                log.warning("%s: the validation logs no such value; this trial cannot be pruned", name)
            return False
        now = time.monotonic()
        left = self.patience + SHARE * (now - self._began) - self._waited
        stop = self._reporter.ask(self.validations - 1, float(value), max(0.0, left))
        self._waited += time.monotonic() - now
        for trouble in self._reporter.troubles():
            log.warning("%s; the training goes on", trouble)
        return stop
