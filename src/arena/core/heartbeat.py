"""The sign of life of a running training in its `result.json`, and who has none any more."""

import os
import socket
from datetime import UTC, datetime
from typing import Any

RUNNING = "running"
EVERY = 30.0
"""Seconds between two signs of life."""
SILENCE = 300.0
"""Seconds without one after which a process is taken to be dead, wherever it ran."""
KILLED = "killed, or its machine went down"


def beat() -> dict[str, Any]:
    """A sign of life of this process, now."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "pid": os.getpid(), "host": socket.gethostname()}


def judged(result: dict[str, Any]) -> dict[str, Any]:
    """A `result.json` as it is to be read: a run that says "running" and whose process is gone has failed."""
    if result.get("status") != RUNNING:
        return result
    sign = result.get("heartbeat") or {}
    if _alive(sign):
        return result
    reason = f"{KILLED}; the last sign of life is of {sign.get('time') or 'an unknown time'}"
    return result | {"status": "failed", "reason": reason}


def _alive(sign: dict[str, Any]) -> bool:
    try:
        silent = (datetime.now(UTC) - datetime.fromisoformat(sign["time"])).total_seconds()
        if silent > SILENCE:
            return False
        return sign["host"] != socket.gethostname() or runs(int(sign["pid"]))
    except (KeyError, TypeError, ValueError):
        return False


def runs(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True
