"""The loop of a sweep: ask, start, wait, tell, until there are as many trials as were asked for."""

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from arena.core import redact
from arena.core.console import say
from arena.core.errors import ArenaError, Interrupted
from arena.core.paths import shown
from arena.core.run import RunFolder, git_state, plain, versions, write_atomically
from arena.sweep import identity, space, storage, workers
from arena.sweep import plan as plans
from arena.sweep.outcome import Outcome
from arena.sweep.plan import Plan
from arena.sweep.study import Study
from arena.sweep.table import Watch

WAIT = 0.5
"""Seconds that one round waits for a trial to end."""
Job = tuple[int, dict[str, Any], list[str], Path]
"""Number, values for people, overrides and folder of a trial."""


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
    plan = plans.read(composed, space.split(arguments))
    run(plan, workers.of(plan, composed, launcher))


def run(plan: Plan, trials: Any) -> Study:
    """Run the missing trials of a plan with a `Pool` or what stands for one; see `sweep`."""
    identity.check(plan)
    with RunFolder(plan.folder).locked(enabled=plan.own_file), storage.explained(plan.storage):
        write_plan(plan)
        study = Study.open(plan)
        before, best = study.counted(), _best(study)
        total = "no fixed number of" if plan.total is None else str(plan.total)
        done = f", {len(before)} of them done before" if before else ""
        say(f"sweep {plan.study}: {total} trials{done}; in {_shown(plan.folder)}")
        try:
            with Watch(
                plan.total, plan.directions, plan.objectives, len(before), best and best.value, plan.monitor, plan.mode
            ) as watch:
                _run_missing(study, trials, watch)
        except BaseException as error:
            with _undisturbed(), contextlib.suppress(ArenaError), storage.explained(plan.storage):
                for number, outcome in trials.stop():
                    if outcome.kind in ("failed", "timeout", "preempted"):  # tried again, however abruptly it ended
                        outcome = replace(outcome, kind="preempted", reason="stopped with its sweep")
                    study.tell(number, outcome, stopped=True)
                study.recover(own=True)
                if isinstance(error, KeyboardInterrupt | Interrupted):
                    over = sum(trial.state.is_finished() for trial in study.counted())
                    of_all = "" if plan.total is None else f" of {plan.total}"
                    say(f"sweep {plan.study}: ends with {over}{of_all} trials; the same command goes on")
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
    text = json.dumps(redact.node(plain(known)), indent=2, ensure_ascii=False)
    write_atomically(plan.folder / "sweep.json", text + "\n")


def drive(
    trials: Any,
    watch: Watch,
    following: Callable[[], Job | None],
    ended: Callable[[int, Outcome], Outcome | None],
    beat: Callable[[list[int]], None] = lambda running: None,
) -> None:
    """Start trials where there is room until none follows and all are over.

    Args:
        trials: a `Pool` or what stands for one.
        watch: is told what happens.
        following: the next trial, None where no more are to begin.
        ended: gets number and outcome of every trial; returns another outcome where that is to be shown.
        beat: gets the numbers that run, in every round.
    """
    running: dict[int, Path] = {}
    while True:
        while trials.free() > 0 and (job := following()) is not None:
            number, values, overrides, folder = job
            trials.submit(number, overrides, folder)
            running[number] = folder
            watch.started(number, values)
        if not running:
            return
        for number, outcome in trials.finished(WAIT):
            del running[number]
            watch.finished(number, ended(number, outcome) or outcome)
        for number, folder in running.items():
            watch.progress(number, folder)
        beat(list(running))


def _run_missing(study: Study, trials: Any, watch: Watch) -> None:
    plan, timeout = study.plan, study.plan.settings["timeout"]
    until = time.monotonic() + timeout if timeout else float("inf")

    def following() -> Job | None:
        _check_failures(study)
        asked = study.ask() if time.monotonic() < until else None
        return asked and (*asked, plan.overrides(asked[1]), plan.folder / str(asked[0]))

    drive(trials, watch, following, study.tell, study.beat)
    if time.monotonic() >= until and not study.full():
        watch.note(f"hydra.sweeper.timeout={timeout:g} seconds are over; the same command goes on")


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


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave trials running; stopping them takes no longer than their grace."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _best(study: Study) -> Any:
    """The best complete trial of a single objective, None where there is none."""
    with contextlib.suppress(ValueError, RuntimeError):  # Optuna's words for none, and for several objectives
        return study.study.best_trial
    return None


def _conclude(study: Study) -> None:
    plan, best = study.plan, _best(study)
    kinds = Counter(trial.user_attrs.get("kind", trial.state.name.lower()) for trial in study.counted())
    ends = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(kinds.items()))
    say(f"sweep {plan.study}: {ends}")
    if best is not None and plan.grid is None:
        chosen = " ".join(each.override(best.params[each.name]) for each in plan.parameters)
        say(f"best: trial {best.number}, {best.value:.6g} with {chosen}")
    say(f"one page of it: python -m arena.report {_shown(plan.folder)}")


def _shown(folder: Path) -> str:
    """The folder as it is shortest to type."""
    here = Path.cwd()
    return shown(folder.relative_to(here) if folder.is_relative_to(here) else folder)
