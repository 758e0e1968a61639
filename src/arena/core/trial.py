"""What a run knows of the sweep that started it, and how it speaks with the sweep's storage.

Nothing heavy is imported here, and Optuna only in a trial that may be pruned, in a thread of its own.
"""

import contextlib
import logging
import queue
import threading
from typing import Any

from arena.core.construct import instantiate

log = logging.getLogger("arena")

TRIAL = "ARENA_TRIAL"
"""The variable that tells a process which trial it is; written by `arena.sweep.process.trial_variables`."""


def reported(told: dict[str, Any], monitor: str) -> str | None:
    """The logged value that stands for the objective of a trial, None where there is nothing to prune.

    Args:
        told: content of ARENA_TRIAL.
        monitor: name of the monitored value.
    """
    if not told.get("storage") or pruner_name(told) in ("", "NopPruner"):
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


def pruner_name(told: dict[str, Any]) -> str:
    """`MedianPruner`, or nothing."""
    return (told.get("pruner") or {}).get("_target_", "").rpartition(".")[2]


class Reporter(threading.Thread):
    """Speaks with the sweep's storage. All of it happens in this thread, so that the training never hangs on it.

    Args:
        told: content of ARENA_TRIAL.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(daemon=True, name="sweep")
        self.told = told
        self._reports: queue.SimpleQueue[tuple[int, float, threading.Event] | None] = queue.SimpleQueue()
        self._stop_training = False
        self._troubles: dict[str, bool] = {}

    def ask(self, step: int, value: float, seconds: float) -> bool:
        """Report a value; whether the trial should stop, as far as it is known after `seconds`."""
        answered = threading.Event()
        self._reports.put((step, value, answered))
        if not answered.wait(seconds):
            self._complain("the sweep's storage is slow to answer; a decision to prune may come late")
        return self._stop_training

    def troubles(self) -> list[str]:
        """What went wrong since the last call, each kind once."""
        found = [text for text, told in list(self._troubles.items()) if not told]
        self._troubles |= dict.fromkeys(found, True)
        return found

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._reports.put(None)

    def run(self) -> None:
        """Hand on what is reported; after an error all of it is tried again with the next report."""
        trial: Any = None
        due: dict[int, float] = {}
        with contextlib.suppress(Exception):  # early, as it takes a while; what fails is tried again and told below
            trial = opened(self.told)
        while (report := self._reports.get()) is not None:
            step, due[step], answered = report
            try:
                trial = trial or opened(self.told)
                known = trial.storage.get_trial(trial._trial_id).intermediate_values
                for each in due.keys() - known:
                    trial.report(due[each], each)
                self._stop_training |= bool(trial.should_prune())
                due.clear()
            except Exception as error:  # whatever a database can come up with
                self._complain(f"the sweep's storage: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
            answered.set()

    def _complain(self, text: str) -> None:
        self._troubles.setdefault(text, False)


def opened(told: dict[str, Any]) -> Any:
    """The `optuna.trial.Trial` of this process, with the pruner of its sweep."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The parameters are chosen already: any sampler will do, and this one needs no history.
    sampler, pruner = optuna.samplers.RandomSampler(), instantiate(told["pruner"])
    study = optuna.load_study(study_name=told["study"], storage=told["storage"], sampler=sampler, pruner=pruner)
    number = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, told["number"])
    return optuna.trial.Trial(study, number)
