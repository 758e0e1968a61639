"""Stops a trial of a sweep that does worse than the others did; nothing happens in a run that is no trial.

The trial is told by the variable ARENA_TRIAL (`arena.sweep.process.trial_variables`). Optuna is imported in a thread,
while the first steps run, and only where there is something to prune.
"""

import json
import logging
import os
import threading
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from arena.schema import NonNegative

log = logging.getLogger("arena")

TRIAL = "ARENA_TRIAL"
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
        self._pruner = told["pruner"]["name"]
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
            self.pruned = f"pruned by the {self._pruner} pruner at validation {self.validations}"
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


def reported(told: dict[str, Any], monitor: str) -> str | None:
    """The logged value that stands for the objective of a trial, None where there is nothing to prune.

    Args:
        told: content of ARENA_TRIAL.
        monitor: name of the monitored value.
    """
    choice = told.get("pruner") or {"name": "none"}
    if not told.get("storage") or choice["name"] in ("none", "nop"):
        return None
    if len(told["objectives"]) > 1:
        log.info("a sweep with several objectives cannot prune; every trial runs to its end")
        return None
    split, _, rest = told["objectives"][0].partition(".")
    if split == "monitor":
        return monitor
    if split == "validation" and rest.endswith(".value"):
        return f"val/{rest.removesuffix('.value')}"
    log.info("the objective %s is known at the end only; every trial runs to its end", told["objectives"][0])
    return None


class Reporter(threading.Thread):
    """Speaks with the sweep's storage. All of it happens in this thread, so that the training never hangs on it.

    Args:
        told: content of ARENA_TRIAL.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(daemon=True, name="sweep")
        self.told = told
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, float]] = []
        self._answered = self._asked = -1
        self._stop = False
        self._closed = False
        self._troubles: list[str] = []
        self._known: set[str] = set()

    def ask(self, step: int, value: float, seconds: float) -> bool:
        """Report a value; whether the trial should stop, as far as it is known after `seconds`."""
        with self._changed:
            self._waiting.append((step, value))
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._answered >= step, timeout=seconds):
                self._complain("the sweep's storage is slow to answer; a decision to prune may come late")
            return self._stop

    def troubles(self) -> list[str]:
        """What went wrong since the last call, each kind once."""
        with self._changed:
            found, self._troubles = self._troubles, []
            return found

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Hand on what is reported; after an error all of it is tried again with the next report."""
        trial: Any = None
        due: list[tuple[int, float]] = []
        while not self._closed:
            stop = False
            try:
                trial = trial or opened(self.told)
                stop = _hand_on(trial, due)
                due = []
            except Exception as error:  # whatever a database can come up with
                words = (str(error).strip() or type(error).__name__).splitlines()[0]
                with self._changed:
                    self._complain(f"the sweep's storage: {words}")
            with self._changed:
                self._stop = self._stop or stop
                self._answered = self._asked
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                due, self._waiting = due + self._waiting, []
                self._asked = due[-1][0] if due else -1

    def _complain(self, text: str) -> None:
        if text not in self._known:
            self._known.add(text)
            self._troubles.append(text)


def opened(told: dict[str, Any]) -> Any:
    """The `optuna.trial.Trial` of this process, with the pruner of its sweep."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options = dict(told["pruner"])
    words = options.pop("name").split("_")
    pruner = getattr(optuna.pruners, "".join(map(str.title, words)) + "Pruner")(**options)
    # The parameters are chosen already: any sampler will do, and this one needs no history.
    study = optuna.load_study(
        study_name=told["study"], storage=told["storage"], sampler=optuna.samplers.RandomSampler(), pruner=pruner
    )
    number = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, told["number"])
    return optuna.trial.Trial(study, number)


def _hand_on(trial: Any, due: list[tuple[int, float]]) -> bool:
    """Report, and ask whether to stop."""
    if not due:
        return False
    known = trial.storage.get_trial(trial._trial_id).intermediate_values
    for step, value in due:
        if step not in known:
            trial.report(value, step)
    return bool(trial.should_prune())
