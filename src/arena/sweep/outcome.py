"""How a trial ended, told from what it left behind: its `result.json`, its exit code, the last words of its output."""

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
"""What a trial printed, in its folder."""
BY_EXIT_CODE: dict[int, Kind] = {
    77: "out_of_memory",
    130: "preempted",
    143: "preempted",
    -signal.SIGINT: "preempted",
    -signal.SIGTERM: "preempted",
}
"""Exit codes of arena.train; a negative one is the signal that ended the process."""


@dataclass(frozen=True)
class Outcome:
    """The end of one trial.

    Attributes:
        kind: complete; pruned by the sweep's pruner; diverged (no finite loss); out_of_memory; preempted (SIGTERM or
            Ctrl-C from outside, or its sweep was killed: worth another try); timeout; failed (anything else).
        values: the objectives in their order; of a pruned trial the best monitored value; None where there are none.
        reason: one line, None for a complete trial.
        exit_code: of the process, negative for a signal, None if nobody saw it end.
        seconds: wall time of the process, or what `result.json` knows of it; 0 if unknown.
    """

    kind: Kind
    values: list[float] | None = None
    reason: str | None = None
    exit_code: int | None = None
    seconds: float = 0.0


def outcome_of(folder: str | Path, exit_code: int | None, objectives: list[str]) -> Outcome:
    """Judge a trial that is over.

    A run that says in `result.json` that it is complete or pruned is believed whatever happened to its process
    afterwards: nothing that was finished is lost.

    Args:
        folder: the run folder of the trial.
        exit_code: of its process; None where the process is gone and nobody saw its end (the sweep was killed).
        objectives: `monitor`, or dotted paths in `result.json`.
    """
    try:
        result = RunFolder(folder).read_result()
    except InputOutputError as error:
        return Outcome("failed", None, str(error), exit_code)
    took = result.get("time") or {}
    seconds = math.fsum(_number(took.get(part)) or 0.0 for part in ("setup", "fit", "test"))
    return replace(_judged(Path(folder), result, exit_code, objectives), exit_code=exit_code, seconds=seconds)


def _judged(folder: Path, result: dict[str, Any], exit_code: int | None, objectives: list[str]) -> Outcome:
    status, reason = result.get("status"), result.get("reason")
    if status in ("completed", "stopped_early"):
        values = {name: objective(result, name) for name in objectives}
        known = [value for value in values.values() if value is not None]
        missing = ", ".join(name for name, value in values.items() if value is None)
        if missing:
            return Outcome("failed", None, f"result.json has no finite value of {missing}")
        return Outcome("complete", known)
    if status == "pruned":
        best = objective(result, "monitor")
        return Outcome("pruned", None if best is None else [best], reason)
    told = None if reason is None or str(reason).startswith(KILLED) else str(reason)
    if status == "diverged" or exit_code == 76:
        return Outcome("diverged", None, told or last_words(folder))
    if exit_code is None:
        if status != "failed" or told is None:
            return Outcome("preempted", None, told or "the sweep ended while it ran")
        return Outcome("out_of_memory" if told.startswith("out of memory") else "failed", None, told)
    words, by_signal, code = last_words(folder), killed(exit_code), f"exit code {exit_code}"
    if exit_code in BY_EXIT_CODE or status == "preempted":
        return Outcome(BY_EXIT_CODE.get(exit_code, "preempted"), None, told or words or by_signal or code)
    return Outcome("failed", None, told or by_signal or words or code)


def objective(result: dict[str, Any], name: str) -> float | None:
    """The value of one objective in a `result.json`, None where it is absent or not finite.

    `monitor` is the best validation value of the monitor; another name is a dotted path (`validation.macro_f1.value`).

    Raises:
        ArenaError: the path leads to the test split, on which nothing may be chosen.
    """
    if name == "monitor":
        return _number(result.get("monitor", {}).get("value"))
    if name.split(".")[0] == "test" or ".test." in f".{name}.":
        raise ArenaError(f"objective {name}: nothing may be chosen by the test split; use validation")
    found: Any = result
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return _number(found)


def last_words(folder: str | Path) -> str | None:
    """The last line of a trial's output in which arena says what went wrong (`arena: ...`), or simply its last line."""
    path = Path(folder) / OUTPUT
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    spoken = [line.removeprefix("arena: ") for line in lines if line.startswith("arena: ")]
    chosen = spoken or lines
    return re.sub(r"\x1b\[[0-9;]*m", "", chosen[-1])[:300] if chosen else None


def killed(exit_code: int) -> str | None:
    """`killed by SIGKILL`, for the exit code of a process that a signal ended."""
    if exit_code >= 0:
        return None
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    hint = " (by hand, or by the system for want of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None
