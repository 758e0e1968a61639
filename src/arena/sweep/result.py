"""How a trial ended, by its `result.json`, its exit code and the tail of its output."""

import math
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from arena.core.errors import ArenaError, InputOutputError
from arena.core.heartbeat import KILLED
from arena.core.run import RunFolder

Kind = Literal["complete", "pruned", "diverged", "out_of_memory", "preempted", "failed", "timeout"]

OUTPUT = "trial.log"
"""Standard output and error of a trial, in its folder."""
BY_EXIT_CODE: dict[int | None, Kind] = {
    76: "diverged",
    77: "out_of_memory",
    130: "preempted",
    143: "preempted",
    -signal.SIGINT: "preempted",
    -signal.SIGTERM: "preempted",
}
"""Exit codes of arena.train; a negative one is the signal that ended the process."""


@dataclass(frozen=True)
class TrialResult:
    """The end of one trial.

    Attributes:
        kind: preempted: stopped by SIGTERM, Ctrl-C or with its sweep, worth another try; failed: anything else.
        values: the objectives in their order; of a pruned trial the best monitored value; None where there are none.
        reason: one line, None for a complete trial.
        exit_code: negative for a signal, None if nobody saw the process end.
        seconds: wall time of the process, or of what `result.json` knows; 0 if unknown.
    """

    kind: Kind
    values: list[float] | None = None
    reason: str | None = None
    exit_code: int | None = None
    seconds: float = 0.0


def read_trial_result(folder: str | Path, exit_code: int | None, objectives: list[str]) -> TrialResult:
    """Read how a trial ended from its run folder; `exit_code` is None where nobody saw the process end.

    A `result.json` that says complete or pruned is believed whatever happened to the process afterwards.
    """
    try:
        result = RunFolder(folder).read_result()
    except InputOutputError as error:
        return TrialResult("failed", None, str(error), exit_code)
    took = result.get("time") or {}
    seconds = math.fsum(_finite(took.get(part)) or 0.0 for part in ("setup", "fit", "test"))
    return replace(_end(Path(folder), result, exit_code, objectives), exit_code=exit_code, seconds=seconds)


def _end(folder: Path, result: dict[str, Any], exit_code: int | None, objectives: list[str]) -> TrialResult:
    status, reason = result.get("status"), result.get("reason")
    if status in ("completed", "stopped_early"):
        values = {name: objective(result, name) for name in objectives}
        if missing := ", ".join(name for name, value in values.items() if value is None):
            return TrialResult("failed", None, f"result.json has no finite value of {missing}")
        return TrialResult("complete", [value for value in values.values() if value is not None])
    if status == "pruned":
        best = objective(result, "monitor")
        return TrialResult("pruned", None if best is None else [best], reason)
    known = None if reason is None or str(reason).startswith(KILLED) else str(reason)
    kind = BY_EXIT_CODE.get(exit_code, "failed")
    if status in ("diverged", "preempted"):
        kind = status
    elif exit_code is None:  # killed with its sweep, or it had failed before
        kind = "preempted" if known is None else "out_of_memory" if known.startswith("out of memory") else "failed"
    return TrialResult(kind, None, known or _reason(folder, exit_code))


def objective(result: dict[str, Any], name: str) -> float | None:
    """The value of one objective in a `result.json`, None where it is absent or not finite.

    `monitor` is the best validation value of the monitor; another name is a dotted path (`validation.macro_f1.value`).

    Raises:
        ArenaError: the path leads to the test split, on which nothing may be chosen.
    """
    if name == "monitor":
        return _finite(result.get("monitor", {}).get("value"))
    if "test" in name.split("."):
        raise ArenaError(f"objective {name}: nothing may be chosen by the test split; use validation")
    found: Any = result
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return _finite(found)


def _reason(folder: Path, exit_code: int | None) -> str:
    """The signal that ended a trial, the last error line of its output (`arena: ...`) or simply the last one."""
    if exit_code is None:
        return "the sweep ended while it ran"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        return f"killed by {name}" + (" (by hand, or by the system for want of memory)" if name == "SIGKILL" else "")
    path = folder / OUTPUT
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("arena: ") for line in lines if line.startswith("arena: ")]
    chosen = errors or lines
    return re.sub(r"\x1b\[[0-9;]*m", "", chosen[-1])[:300] if chosen else f"exit code {exit_code}"


def _finite(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None
