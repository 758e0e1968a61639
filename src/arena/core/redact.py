"""Secrets hidden in everything that is printed or stored: passwords of addresses, and values of keys that name a
secret.

A run keeps its secrets in memory only. What was hidden reads `***`; a resumed run needs it to be given again.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HIDDEN = "***"
_NAME = (
    r"(?:passw(?:or)?d|pwd|secret|credentials?"
    r"|(?:(?:access|auth|api|hf|bearer|secret)[_-]?)?token|(?:access|api|secret)[_-]?key)"
)
_KEY = re.compile(rf"^(?:.*[_.-](?=passw|pwd|secret|cred))?{_NAME}$", re.IGNORECASE)
_PATTERNS = (
    # scheme://user:PASSWORD@host, up to the last @: a password may hold one itself.
    (re.compile(r"(://[^\s/:@'\"]*:)[^\s'\"]+@"), rf"\1{HIDDEN}@"),
    # https://TOKEN@host
    (re.compile(r"(https?://)[^\s/:@'\"]+@"), rf"\1{HIDDEN}@"),
    # ?api_key=SECRET
    (re.compile(rf"([?&](?:[^=&\s]*[_-])?(?:{_NAME}|sig|signature|key)=)[^&\s'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # hydra.job.env_set.NAME=SECRET and hydra.job.env_set={NAME: SECRET}
    (re.compile(r"(\benv_set(?:\.[\w.]+)?=)(\{[^}]*\}?|[^\s,]+)"), rf"\1{HIDDEN}"),
    # some.password=SECRET on a command line
    (re.compile(rf"(\b(?:[\w.-]*[_.-])?{_NAME}=)[^\s,'\"&]+", re.IGNORECASE), rf"\1{HIDDEN}"),
)
"""What hides a secret in a text; the order matters."""


def text(value: str) -> str:
    """Return a text with its secrets hidden."""
    if "=" not in value and "@" not in value:
        return value
    for pattern, hidden in _PATTERNS:
        value = pattern.sub(hidden, value)
    return value


def node(value: Any, key: str = "") -> Any:
    """Return a configuration or result (mappings, lists, values), named `key`, with its secrets hidden."""
    if isinstance(value, dict):
        inside = "env_set" if key == "env_set" else ""
        return {name: node(each, inside or str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [node(each, key) for each in value]
    if isinstance(value, str) and value and (key == "env_set" or _KEY.search(key)):
        return HIDDEN
    return text(value) if isinstance(value, str) else value


def hidden_keys(value: Any, key: str = "") -> Iterator[str]:
    """Yield the dotted keys whose values were hidden when they were stored."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from hidden_keys(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for each in value:
            yield from hidden_keys(each, key)
    elif isinstance(value, str) and re.search(r"(^|[:/=])\*\*\*($|@|&)", value):
        yield key


class Formatter(logging.Formatter):
    """Format log messages, tracebacks included, with their secrets hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as it is written."""
        return text(super().format(record))


@contextmanager
def hidden_arguments() -> Iterator[None]:
    """Hide the secrets of the command line from a library that records it."""
    typed = sys.argv[:]
    sys.argv[1:] = map(text, typed[1:])
    try:
        yield
    finally:
        sys.argv[:] = typed
