"""Opening a study's database, and one clear line for everything that can be wrong with it."""

import fcntl
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.reporting.study.database import TABLES, tables

BUSY = 60
"""Seconds that a write waits for the others' writes to one SQLite file."""
MISSED_BEATS = 3
"""Signs of life that a trial on another machine may miss before it counts as lost."""


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what the database says into one line.

    Raises:
        InputOutputError: locked, unreachable, read-only, full.
        DataError: not a database, or not one of Optuna's.
        UsageError: a URL that cannot be read, or a driver that is not installed.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

    hidden = redact.text(place)
    try:
        yield
    except (sqlite3.Error, StorageInternalError, DatabaseError) as error:
        text = _first(str(error.__cause__ or error))
        if "not a database" in text or "malformed" in text:
            raise DataError(f"{hidden}: not a database of a study ({text}); choose another study=NAME") from error
        reason = f"the database cannot be used: {text}"
        reason = "locked by another program; end it and try again" if "locked" in text else reason
        raise InputOutputError(f"{hidden}: {reason}") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"hydra.sweeper.storage={hidden}: {_first(str(error))}") from error
    except ImportError as error:
        name = getattr(error, "name", None) or "the database's driver"
        raise UsageError(f"hydra.sweeper.storage={hidden}: the package {name} is not installed") from error


def exists(url: str) -> bool:
    """Whether there is a database of Optuna's at the URL; reads only, as Optuna would add its tables to any file.

    Raises:
        InputOutputError, DataError, UsageError: see `explained`; a SQLite file with other tables is a `DataError`.
    """
    path = file_of(url)
    if path is not None and not path.is_file():
        if path.exists():
            raise InputOutputError(f"{path}: not a file")
        return False
    with explained(str(path or url)), alone(url):
        found = tables(url)
    if path is not None and found and not found >= TABLES:
        raise DataError(f"{path}: a database, but not of an Optuna study (its tables: {', '.join(sorted(found))})")
    return "studies" in found


def connected(url: str, heartbeat: float | None) -> Any:
    """Optuna's storage; makes the tables where there are none.

    Args:
        url: of the database.
        heartbeat: seconds between signs of life of running trials; None where a lock does that work.
    """
    from optuna.storages import RDBStorage

    options = {"connect_args": {"timeout": BUSY}} if file_of(url) is not None else {"pool_pre_ping": True}
    beat = max(1, round(heartbeat)) if heartbeat else None
    with explained(url), alone(url), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are an experimental part of Optuna
        try:
            return RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=beat, grace_period=beat and beat * MISSED_BEATS
            )
        except RuntimeError as error:  # tables of another release
            raise DataError(f"{redact.text(url)}: {_first(str(error))}") from error


@contextmanager
def alone(url: str) -> Iterator[None]:
    """No other controller on this machine makes a SQLite file's tables or asks it for a trial meanwhile.

    Optuna looks whether a queued trial is taken and then takes it, which other databases do under a lock of its row,
    and SQLite without.
    """
    file = file_of(url)
    if file is None:
        yield
        return
    # Not beside the database: a file that turns out to be somebody else's is left alone, and so is its folder.
    name = blake2b(str(file.absolute()).encode(), digest_size=8).hexdigest()
    with open(Path(tempfile.gettempdir()) / f"arena-{os.getuid()}-{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def file_of(url: str) -> Path | None:
    """The file of a SQLite URL, None for another database."""
    from sqlalchemy.engine import make_url

    return Path(make_url(url).database or "") if url.startswith("sqlite:///") else None


def _first(text: str) -> str:
    return (text.strip() or "no message").splitlines()[0]
