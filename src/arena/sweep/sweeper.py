"""The loop of a sweep: ask, start, wait, tell, until there are as many trials as were asked for."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig

from arena.core import redact
from arena.core.console import say
from arena.core.errors import ArenaError, Interrupted
from arena.core.paths import shown
from arena.core.run import RunFolder, git_state, plain, versions, write_atomically
from arena.sweep import identity, storage, workers
from arena.sweep import plan as plans
from arena.sweep import study as studies
from arena.sweep.outcome import Outcome
from arena.sweep.plan import Plan
from arena.sweep.study import Study
from arena.sweep.table import Watch

WAIT = 0.5
"""Seconds that one round waits for a trial to end."""
STOPPED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130, 143)
"""Exit codes of a trial that was stopped and did not fail in its own way."""


class Workers(Protocol):
    """What the loop needs of `arena.sweep.pool.Pool`."""

    def free(self) -> int:
        """How many more trials can start now."""
        ...

    def submit(self, number: int, overrides: list[str], folder: str | Path) -> Any:
        """Start a trial."""
        ...

    def finished(self, wait: float = 0.0) -> list[tuple[int, Outcome]]:
        """The trials that ended since the last call."""
        ...

    def stop(self) -> list[tuple[int, Outcome]]:
        """Stop all trials."""
        ...


def sweep(composed: DictConfig, arguments: list[str], launcher: Callable[[], Any] | None = None) -> None:
    """Run the trials that are missing of the sweep that a command line describes.

    Args:
        composed: the configuration, with Hydra's part.
        arguments: the overrides that are not Hydra's own.
        launcher: makes the launcher that the configuration chooses.

    Raises:
        UsageError, DataError, InputOutputError: it cannot begin; see `plan.read` and `identity.check`.
        ArenaError: too many trials failed.
        Interrupted: Ctrl-C or SIGTERM; the trials that ran were stopped and are tried again by the next call.
    """
    plan = plans.read(composed, arguments)
    run(plan, workers.of(plan, composed, launcher))


def run(plan: Plan, trials: Workers) -> Study:
    """Run the missing trials of a plan with these workers; see `sweep`."""
    identity.check(plan)
    with RunFolder(plan.folder).locked(enabled=plan.own_file), storage.explained(plan.storage):
        write_plan(plan)
        study = Study.open(plan)
        _greet(study)
        try:
            with _watch(study) as watch:
                _loop(study, trials, watch)
        except BaseException as error:
            with _undisturbed(), contextlib.suppress(ArenaError), storage.explained(plan.storage):
                for number, outcome in trials.stop():
                    study.tell(number, _stopped(outcome), stopped=True)
                study.recover(own=True)
                if isinstance(error, KeyboardInterrupt | Interrupted):
                    _part(study)
            raise
        _conclude(study)
    return study


def write_plan(plan: Plan) -> None:
    """`sweep.json` in the study's folder: what the sweep does, for the report and for people. Holds no password."""
    settings = plan.settings
    known = {
        "study": plan.study,
        "storage": plan.storage,
        "directions": plan.directions,
        "objectives": plan.objectives,
        "mode": plan.mode,
        "monitor": plan.monitor,
        "sampler": settings["sampler"],
        "pruner": settings["pruner"],
        "params": plan.typed,
        "fixed": plan.fixed,
        "n_trials": plan.total,
        "n_jobs": settings["n_jobs"],
        "enqueue": plan.starts,
        "command": plan.command,
        "versions": versions(),
        "git": git_state(Path(__file__).parent),
    }
    write_atomically(
        plan.folder / "sweep.json", json.dumps(redact.node(plain(known)), indent=2, ensure_ascii=False) + "\n"
    )


def _loop(study: Study, trials: Workers, watch: Watch) -> None:
    plan = study.plan
    until = time.monotonic() + plan.settings["timeout"] if plan.settings["timeout"] else None
    running: dict[int, dict[str, Any]] = {}
    _check_failures(study)
    while True:
        while trials.free() > 0 and (until is None or time.monotonic() < until):
            asked = study.ask()
            if asked is None:
                break
            number, values = asked
            running[number] = values
            trials.submit(number, plan.overrides(values), plan.folder / str(number))
            watch.started(number, values)
        if not running:
            break
        for number, outcome in trials.finished(WAIT):
            del running[number]
            outcome = study.tell(number, outcome)
            watch.finished(number, outcome)
            if outcome.kind in studies.FAILURES:
                _check_failures(study)
        for number in running:
            watch.progress(number, plan.folder / str(number))
        study.beat(list(running))
    if until is not None and time.monotonic() >= until and not study.full():
        watch.note(f"hydra.sweeper.timeout={plan.settings['timeout']:g} seconds are over; the same command goes on")


def _check_failures(study: Study) -> None:
    """End the sweep where more trials failed than `max_failure_rate` allows.

    Raises:
        ArenaError: they did.
    """
    plan, failures = study.plan, study.failures()
    whole = plan.total or max(10, len(study.counted()))
    rate = plan.settings["max_failure_rate"]
    if len(failures) > rate * whole:
        last = failures[-1]
        raise ArenaError(
            f"{len(failures)} of {whole} trials failed, more than hydra.sweeper.max_failure_rate={rate:g} allows; "
            f"trial {last.number}: {last.user_attrs.get('reason')} (see {plan.folder / str(last.number)}); "
            "hydra.sweeper.retry_failed=true tries them again"
        )


def _stopped(outcome: Outcome) -> Outcome:
    """A trial that its sweep stopped is tried again, however abruptly it ended."""
    if outcome.kind in ("failed", "timeout", "preempted") and outcome.exit_code in STOPPED:
        return replace(outcome, kind="preempted", reason="stopped with its sweep")
    return outcome


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave trials running; stopping them takes no longer than their grace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- what is said -----------------------------------------------------------------------------------------------------


def _watch(study: Study) -> Watch:
    """The table of the trials, which knows those of earlier calls."""
    plan, before = study.plan, study.counted()
    best = _best(study)
    return Watch(plan.total, plan.directions, plan.objectives, len(before), best.value if best else None)


def _greet(study: Study) -> None:
    plan, done = study.plan, len(study.counted())
    total = "no fixed number of" if plan.total is None else str(plan.total)
    before = f", {done} of them done before" if done else ""
    say(f"sweep {plan.study}: {total} trials{before}; in {_shown(plan.folder)}")


def _best(study: Study) -> Any:
    """The best complete trial of a single objective, None where there is none."""
    complete = [trial for trial in study.counted() if trial.state.name == "COMPLETE"]
    if not complete or len(study.plan.directions) > 1:
        return None
    choose = min if study.plan.directions == ["minimize"] else max
    return choose(complete, key=lambda trial: trial.value)


def _part(study: Study) -> None:
    """What a sweep that ends before its time leaves behind."""
    over = [trial for trial in study.counted() if trial.state.is_finished()]
    total = "" if study.plan.total is None else f" of {study.plan.total}"
    say(f"sweep {study.plan.study}: ends with {len(over)}{total} trials; the same command goes on")


def _conclude(study: Study) -> None:
    plan = study.plan
    kinds: dict[str, int] = {}
    for trial in study.counted():
        kind = str(trial.user_attrs.get("kind", trial.state.name.lower())).replace("_", " ")
        kinds[kind] = kinds.get(kind, 0) + 1
    say(f"sweep {plan.study}: " + ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())))
    best = _best(study)
    if best is not None and plan.grid is None:
        chosen = " ".join(each.override(best.params[each.name]) for each in plan.parameters)
        say(f"best: trial {best.number}, {best.value:.6g} with {chosen}")
    say(f"one page of it: python -m arena.report {_shown(plan.folder)}")


def _shown(folder: Path) -> str:
    """The folder as it is shortest to type."""
    here = Path.cwd()
    return shown(folder.relative_to(here) if folder.is_relative_to(here) else folder)
