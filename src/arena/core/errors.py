"""Errors that a person can act on, and the exit code of each (docs/reference).

Nothing heavy is imported here: every entry point needs this module before it knows whether it needs torch.
"""

import errno
import gc
import logging
import os
import re
import sys
from collections.abc import Callable
from importlib import metadata

from arena.core import redact, stop
from arena.core.stop import Interrupted

log = logging.getLogger("arena")
OUT_OF_MEMORY = re.compile(
    r"out of memory|(can't|cannot) allocate memory|not enough memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE
)
"""Messages of torch, CUDA, cuBLAS and C++ when memory is short: they raise plain RuntimeErrors."""
WORKER = re.compile(r"worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(killed by signal: \w+|exited unexpectedly)")
"""Message of torch about a process of a data loader that died."""


class ArenaError(Exception):
    """One line for the person at the keyboard: what, where, how to fix. `code` is the process's exit code."""

    code = 1


class UsageError(ArenaError):
    """A wrong command line or configuration."""

    code = 2


class DataError(ArenaError):
    """Input data that cannot be used as they are."""

    code = 65


class InputOutputError(ArenaError):
    """A file, a folder or a server that cannot be read or written."""

    code = 74


class DivergedError(ArenaError):
    """The loss or the weights are no longer finite."""

    code = 76


class OutOfMemoryError(ArenaError):
    """The device has too little memory for this model and batch."""

    code = 77


def classify(error: BaseException) -> ArenaError | Interrupted:
    """Return the `ArenaError` that stands for any exception; unknown ones get exit code 1."""
    if (interrupted := stop.cause(error)) is not None:
        return interrupted
    if isinstance(error, ArenaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted by Ctrl-C", 2)
    message = first_line(error, "no message")
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
        return OutOfMemoryError(
            "out of memory: lower data.batch_size or data.max_length, and raise trainer.accumulate_grad_batches "
            f"to keep the same effective batch ({message})"
        )
    if isinstance(error, RuntimeError) and (worker := WORKER.search(str(error))):
        return InputOutputError(lost(worker[1], worker[2]))
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if error.errno else message
        hint = "; free some space" if error.errno == errno.ENOSPC else ""
        return InputOutputError(f"{error.filename or 'input/output'}: {reason}{hint}")
    return ArenaError(
        f"an error that arena does not know: {message} (the traceback is in the run's run.log; ARENA_TRACEBACK=1 shows "
        "it)"
    )


def lost(worker: str | int, reason: str) -> str:
    """Compose the line about a data worker (its process id) that died."""
    return (
        f"a data worker ended (process {worker}: {reason}), perhaps for lack of memory; give a lower data.num_workers, "
        "or data.num_workers=0, and resume the run"
    )


def first_line(error: BaseException, otherwise: str = "") -> str:
    """Return the first line of an error's message; `otherwise`, or its type, where it is empty."""
    return (str(error).strip() or otherwise or type(error).__name__).splitlines()[0]


def run_main(main: Callable[[], object]) -> None:
    """Call `main` and end the process with the contract's exit code.

    One line on stderr reports an error; the traceback goes to the log (`ARENA_TRACEBACK=1` prints it too).
    """
    if "--version" in sys.argv[1:]:
        print(f"arena {metadata.version('arena')}")
        return
    # By default the collector looks through all of torch several times while it is imported: 0.8 s of a short training.
    gc.set_threshold(50_000, 20, 100)
    stop.install()
    logging.raiseExceptions = False  # a log file on a full disk would put its own traceback before the one line
    try:
        main()
        error = stop.over()
    except BaseException as raised:
        stop.over()
        error = raised
    if error is None:
        return
    if isinstance(error, SystemExit) and stop.cause(error) is None:
        raise error
    known = classify(error)
    log.debug("traceback", exc_info=error)
    if os.environ.get("ARENA_TRACEBACK") == "1":
        import traceback

        print(redact.text("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    sys.stdout.flush()
    # Names of files and keys may hold line breaks and what a terminal obeys.
    line = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(known))
    print(redact.text(f"arena: {line}"), file=sys.stderr, flush=True)
    sys.exit(known.code)
