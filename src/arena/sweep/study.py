"""The study of a sweep: Optuna's trials, how they are counted, asked for, finished, tried again and taken up later.

A trial counts towards the total while it runs and when it is complete, pruned or failed in its own way. It does not
count when another trial tries the same again (`retry_of`), nor when it was withdrawn because others had filled the
total. So a sweep that is stopped, killed or resumed ends with exactly as many counted trials as were asked for.
"""

import json
import math
import os
import socket
import time
import warnings
from dataclasses import replace
from typing import Any

from arena.core import heartbeat
from arena.sweep import identity, samplers, storage
from arena.sweep.outcome import Outcome, outcome_of
from arena.sweep.plan import Plan

FAILURES = ("failed", "diverged", "out_of_memory", "timeout")
RETRIES = 3
"""Times that a trial may be preempted from outside before it counts as failed."""


class Study:
    """An open study."""

    def __init__(self, study: Any, plan: Plan) -> None:
        self.study = study
        self.plan = plan
        self.controller = f"{socket.gethostname()}/{os.getpid()}"
        self._beaten = 0.0

    @classmethod
    def open(cls, plan: Plan) -> "Study":
        """Open the study, or make it with its starting points; trials that nobody runs any more are settled.

        Raises:
            DataError, InputOutputError: its database is foreign, damaged, locked or out of reach.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        plan.folder.mkdir(parents=True, exist_ok=True)
        connection = storage.connected(plan.storage, None if plan.own_file else plan.settings["heartbeat"])
        with storage.explained(plan.storage):
            study = optuna.create_study(
                study_name=plan.study,
                storage=connection,
                sampler=samplers.sampler(plan.settings["sampler"]),
                pruner=samplers.pruner(plan.settings["pruner"]),  # some samplers ask it for its brackets
                directions=plan.directions,  # pyright: ignore[reportArgumentType]
                load_if_exists=True,
            )
            if identity.RECORD not in study.user_attrs:
                study.set_user_attr(identity.RECORD, identity.record(plan))
            opened = cls(study, plan)
            for start in plan.starts:
                study.enqueue_trial(start, skip_if_exists=True)
            opened.recover()
            if plan.settings["retry_failed"]:
                for trial in opened.failures():
                    opened._again(trial)
        return opened

    # --- counting -----------------------------------------------------------------------------------------------------

    def trials(self) -> list[Any]:
        """Every trial of the study, in the order of the numbers."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[Any]:
        """The trials that count towards the total."""
        return _counted(self.trials())

    def failures(self) -> list[Any]:
        """Those of the counted trials that failed."""
        return [trial for trial in self.counted() if trial.user_attrs.get("kind") in FAILURES]

    def full(self) -> bool:
        """Whether there are as many trials as were asked for."""
        return self.plan.total is not None and len(self.counted()) >= self.plan.total

    # --- one trial ----------------------------------------------------------------------------------------------------

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Number and values of the next trial; None where no more are needed.

        Several controllers of one database may ask at the same time. Each number is given once, and a trial is seen by
        whoever gets a higher number; so the one whose predecessors fill the total withdraws its own, and the total is
        never exceeded.
        """
        with storage.alone(self.plan.storage):
            return self._ask()

    def _ask(self) -> tuple[int, dict[str, Any]] | None:
        if self.full() or (self.plan.grid is not None and not self._enqueue_next()):
            return None
        with warnings.catch_warnings(action="ignore"):
            trial = self.study.ask({each.name: each.distribution for each in self.plan.parameters})
        if self.study._storage.get_heartbeat_interval() is not None:
            self.study._storage.record_heartbeat(trial._trial_id)
        if not self.plan.own_file:
            trial.set_user_attr("controller", self.controller)
            if reason := self._surplus(trial):
                self._tell(trial.number, "FAIL", Outcome("failed", None, reason), kind="withdrawn")
                return None if self.plan.grid is None else self._ask()
        trial.set_user_attr("folder", str(trial.number))
        return trial.number, trial.params

    def tell(self, number: int, outcome: Outcome, stopped: bool = False) -> Outcome:
        """Record how a trial ended and return the outcome that was recorded.

        Args:
            number: of the trial.
            outcome: of its process.
            stopped: whether the sweep itself stopped it.
        """
        trial = self.trials()[number]
        if trial.state.is_finished():
            return outcome
        if outcome.kind == "complete" and not all(map(math.isfinite, outcome.values or [math.nan])):
            outcome = replace(outcome, kind="failed", values=None, reason=f"no finite value: {outcome.values}")
        if outcome.kind == "preempted":
            before = trial.user_attrs.get("preempted", 0)
            if not stopped and before >= RETRIES:
                reason = f"preempted {RETRIES + 1} times ({outcome.reason})"
                outcome = replace(outcome, kind="failed", reason=reason)
            else:
                self._again(trial, preempted=before + (not stopped))
        state = {"complete": "COMPLETE", "pruned": "PRUNED"}.get(outcome.kind, "FAIL")
        self._tell(number, state, outcome, kind=outcome.kind, stopped=stopped)
        return outcome

    def beat(self, numbers: list[int]) -> None:
        """Say now and then that these trials are alive; only studies of several machines need to be told."""
        interval = self.study._storage.get_heartbeat_interval()
        if interval is not None and time.monotonic() - self._beaten > interval:
            for trial in map(self.trials().__getitem__, numbers):
                self.study._storage.record_heartbeat(trial._trial_id)
            self._beaten = time.monotonic()

    def recover(self, own: bool = False) -> list[int]:
        """Settle the trials that were left RUNNING; returns their numbers.

        What a trial finished before its controller was killed is recorded; anything else is tried again.

        Args:
            own: settle those of this controller, which is about to end.
        """
        settled = []
        for trial in self.trials():
            mine = own and trial.user_attrs.get("controller") == self.controller
            if trial.state.name == "RUNNING" and (mine or self._lost(trial)):
                folder = self.plan.folder / str(trial.number)
                self.tell(trial.number, outcome_of(folder, None, self.plan.objectives), stopped=True)
                settled.append(trial.number)
        return settled

    # --- inside -------------------------------------------------------------------------------------------------------

    def _lost(self, trial: Any) -> bool:
        """Whether no living controller runs the trial. In a study of its own file the lock has answered that."""
        if self.plan.own_file:
            return True
        host, _, process = str(trial.user_attrs.get("controller", "")).partition("/")
        if host == socket.gethostname() and process.isdigit() and not heartbeat.runs(int(process)):
            return True
        return trial._trial_id in self.study._storage._get_stale_trial_ids(self.study._study_id)

    def _surplus(self, trial: Any) -> str | None:
        earlier = [other for other in self.counted() if other.number < trial.number]
        if self.plan.total is not None and len(earlier) >= self.plan.total:
            return "withdrawn: other controllers had filled the total"
        if self.plan.grid is not None and any(other.params == trial.params for other in earlier):
            return "withdrawn: another controller runs the same combination"
        return None

    def _enqueue_next(self) -> bool:
        """Put the first missing combination of the grid into the queue; False where none is missing."""
        trials = self.trials()
        if any(trial.state.name == "WAITING" for trial in trials):
            return True
        there = {_key(trial.params) for trial in _counted(trials)}
        missing = next((values for values in self.plan.grid or [] if _key(values) not in there), None)
        if missing is not None:
            self.study.enqueue_trial(missing)
        return missing is not None

    def _again(self, trial: Any, preempted: int = 0) -> None:
        """Enqueue the same values once more, unless that was done already."""
        if trial.number not in _retried(self.trials()):
            values = trial.params or trial.system_attrs.get("fixed_params", {})
            attributes = {"retry_of": trial.number} | ({"preempted": preempted} if preempted else {})
            self.study.enqueue_trial(values, user_attrs=attributes)

    def _tell(self, number: int, state: str, outcome: Outcome, **attributes: Any) -> None:
        """Attributes first: a trial that is finished can get no more."""
        from optuna.trial import TrialState

        known = {"reason": outcome.reason, "exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 3)}
        for name, value in (known | attributes).items():
            if value is not None and value is not False:  # every attribute is a transaction
                self.study._storage.set_trial_user_attr(self.trials()[number]._trial_id, name, value)
        values = outcome.values if state == "COMPLETE" else None
        with warnings.catch_warnings(action="ignore"):
            self.study.tell(number, values, state=TrialState[state], skip_if_finished=True)


def _counted(trials: list[Any]) -> list[Any]:
    again = _retried(trials)
    return [
        trial
        for trial in trials
        if trial.number not in again and trial.state.name != "WAITING" and trial.user_attrs.get("kind") != "withdrawn"
    ]


def _retried(trials: list[Any]) -> set[int]:
    """Numbers of the trials that others try again."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def _key(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
