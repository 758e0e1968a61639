"""What a run knows of the sweep that started it, and how it speaks with the sweep's storage.

Nothing heavy is imported here, and Optuna only in a trial that may be pruned, in a thread of its own.
"""

import logging
import threading
from typing import Any

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
    options = {key: value for key, value in told["pruner"].items() if key != "_target_"}
    pruner = getattr(optuna.pruners, pruner_name(told))(**options)
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
