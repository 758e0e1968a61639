"""Pruning of a trial of a sweep that does worse than the others did; nothing happens in a run that is no trial."""

import json
import logging
import os
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.core.schema import NonNegative
from arena.core.trial import TRIAL, Reporter, pruner_name, reported_metric

log = logging.getLogger("arena")

SHARE = 0.02
"""Share of the training time that may be spent on waiting for answers, beyond `patience`."""


class Pruning(Callback):
    """Reports the objective after each validation and stops all processes together where the sweep's pruner says so.

    The steps of the pruner are validations, counted from 0 as Optuna's pruners expect (`n_warmup_steps: 1` spares the
    first one); trials with different batch sizes share them. The last validation never prunes: a run that is over is
    complete.

    A storage that is slow, locked or gone never stops the run and costs it at most `patience` seconds in all, plus 2%
    of the training time: after that nothing waits any more, reports go on in the background, and a late answer counts
    at the next validation.

    Args:
        monitor: name of the value that is reported where the sweep's objective is the monitor.
        patience: seconds.
    """

    def __init__(self, monitor: str, patience: NonNegative = 5.0) -> None:
        self.monitor, self.patience = monitor, patience
        self.validations = 0
        self.pruned: str | None = None
        self._metric: str | None = None
        self._pruner = ""
        self._reporter: Reporter | None = None
        self._began = 0.0
        self._waited = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations} if self.validations else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict.get("validations", 0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find what is to be reported; the first process opens the storage."""
        trial = json.loads(os.environ.get(TRIAL) or "{}")
        self._metric = reported_metric(trial, self.monitor)
        if self._metric is None:
            return
        self._pruner = pruner_name(trial)
        self._began = time.monotonic()
        if trainer.is_global_zero:
            self._reporter = Reporter(trial)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, and give every process the answer."""
        if self._metric is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.validations += 1
        stop = self._report(trainer, self._metric)
        if trainer.world_size > 1:
            stop = bool(trainer.strategy.broadcast(stop))
        if stop and trainer.global_step < trainer.estimated_stepping_batches:
            self.pruned = f"pruned by {self._pruner} at validation {self.validations}"
            trainer.should_stop = True

    def _report(self, trainer: Trainer, metric: str) -> bool:
        if self._reporter is None:
            return False
        value = trainer.callback_metrics.get(metric)
        if value is None:
            if self.validations == 1:
                log.warning("%s: the validation logs no such value; this trial cannot be pruned", metric)
            return False
        now = time.monotonic()
        left = self.patience + SHARE * (now - self._began) - self._waited
        stop = self._reporter.report(self.validations - 1, float(value), max(0.0, left))
        self._waited += time.monotonic() - now
        for warning in self._reporter.new_warnings():
            log.warning("%s; the training goes on", warning)
        return stop
