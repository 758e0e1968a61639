"""Sends an offline W&B run to a server while it is written, from a process of its own.

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
from threading import Thread

ANSWER_SECONDS = 2.0
"""A server that takes longer to answer counts as absent."""
LAST_SECONDS = 3.0
"""How long the end of a run waits for the server to take the rest."""
GRACE_SECONDS = 600
"""How long the side process goes on when the run's own is gone."""
LOG = "sender.log"


def server() -> str:
    """Address of the W&B server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def answers(url: str, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a server answers at all; that it objects to the question is an answer."""
    body = b'{"query": "query { viewer { id } }"}'
    try:
        request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


class Sender:
    """The side process, as the training sees it: nothing here waits for the network except `wait`.

    Args:
        folder: `wandb/offline-run-...`, while it is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answered: bool | None = None
        """None while nobody knows."""
        self._process: subprocess.Popen | None = None
        self._thread = Thread(target=self._start, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        # A thread: even to find out that nobody is there takes seconds.
        self.answered = answers(server())
        if self.answered:
            with open(self.folder / LOG, "wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "arena.logger.sender", str(self.folder), str(os.getpid())],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip

    def wait(self, seconds: float = LAST_SECONDS) -> bool:
        """Whether everything is sent, after at most this long. A process that is not done goes on by itself."""
        until = time.monotonic() + seconds
        self._thread.join(seconds)
        if self._process is None:
            return False
        try:
            return self._process.wait(max(0.0, until - time.monotonic())) == 0
        except subprocess.TimeoutExpired:
            return False


def send(folder: str, process: int) -> int:
    """Send until everything is sent, or for `GRACE_SECONDS` after the writing process is gone; returns an exit code."""
    command = [sys.executable, "-m", "wandb", "beta", "sync", "--live", "--yes", folder]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    left = GRACE_SECONDS
    while child.poll() is None:
        time.sleep(1 if left < GRACE_SECONDS else 0.2)
        if not _alive(process):
            left -= 1
        if left <= 0:
            child.terminate()
            return 1
    return child.returncode


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(send(sys.argv[1], int(sys.argv[2])))
