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
from arena.sweep import plan as plans
from arena.sweep import pool, progress, space, storage
from arena.sweep.plan import Plan
from arena.sweep.progress import Progress
from arena.sweep.result import TrialResult
from arena.sweep.study import Study

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
        UsageError, DataError, InputOutputError: it cannot begin; see `plan.read` and `Study`.
        ArenaError: too many trials failed.
        Interrupted: Ctrl-C or SIGTERM; the trials that ran were stopped and are tried again by the next call.
    """
    plan = plans.read(composed, space.split(arguments))
    run(plan, pool.pool_of(plan, composed, launcher))


def run(plan: Plan, workers: Any) -> Study:
    """Run the missing trials of a plan with a `Pool` or what stands for one; see `sweep`."""
    with RunFolder(plan.folder).locked(enabled=plan.own_file), storage.explained(plan.storage):
        study = Study(plan)
        write_plan(plan)
        before, best = study.counted(), study.best()
        total = "no fixed number of" if plan.total is None else str(plan.total)
        done = f", {len(before)} of them done before" if before else ""
        say(f"sweep {plan.study}: {total} trials{done}; in {_short(plan.folder)}")
        watch = Progress(plan.total, plan.directions, len(before), best and best.value)
        try:
            _run_missing(study, workers, watch)
        except BaseException as error:
            with _undisturbed(), contextlib.suppress(ArenaError), storage.explained(plan.storage):
                _stop(study, workers, error)
            raise
        _report(study)
    return study


def write_plan(plan: Plan) -> None:
    """Write `sweep.json` into the study's folder, for the report and for people; it holds no password."""
    names = ("study", "storage", "directions", "objectives", "mode", "monitor", "fixed", "command")
    known = {name: getattr(plan, name) for name in names}
    known |= {name: plan.settings[name] for name in ("sampler", "pruner", "n_jobs")}
    known |= {"params": plan.typed, "n_trials": plan.total, "enqueue": plan.starts}
    known |= {"versions": versions(), "git": git_state(Path(__file__).parent)}
    text = json.dumps(redact.node(plain(known)), indent=2, ensure_ascii=False)
    plan.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(plan.folder / "sweep.json", text + "\n")


def run_jobs(
    workers: Any,
    watch: Progress,
    following: Callable[[], Job | None],
    ended: Callable[[int, TrialResult], TrialResult | None],
) -> None:
    """Start trials in every free slot until none follows and all are over.

    Args:
        workers: a `Pool` or what stands for one.
        watch: prints what happens.
        following: the next trial, None where no more are to begin.
        ended: gets number and result of every trial; may return another result to print.
    """
    running = 0
    while True:
        while workers.free() > 0 and (job := following()) is not None:
            number, values, overrides, folder = job
            workers.submit(number, overrides, folder)
            running += 1
            watch.started(number, values)
        if not running:
            return
        for number, result in workers.finished(WAIT):
            running -= 1
            watch.finished(number, ended(number, result) or result)


def _run_missing(study: Study, workers: Any, watch: Progress) -> None:
    plan, timeout = study.plan, study.plan.settings["timeout"]
    until = time.monotonic() + timeout if timeout else float("inf")

    def following() -> Job | None:
        _check_failures(study)
        asked = study.ask() if time.monotonic() < until else None
        return asked and (*asked, plan.overrides(asked[1]), plan.folder / str(asked[0]))

    run_jobs(workers, watch, following, study.tell)
    if time.monotonic() >= until and not study.full():
        say(f"hydra.sweeper.timeout={timeout:g} seconds are over; the same command goes on")


def _check_failures(study: Study) -> None:
    """End the sweep where more trials failed than `max_failure_rate` allows.

    Raises:
        ArenaError: they did.
    """
    plan, failures = study.plan, study.failures()
    expected = plan.total or max(10, len(study.counted()))
    rate = plan.settings["max_failure_rate"]
    if len(failures) > rate * expected:
        last = failures[-1]
        raise ArenaError(
            f"{len(failures)} of {expected} trials failed, more than hydra.sweeper.max_failure_rate={rate:g} allows; "
            f"trial {last.number}: {last.user_attrs.get('reason')} (see {plan.folder / str(last.number)}); "
            "hydra.sweeper.retry_failed=true tries them again"
        )


def _stop(study: Study, workers: Any, error: BaseException) -> None:
    """Stop all trials; those that had not finished are tried again by the next call, however abruptly they ended."""
    for number, result in workers.stop():
        if result.kind in ("failed", "timeout", "preempted"):
            result = replace(result, kind="preempted", reason="stopped with its sweep")
        study.tell(number, result, stopped=True)
    study.release()
    if isinstance(error, KeyboardInterrupt | Interrupted):
        over = sum(trial.state.is_finished() for trial in study.counted())
        of_all = "" if study.plan.total is None else f" of {study.plan.total}"
        say(f"sweep {study.plan.study}: ends with {over}{of_all} trials; the same command goes on")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave trials running; stopping them takes no longer than their grace."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(study: Study) -> None:
    """Print how the trials ended, and the best of them."""
    plan, best, counted = study.plan, study.best(), study.counted()
    kinds = Counter(trial.user_attrs.get("kind", trial.state.name.lower()) for trial in counted)
    ends = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(kinds.items()))
    say(f"sweep {plan.study}: {ends}")
    complete = [trial for trial in counted if trial.state.name == "COMPLETE"]
    order = -1 if plan.directions[0] == "maximize" else 1
    progress.print_best(sorted(complete, key=lambda trial: order * trial.values[0]), plan.objectives)
    if best is not None and plan.grid is None:
        chosen = " ".join(each.override(best.params[each.name]) for each in plan.parameters)
        say(f"best: trial {best.number}, {best.value:.6g} with {chosen}")
    say(f"one page of it: python -m arena.report {_short(plan.folder)}")


def _short(folder: Path) -> str:
    """The folder as it is shortest to type."""
    here = Path.cwd()
    return shown(folder.relative_to(here) if folder.is_relative_to(here) else folder)
