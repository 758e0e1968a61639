"""The heartbeat of a running training in its `result.json`."""

import os
import socket
from datetime import UTC, datetime
from typing import Any

RUNNING = "running"
EVERY = 30.0
"""Seconds between two heartbeats."""
SILENCE = 300.0
"""Seconds without a heartbeat after which a process counts as dead, wherever it ran."""
KILLED = "killed, or its machine went down"


def beat() -> dict[str, Any]:
    """A heartbeat of this process, now."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "pid": os.getpid(), "host": socket.gethostname()}


def with_failure(result: dict[str, Any]) -> dict[str, Any]:
    """A `result.json`, failed where it says "running" and the process is gone."""
    last = result.get("heartbeat") or {}
    if result.get("status") != RUNNING or _alive(last):
        return result
    reason = f"{KILLED}; the last sign of life is of {last.get('time') or 'an unknown time'}"
    return result | {"status": "failed", "reason": reason}


def _alive(last: dict[str, Any]) -> bool:
    try:
        silent = (datetime.now(UTC) - datetime.fromisoformat(last["time"])).total_seconds()
        if silent > SILENCE:
            return False
        return last["host"] != socket.gethostname() or runs(int(last["pid"]))
    except (KeyError, TypeError, ValueError):
        return False


def runs(process: int) -> bool:
    """True if a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True
