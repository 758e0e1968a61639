"""Who reads what is printed."""

import contextlib
import logging
import sys
from collections.abc import Callable

from arena.core import redact
from arena.core.errors import run_main
from arena.core.run import rank


def terminal() -> bool:
    """Whether a person watches the output on a terminal."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """Print a line now. That nobody reads any more (`| head`, a closed terminal) is no reason to stop a training."""
    with contextlib.suppress(BrokenPipeError):
        print(redact.text(text), flush=True)


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class FirstProcess(logging.Filter):
    """Of the processes of a distributed run the first one speaks, the others only of errors; the log file has all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is shown."""
        return record.levelno >= logging.ERROR or rank() == 0


class Screen(logging.Handler):
    """Log messages as plain lines on standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        say(self.format(record))


def show_messages() -> None:
    """Show arena's own messages (formats, accounts, progress) in commands that Hydra does not run."""
    log = logging.getLogger("arena")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(Screen(logging.INFO))


def run_command(work: Callable[[list[str]], object]) -> None:
    """Run a command that Hydra does not run on its command line, and end with the contract's exit code."""

    def main() -> None:
        show_messages()
        work(sys.argv[1:])

    run_main(main)
