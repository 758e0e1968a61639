"""Who reads what is printed."""

import sys


def terminal() -> bool:
    """Whether a person watches the output on a terminal."""
    return sys.stdout.isatty()
