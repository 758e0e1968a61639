"""Console output helpers."""

import contextlib
import logging
import sys
from collections.abc import Callable

from arena.core import redact
from arena.core.errors import run_main
from arena.core.run import rank


def terminal() -> bool:
    """Test whether the output goes to a terminal."""
    return sys.stdout.isatty()


def echo(text: str) -> None:
    """Print a line now; a closed output (`| head`, a closed terminal) is no error."""
    with contextlib.suppress(BrokenPipeError):
        print(redact.text(text), flush=True)


def duration(seconds: float) -> str:
    """Format seconds below two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class FirstProcess(logging.Filter):
    """Pass messages of the first process of a distributed run, of the others only errors; the log file has all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Test whether a message is printed."""
        return record.levelno >= logging.ERROR or rank() == 0


class Screen(logging.Handler):
    """Handler that prints log messages as plain lines on standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        echo(self.format(record))


def run_command(work: Callable[[list[str]], object]) -> None:
    """Run a command that Hydra does not run, print arena's messages, and end with the contract's exit code."""

    def main() -> None:
        log = logging.getLogger("arena")
        log.setLevel(logging.INFO)
        if not log.handlers:
            log.addHandler(Screen(logging.INFO))
        work(sys.argv[1:])

    run_main(main)
