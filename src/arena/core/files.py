"""Reading and replacing files so that a kill, a full disk or a damaged file ends in one line and loses nothing."""

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core import heartbeat
from arena.core.errors import ArenaError, InputOutputError, UsageError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
"""Names of the files that `replacing` writes to; the number is the process that writes."""
MINIMUM = 2**16
"""Bytes of a run folder without checkpoints, about."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def temporary(path: Path) -> Path:
    """Name the hidden file beside `path` that this process fills before it replaces `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(folder: Path) -> None:
    """Delete the unfinished files of killed processes below a folder.

    Only names of `temporary` count, of processes of this machine that are gone or had this process's number: this
    process has to call it before it writes.
    """
    for path in folder.rglob(".*.tmp"):
        process = int(path.name.split(".")[-2]) if TEMPORARY.fullmatch(path.name) else None
        if process is not None and (process == os.getpid() or not heartbeat.runs(process)):
            path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write; it replaces `path` in one step, or is deleted if the block fails.

    Raises the errors of `naming`.
    """
    partial = temporary(path)
    try:
        with naming(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file; raises UsageError with `message` where another process holds it.

    The lock is the kernel's and belongs to this process alone (`lockf`; a `flock` would live on in data workers): it
    ends with the process.
    """
    with open(path, "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(message) from None
        yield


@contextmanager
def naming(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Raise an InputOutputError that names `path` and the free space where a write fails (full or read-only disk,
    quota).

    `partial` is the file that holds the bytes until it is whole.
    """
    try:
        yield
    except ArenaError:
        raise
    except (OSError, RuntimeError) as error:
        # torch's writer fails again while it closes; the disk's own error is the context of what it raises.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is None or cause.errno not in UNWRITABLE:
            raise
        raise InputOutputError(f"{path}: {_reason(cause, path, partial)}") from error


def _reason(error: OSError, path: Path, partial: Path | None) -> str:
    reason = os.strerror(error.errno or 0)
    if error.errno == errno.EROFS:
        return f"cannot be written ({reason})"
    written = partial.stat().st_size if partial is not None and partial.is_file() else 0
    return (
        f"cannot be written ({reason}): {written:,} bytes of it were written, {free_bytes(path):,} bytes "
        "are free there; free some space and give the command again"
    )


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk of a file or folder that may not exist yet."""
    path = path.expanduser().absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.is_dir())).free


def check_writable(folder: Path, key: str) -> None:
    """Check, before long work, that a folder, which may not exist yet, can be written; raises InputOutputError.

    `key` names the option that chooses another place.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not place.is_dir():
        raise InputOutputError(f"{key}={folder}: {place} is a file; give another {key}=")
    if not os.access(place, os.W_OK):  # false for the superuser too where the disk is mounted read-only
        raise InputOutputError(f"{key}={folder}: nothing can be written there (read-only); give another {key}=")


def read_json(path: Path, way_on: str = "restore it or delete it") -> Any:
    """Read a JSON file; raises InputOutputError, ending on `way_on`, where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputOutputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InputOutputError(f"{path}: damaged, not JSON ({error}); {way_on}") from None


def read_parquet(path: Path, columns: Collection[str] | None = None) -> "pa.Table":
    """Read a parquet file that arena wrote, or its `columns`; raises InputOutputError where one is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputOutputError(f"{path}: no such file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputOutputError(f"{path}: damaged, not a parquet file ({first_line(error)})") from None
    if lacking := [name for name in columns or () if name not in table.column_names]:
        raise InputOutputError(f"{path}: there is no column {lacking[0]}")
    return table if columns is None else table.select(list(columns))


def check_room(folder: Path) -> None:
    """Require room for the small files of a run (InputOutputError); that of checkpoints is checked when it is known."""
    if (free := free_bytes(folder)) < MINIMUM:
        raise InputOutputError(
            f"{folder}: {free:,} bytes are free on its disk, and a run takes {MINIMUM:,} and more; free some space"
        )
