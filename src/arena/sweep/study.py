"""The study of a sweep in Optuna's storage: opened and checked, asked for trials, told how they ended.

A trial counts towards the total while it runs and once it is complete, pruned or failed for good, but not where another
trial tries the same again (`retry_of`). So a sweep that is stopped, killed or resumed, also one of several controllers,
ends with exactly as many as were asked for.
"""

import contextlib
import json
import math
import threading
import time
import warnings
from dataclasses import replace
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, UsageError
from arena.sweep import samplers, storage
from arena.sweep.plan import Plan
from arena.sweep.result import TrialResult, read_trial_result

FAILURES = ("failed", "diverged", "out_of_memory", "timeout")
RETRIES = 3
"""Times that a trial may be preempted from outside before it counts as failed."""
IDENTITY = "arena"
"""User attribute of the study: `Plan.identity`, to be equal whenever it is resumed."""


class Study:
    """The open study of a plan; trials of a controller that is gone are settled.

    Raises:
        UsageError: it exists and must not, is another sweep, or its folder holds runs of a study that is gone.
        DataError, InputOutputError: its database is damaged, locked or out of reach.
    """

    def __init__(self, plan: Plan) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.plan = plan
        self.running: dict[int, int] = {}
        with storage.alone(plan.storage):
            heartbeat = None if plan.own_file else plan.settings["heartbeat"]
            self.storage = storage.open_storage(plan.storage, heartbeat, lambda _, trial: self._retry(trial))
            known = plan.study in optuna.get_all_study_names(self.storage)
            if not known:
                _refuse_leftovers(plan)
            self.study = optuna.create_study(
                study_name=plan.study,
                storage=self.storage,
                sampler=samplers.sampler(plan.settings["sampler"]),
                pruner=samplers.pruner(plan.settings["pruner"]),  # some samplers ask it for its brackets
                directions=plan.directions,  # pyright: ignore[reportArgumentType]
                load_if_exists=True,
            )
            if known:
                check_same_sweep(self.study, plan)
            self.study.set_user_attr(IDENTITY, plan.identity())
            self._fill_queue()
            self._recover()
            if plan.settings["retry_failed"]:
                for trial in self.failures():
                    self._retry(trial)
        if self.storage.get_heartbeat_interval() is not None:
            threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def trials(self) -> list[Any]:
        """Every trial of the study, in the order of the numbers."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[Any]:
        """The trials that count towards the total."""
        trials = self.trials()
        retried = {trial.user_attrs.get("retry_of") for trial in trials}
        started = [trial for trial in trials if trial.state.name != "WAITING" and trial.number not in retried]
        # Until 0085 a controller withdrew a trial beyond the total.
        return [trial for trial in started if trial.user_attrs.get("kind") != "withdrawn"]

    def failures(self) -> list[Any]:
        """Those of the counted trials that failed."""
        return [trial for trial in self.counted() if trial.user_attrs.get("kind") in FAILURES]

    def best(self) -> Any:
        """The best complete trial; None without one, and where several objectives have no single best."""
        complete = [trial for trial in self.trials() if trial.state.name == "COMPLETE"]
        return self.study.best_trial if complete and len(self.plan.directions) == 1 else None

    def full(self) -> bool:
        """True once there are as many trials as were asked for."""
        return self.plan.total is not None and len(self.counted()) >= self.plan.total

    def others_run(self) -> bool:
        """True while trials of other controllers run, whose heartbeats would tell if they were lost."""
        running = {trial.number for trial in self.trials() if trial.state.name == "RUNNING"}
        return self.storage.get_heartbeat_interval() is not None and bool(running - self.running.keys())

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Number and values of the next trial; None where no more are needed."""
        distributions = {each.name: each.distribution for each in self.plan.parameters}
        with storage.alone(self.plan.storage), warnings.catch_warnings(action="ignore"):
            if not self.plan.own_file:
                self._recover()
            if self.full() or (self.plan.grid is not None and self._queue_is_empty()):
                return None
            trial = self.study.ask(distributions)
            self.running[trial.number] = trial._trial_id
            if not self.plan.own_file:
                self.storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr("folder", str(trial.number))
        return trial.number, trial.params

    def record(self, number: int, result: TrialResult, stopped: bool = False) -> TrialResult:
        """Record how a trial ended and return the result that was recorded; `stopped`: by the sweep itself."""
        frozen = self.trials()[number]
        if frozen.state.is_finished():
            return result
        if result.kind == "complete" and not all(map(math.isfinite, result.values or [math.nan])):
            result = replace(result, kind="failed", values=None, reason=f"no finite value: {result.values}")
        if result.kind == "preempted":
            before = frozen.user_attrs.get("preempted", 0)
            if not stopped and before >= RETRIES:
                result = replace(result, kind="failed", reason=f"preempted {RETRIES + 1} times ({result.reason})")
            else:
                self._retry(frozen, preempted=before + (not stopped))
        state = {"complete": "COMPLETE", "pruned": "PRUNED"}.get(result.kind, "FAIL")
        self._finish(number, state, result, kind=result.kind, stopped=stopped)
        return result

    def release(self) -> None:
        """Settle the trials that this controller asked for and does not run any more."""
        for number in list(self.running):
            self.record(number, self._left_behind(number), stopped=True)

    def _recover(self) -> None:
        """Settle the trials that were left RUNNING by a controller that is gone.

        The lock of a study's own folder says at once that it is: what had finished is recorded, all else is tried
        again. In a database of several controllers the heartbeats say it, and lost trials are tried again.
        """
        import optuna

        if not self.plan.own_file:
            with warnings.catch_warnings(action="ignore"):  # experimental
                optuna.storages.fail_stale_trials(self.study)
            return
        for trial in self.trials():
            if trial.state.name == "RUNNING":
                self.record(trial.number, self._left_behind(trial.number), stopped=True)

    def _left_behind(self, number: int) -> TrialResult:
        return read_trial_result(self.plan.folder / str(number), None, self.plan.objectives)

    def _fill_queue(self) -> None:
        """Enqueue the starting points and the combinations of a grid that are not there yet."""
        there = {_key(trial.system_attrs.get("fixed_params", trial.params)) for trial in self.trials()}
        for values in [*self.plan.starts, *(self.plan.grid or [])[: self.plan.total]]:
            if _key(values) not in there:
                self.study.enqueue_trial(values)

    def _queue_is_empty(self) -> bool:
        return not any(trial.state.name == "WAITING" for trial in self.trials())

    def _retry(self, trial: Any, preempted: int = 0) -> None:
        """Enqueue the same values once more, unless that was done already."""
        if all(other.user_attrs.get("retry_of") != trial.number for other in self.trials()):
            values = trial.params or trial.system_attrs.get("fixed_params", {})
            attributes = {"retry_of": trial.number} | ({"preempted": preempted} if preempted else {})
            self.study.enqueue_trial(values, user_attrs=attributes)

    def _finish(self, number: int, state: str, result: TrialResult, **attributes: Any) -> None:
        """Attributes first: a trial that is finished can get no more."""
        from optuna.trial import TrialState

        trial_id = self.trials()[number]._trial_id
        known = {"reason": result.reason, "exit_code": result.exit_code, "seconds": round(result.seconds, 3)}
        for name, value in (known | attributes).items():
            if value is not None and value is not False:  # every attribute is a transaction
                self.storage.set_trial_user_attr(trial_id, name, value)
        values = result.values if state == "COMPLETE" else None
        with warnings.catch_warnings(action="ignore"):
            self.study.tell(number, values, state=TrialState[state], skip_if_finished=True)
        self.running.pop(number, None)

    def _beat(self) -> None:
        """Record heartbeats of the trials of this controller, also while a launcher of Hydra runs a batch."""
        while True:
            time.sleep(self.storage.get_heartbeat_interval())
            with contextlib.suppress(Exception):  # the next statement of the sweep itself says what is wrong
                for trial_id in list(self.running.values()):
                    self.storage.record_heartbeat(trial_id)


def check_same_sweep(study: Any, plan: Plan) -> None:
    """Refuse to go on with a stored study that is not the same sweep.

    Raises:
        UsageError: other parameters, directions, objectives or settings, or `resume=false`.
        DataError: a study that arena did not make.
    """
    here, other = f"study {plan.study} in {redact.text(plan.storage)}", "choose another study=NAME"
    if not plan.settings["resume"]:
        raise UsageError(f"{here}: it exists; {other}, or hydra.sweeper.resume=true to go on with it")
    before = study.user_attrs.get(IDENTITY)
    if before is None and study.get_trials(deepcopy=False):
        raise DataError(f"{here}: a study that arena did not make; {other}")
    directions = [direction.name.lower() for direction in study.directions]
    if change := _changed(before and {"directions": directions, **before}, plan):
        raise UsageError(f"{here}: {change}; {other}")


def _changed(before: dict[str, Any] | None, plan: Plan) -> str | None:
    """The first difference between a stored identity and the plan."""
    if before is None:
        return None
    now = plan.identity()
    if before["directions"] != plan.directions:
        return f"it was begun to {', '.join(before['directions'])}, now it is {', '.join(plan.directions)}"
    if before["objectives"] != now["objectives"]:
        return f"it was begun with objectives {before['objectives']}"
    for name in sorted(before["params"] | now["params"]):
        old, new = before["params"].get(name), now["params"].get(name)
        if old is None or new is None:
            return f"{'it does not search' if old is None else 'it also searches'} {name}"
        if old["distribution"] != new["distribution"]:
            return f"it searches {name}={old['typed']}, not {new['typed']}"
    changed = sorted(set(before["fixed"]) ^ set(now["fixed"]))
    return f"its trials ran with other settings ({', '.join(changed)})" if changed else None


def _refuse_leftovers(plan: Plan) -> None:
    runs = [path for path in plan.folder.glob("*") if path.name.isdigit()]
    if runs:
        raise UsageError(
            f"{plan.folder}: it holds runs ({len(runs)}) of which the study {plan.study} knows nothing; "
            "choose another study=NAME, or move them away"
        )


def _key(values: dict[str, Any]) -> str:
    """Values as text that tells 1, 1.0 and true apart."""
    return json.dumps(values, sort_keys=True)
