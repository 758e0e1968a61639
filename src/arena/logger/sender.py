"""Send an offline W&B run to a server while it is written, from a process of its own.

`python -m arena.logger.sender FOLDER PID` runs `wandb beta sync --live FOLDER` and ends it some time after the
process PID is gone, because that command waits for ever for a run that was killed.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from arena.core.heartbeat import runs

ANSWER_SECONDS = 2.0
"""A server that takes longer to answer counts as absent."""
LAST_SECONDS = 3.0
"""Seconds that the end of a run waits for the server to take the rest."""
GRACE_SECONDS = 600
"""Seconds that the sender goes on after the run's own process is gone."""
NO_ANSWER = 69
"""Exit code of the sender where no server answers."""


def server() -> str:
    """Address of the W&B server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def answers(url: str, seconds: float = ANSWER_SECONDS) -> bool:
    """Ask a server anything at all; an error below 500 is an answer too."""
    body = b'{"query": "query { viewer { id } }"}'
    try:
        request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


def start(folder: Path) -> subprocess.Popen:
    """Start the sender of `wandb/offline-run-...`; it ends with 0 once everything is sent, or soon with `NO_ANSWER`."""
    with open(folder / "sender.log", "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "arena.logger.sender", str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def send(folder: str, process: int) -> int:
    """Send until everything is sent, or for `GRACE_SECONDS` after the writing process is gone; returns an exit code."""
    if not answers(server()):
        return NO_ANSWER
    command = [sys.executable, "-m", "wandb", "beta", "sync", "--live", "--yes", folder]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None and runs(process):
        time.sleep(0.2)
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.terminate()
        return 1


if __name__ == "__main__":
    sys.exit(send(sys.argv[1], int(sys.argv[2])))
