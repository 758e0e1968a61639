"""Optuna's storage: opened with its heartbeats, held against other controllers, its errors in one clear line."""

import contextlib
import fcntl
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError, first_line

BUSY = 60
"""Seconds that a write waits for the others' writes to one SQLite file."""
OPENING = 3
"""Seconds after which a file that another program has locked is refused before the sweep begins."""
MISSED_BEATS = 3
"""Heartbeats that a trial of another controller may miss before it counts as lost."""
LOCKS = {"postgresql": "SELECT pg_advisory_lock(28539)", "mysql": "SELECT GET_LOCK('arena', -1)"}
"""Locks of a session, by backend; in PostgreSQL they are the database's."""


def open_storage(url: str, heartbeat: float | None, stale: Callable[[Any, Any], None]) -> Any:
    """Open Optuna's storage; a `DataError` for tables of another release.

    Args:
        url: of the database.
        heartbeat: seconds between two heartbeats of a running trial; None or 0: none.
        stale: called with study and trial where the heartbeats of a trial have stopped and it was failed.
    """
    from optuna.storages import RDBStorage

    file = file_of(url)
    if file is not None and file.is_file():
        with contextlib.closing(sqlite3.connect(file, timeout=OPENING)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    options = {"connect_args": {"timeout": BUSY}} if file is not None else {"pool_pre_ping": True}
    every = max(1, round(heartbeat)) if heartbeat else None
    with warnings.catch_warnings(action="ignore"):  # heartbeats are an experimental part of Optuna
        try:
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=every,
                grace_period=every and every * MISSED_BEATS,
                heartbeat_stale_trial_callback=stale,
            )
        except RuntimeError as error:
            raise DataError(f"{redact.text(url)}: {first_line(error)}") from error


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn an error of the database into one line.

    Raises:
        InputOutputError: locked, unreachable, read-only, full.
        DataError, UsageError: not a database; a wrong URL, or a driver that is not installed.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

    hidden = redact.text(url)
    try:
        yield
    except (sqlite3.Error, StorageInternalError, DatabaseError) as error:
        text = (str(error.__cause__ or error).strip() or "no message").splitlines()[0]
        if "not a database" in text or "malformed" in text:
            raise DataError(f"{hidden}: not a database of a study ({text}); choose another study=NAME") from error
        reason = f"the database cannot be used: {text}"
        reason = "locked by another program; end it and try again" if "locked" in text else reason
        raise InputOutputError(f"{hidden}: {reason}") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"hydra.sweeper.storage={hidden}: {first_line(error)}") from error
    except ImportError as error:
        name = getattr(error, "name", None) or "the database's driver"
        raise UsageError(f"hydra.sweeper.storage={hidden}: the package {name} is not installed") from error


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Hold a database against other controllers: a lock of the server, or of a file in the temporary folder for SQLite.

    So no two of them make the tables, fill the queue, or take the last trial of a total at the same time.
    """
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.pool import NullPool

    if (file := file_of(url)) is not None:
        name = blake2b(str(file.absolute()).encode(), digest_size=8).hexdigest()
        with open(Path(tempfile.gettempdir()) / f"arena-{os.getuid()}-{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    statement = LOCKS.get(make_url(url).get_backend_name(), "SELECT 1")
    with create_engine(url, poolclass=NullPool).connect() as connection:  # its end ends the lock
        connection.execute(text(statement))
        yield


def file_of(url: str) -> Path | None:
    """The file of a SQLite URL, None for another database."""
    from sqlalchemy.engine import make_url

    return Path(make_url(url).database or "") if url.startswith("sqlite:///") else None
