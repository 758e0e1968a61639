"""SIGTERM and Ctrl-C: the first one ends the work in good order, the second one ends the process at once."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN = 0.5
"""Seconds after which an interruption that somebody swallowed is raised again."""
_received: list[int] = []


class Interrupted(BaseException):
    """Ctrl-C (exit code 130) or SIGTERM (143), with a line for the user and the number of the signal.

    No `Exception`: libraries swallow those wherever they try something.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        self.code = 128 + number


def name_of(number: int) -> str:
    """Name a signal: `Ctrl-C` or `SIGTERM`."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def install() -> None:
    """Handle SIGTERM and Ctrl-C from now on in this process, the main one of a command.

    The first raises `Interrupted` where the program stands, and again until it gets through: a destructor, a callback
    of native code or a bare `except` may swallow any exception. The second need not wait for the main thread, which may
    be in a long step of native code: Python writes the number of every signal into a pipe that a thread reads.
    """
    owner = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)  # a data worker has nothing to finish and nothing to say
        _received.append(number)
        signal.signal(signal.SIGALRM, _raise_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise _interruption()

    for number in SIGNALS:
        signal.signal(number, interrupt)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # the pipe is shared with the child
    threading.Thread(target=_end_at_second, args=(reader,), daemon=True, name="signals").start()
    report = sys.unraisablehook
    sys.unraisablehook = lambda what: None if _raised_by_signal(what.exc_value) else report(what)


def collect_signals() -> list[int]:
    """Collect SIGTERM and Ctrl-C from now on in the list that is returned, and raise nothing.

    Lightning restores the earlier handlers when a fit or a prediction ends.
    """
    came: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: came.append(number))
    return came


def over() -> Interrupted | None:
    """Raise nothing from now on, as the process is about to end; returns an interruption that did not get through."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    return _interruption() if _received else None


def cause(error: BaseException | None) -> Interrupted | None:
    """Return the interruption that an exception is, or that it was raised in answer to."""
    seen: set[int] = set()  # an error may be its own cause: `raise known(error) from error`
    while error is not None and not isinstance(error, Interrupted) and id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return error if isinstance(error, Interrupted) else None


def _interruption() -> Interrupted:
    return Interrupted(f"stopped by {name_of(_received[0])}", _received[0])


def _raised_by_signal(error: BaseException | None) -> bool:
    """Test for an exception that a signal handler (ours, or torch's for a lost data worker) raised in a destructor; it
    is ignored there and raised again: by `_raise_again`, or by torch's data loader when it is asked for a batch."""
    return isinstance(error, Interrupted) or str(error).startswith("DataLoader worker (pid")


def _raise_again(number: int, frame: FrameType | None) -> None:
    """Raise an interruption again unless it is being handled: then the program is on its way out."""
    if cause(sys.exception()) is None:
        raise _interruption()


def _end_at_second(reader: int) -> NoReturn:
    asked = False
    while True:
        for number in os.read(reader, 64):
            if number in SIGNALS and asked:
                os.write(2, f"arena: ended at once by a second {name_of(number)}\n".encode())
                os._exit(128 + number)
            asked = asked or number in SIGNALS
