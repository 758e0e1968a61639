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
BY_EXIT_CODE: dict[int, Kind] = {
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
    if status == "diverged" or exit_code == 76:
        return TrialResult("diverged", None, known or last_line(folder))
    if exit_code is None:
        if status != "failed" or known is None:
            return TrialResult("preempted", None, known or "the sweep ended while it ran")
        return TrialResult("out_of_memory" if known.startswith("out of memory") else "failed", None, known)
    by_signal, code = killed(exit_code), f"exit code {exit_code}"
    if exit_code in BY_EXIT_CODE or status == "preempted":
        kind = BY_EXIT_CODE.get(exit_code, "preempted")
        return TrialResult(kind, None, known or last_line(folder) or by_signal or code)
    return TrialResult("failed", None, known or by_signal or last_line(folder) or code)


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


def last_line(folder: str | Path) -> str | None:
    """The last error line of a trial's output (`arena: ...`), or simply its last line."""
    path = Path(folder) / OUTPUT
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("arena: ") for line in lines if line.startswith("arena: ")]
    chosen = errors or lines
    return re.sub(r"\x1b\[[0-9;]*m", "", chosen[-1])[:300] if chosen else None


def killed(exit_code: int) -> str | None:
    """`killed by SIGKILL`, for the exit code of a process that a signal ended."""
    if exit_code >= 0:
        return None
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    hint = " (by hand, or by the system for want of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _finite(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None
