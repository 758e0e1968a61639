"""The loop of a sweep: ask, start, wait, tell, until there are as many trials as were asked for."""

import contextlib
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from arena.core import redact
from arena.core.console import duration, echo
from arena.core.errors import ArenaError, Interrupted
from arena.core.paths import quote_path
from arena.core.run import RunFolder, git_state, plain, versions, write_atomically
from arena.sweep import plan as plans
from arena.sweep import pool, space, storage
from arena.sweep.plan import Plan
from arena.sweep.result import TrialResult
from arena.sweep.study import Study

WAIT = 0.5
"""Seconds that one round waits for a trial to end."""
LISTED = 10
"""Trials that are listed at the end, the best ones first."""


def sweep(composed: DictConfig, arguments: list[str], launcher: Callable[[], Any] | None = None) -> None:
    """Run the missing trials of the sweep that a configuration and the overrides that are not Hydra's own describe.

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
        before = len(_over(study))
        total = "no fixed number of" if plan.total is None else str(plan.total)
        done = f", {before} of them done before" if before else ""
        echo(f"sweep {plan.study}: {total} trials{done}; in {_short(plan.folder)}")
        try:
            _run_missing(study, workers)
        except BaseException as error:
            with _undisturbed(), contextlib.suppress(ArenaError), storage.explained(plan.storage):
                _stop(study, workers, error)
            raise
        _print_end(study)
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


def _run_missing(study: Study, workers: Any) -> None:
    """Start trials in every free slot until none is missing and all are over."""
    plan, timeout = study.plan, study.plan.settings["timeout"]
    until = time.monotonic() + (timeout or math.inf)
    running = 0
    while True:
        _check_failures(study)
        while workers.free() > 0 and time.monotonic() < until and (asked := study.ask()) is not None:
            number, values = asked
            workers.submit(number, plan.overrides(values), plan.folder / str(number))
            running += 1
            echo(f"trial {number} started: {format_values(values)}")
        if not running and (time.monotonic() >= until or not study.others_run()):
            break
        if not running:  # what another controller has begun is tried again here where that controller is lost
            time.sleep(WAIT)
        for number, result in workers.finished(WAIT):
            running -= 1
            before = _best_number(study)
            result = study.record(number, result)
            echo(f"{format_result(number, result, _best_number(study) != before)}; {_progress(study)}")
    if time.monotonic() >= until and not study.full():
        echo(f"hydra.sweeper.timeout={timeout:g} seconds are over; the same command goes on")


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
        study.record(number, result, stopped=True)
    study.release()
    if isinstance(error, KeyboardInterrupt | Interrupted):
        over, total = len(_over(study)), study.plan.total
        echo(f"sweep {study.plan.study}: ends with {over}{_of(total)} trials; the same command goes on")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave trials running; stopping them takes no longer than their grace."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def format_result(number: int, result: TrialResult, best: bool) -> str:
    """`trial 3 complete in 12 s: 0.5000, best so far`."""
    values = " ".join(f"{value:.4f}" for value in result.values or []) if result.kind == "complete" else ""
    details = f": {values or result.reason}" if values or result.reason else ""
    mark = ", best so far" if best else ""
    return f"trial {number} {result.kind.replace('_', ' ')} in {duration(result.seconds)}{details}{mark}"


def format_values(values: dict[str, Any]) -> str:
    """`optim.lr=0.000123 loss.gamma=2`."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _progress(study: Study) -> str:
    """`5 of 20 trials, best 0.4321 (trial 3), about 12 min left`, by the mean time of a trial."""
    total, over, best = study.plan.total, _over(study), study.best()
    text = f"{len(over)}{_of(total)} trials"
    if best is not None:
        text += f", best {best.value:.4f} (trial {best.number})"
    if total is None or not over or len(over) >= total:
        return text
    mean = sum(trial.user_attrs.get("seconds", 0.0) for trial in over) / len(over)
    return f"{text}, about {duration((total - len(over)) * mean / study.plan.settings['n_jobs'])} left"


def _print_end(study: Study) -> None:
    """Print how the trials ended, the best of them, and where to look."""
    plan, best, counted = study.plan, study.best(), study.counted()
    kinds = Counter(trial.user_attrs.get("kind", trial.state.name.lower()) for trial in counted)
    ends = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(kinds.items()))
    echo(f"sweep {plan.study}: {ends}")
    sign = -1 if plan.directions[0] == "maximize" else 1
    complete = [trial for trial in counted if trial.state.name == "COMPLETE"]
    for trial in sorted(complete, key=lambda trial: sign * trial.values[0])[:LISTED]:
        values = " ".join(f"{value:10.4f}" for value in trial.values)
        echo(f"trial {trial.number:4} {values}  {format_values(trial.params)}")
    if best is not None and plan.grid is None:
        chosen = " ".join(each.override(best.params[each.name]) for each in plan.parameters)
        echo(f"best: trial {best.number}, {best.value:.6g} with {chosen}")
    echo(f"one page of it: python -m arena.report {_short(plan.folder)}")


def _best_number(study: Study) -> int | None:
    best = study.best()
    return None if best is None else best.number


def _over(study: Study) -> list[Any]:
    return [trial for trial in study.counted() if trial.state.is_finished()]


def _of(total: int | None) -> str:
    return "" if total is None else f" of {total}"


def _short(folder: Path) -> str:
    """The folder as it is shortest to type."""
    here = Path.cwd()
    return quote_path(folder.relative_to(here) if folder.is_relative_to(here) else folder)
