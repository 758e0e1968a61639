"""A run as a trial of a sweep: its variables, and reports to the sweep's storage.

Nothing heavy is imported here, and Optuna only in a trial that may be pruned, in a thread of its own.
"""

import logging
import threading
from typing import Any

from arena.core.construct import instantiate
from arena.core.errors import first_line

log = logging.getLogger("arena")

TRIAL = "ARENA_TRIAL"
"""The variable that identifies a trial to its process; written by `arena.sweep.process.trial_variables`."""


def reported_metric(trial: dict[str, Any], monitor: str) -> str | None:
    """The logged value that stands for the objective of a trial, None where there is nothing to prune.

    Args:
        trial: content of ARENA_TRIAL.
        monitor: name of the monitored value.
    """
    if not trial.get("storage") or pruner_name(trial) in ("", "NopPruner"):
        return None
    if len(trial["objectives"]) > 1:
        log.info("a sweep with several objectives cannot prune; every trial runs to its end")
        return None
    split, _, rest = trial["objectives"][0].partition(".")
    if split == "monitor":
        return monitor
    if split == "validation" and rest.endswith(".value"):
        return f"val/{rest.removesuffix('.value')}"
    log.info("the objective %s is known at the end only; every trial runs to its end", trial["objectives"][0])
    return None


def pruner_name(trial: dict[str, Any]) -> str:
    """`MedianPruner`, or nothing."""
    return (trial.get("pruner") or {}).get("_target_", "").rpartition(".")[2]


class Reporter:
    """Reports to the sweep's storage from threads of its own, so that the training never hangs on it.

    Args:
        trial: content of ARENA_TRIAL.
    """

    def __init__(self, trial: dict[str, Any]) -> None:
        self.prune = False
        self._trial = trial
        self._opened: Any = None
        self._due: dict[int, float] = {}
        self._lock = threading.Lock()
        self._warnings: dict[str, bool] = {}
        self._start()  # to open the storage takes a while

    def report(self, step: int, value: float, seconds: float) -> bool:
        """Report a value; True if the trial should be pruned, as far as that is known after `seconds`."""
        self._due[step] = value
        thread = self._start()
        thread.join(seconds)
        if thread.is_alive():
            self._warnings.setdefault("the sweep's storage is slow to answer; a decision to prune may come late", True)
        return self.prune

    def new_warnings(self) -> list[str]:
        """What went wrong since the last call, each kind once."""
        found = [text for text, new in list(self._warnings.items()) if new]
        self._warnings |= dict.fromkeys(found, False)
        return found

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._store, daemon=True, name="sweep")
        thread.start()
        return thread

    def _store(self) -> None:
        """Store what is due; after an error all of it is tried again with the next report."""
        with self._lock:
            try:
                self._opened = trial = self._opened or open_trial(self._trial)
                known = trial.storage.get_trial(trial._trial_id).intermediate_values
                due = dict(self._due)
                for step in due.keys() - known:
                    trial.report(due[step], step)
                self.prune |= bool(due) and bool(trial.should_prune())
                for step in due:
                    del self._due[step]
            except Exception as error:  # whatever a database can come up with
                if self._due:
                    self._warnings.setdefault(f"the sweep's storage: {first_line(error)}", True)


def open_trial(trial: dict[str, Any]) -> Any:
    """The `optuna.trial.Trial` of this process, with the pruner of its sweep."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The parameters are chosen already: any sampler will do, and this one needs no history.
    sampler, pruner = optuna.samplers.RandomSampler(), instantiate(trial["pruner"])
    study = optuna.load_study(study_name=trial["study"], storage=trial["storage"], sampler=sampler, pruner=pruner)
    trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, trial["number"])
    return optuna.trial.Trial(study, trial_id)
