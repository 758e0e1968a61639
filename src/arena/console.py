"""Who reads what is printed."""

import contextlib
import sys


def terminal() -> bool:
    """Whether a person watches the output on a terminal."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """Print a line now. That nobody reads any more (`| head`, a closed terminal) is no reason to stop a training."""
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)
