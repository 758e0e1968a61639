"""Read and replace files so that a kill, a full disk or a damaged file ends in one line and loses nothing."""

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core import heartbeat
from arena.core.errors import ArenaError, InputOutputError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
"""Names of the files that `replacing` writes to; the number is the process that writes."""


LEAST = 2**16
"""Bytes of a run folder without checkpoints, about."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def temporary(path: Path) -> Path:
    """The hidden file beside `path` that this process fills before it takes the place of `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(folder: Path) -> None:
    """Delete below a folder what killed processes left of files that they did not finish.

    Only the names that `temporary` gives are taken, of processes of this machine that are gone; so is an earlier
    process that had the number of this one, which has to call this before it writes.
    """
    for path in folder.rglob(".*.tmp"):
        process = int(path.name.split(".")[-2]) if TEMPORARY.fullmatch(path.name) else None
        if process is not None and (process == os.getpid() or not heartbeat.runs(process)):
            path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write; it replaces `path` in one step, or is deleted if the block fails.

    Raises:
        InputOutputError: see `naming`.
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
def naming(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Name the file and the free space where a write fails; libraries leave both out.

    Args:
        path: the file that is written.
        partial: where its bytes go until it is whole.

    Raises:
        InputOutputError: the disk is full or read-only, a quota is reached, and the like.
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
    place = next(each for each in (path, *path.parents) if each.is_dir())
    written = partial.stat().st_size if partial is not None and partial.is_file() else 0
    return (
        f"cannot be written ({reason}): {written:,} bytes of it were written, {shutil.disk_usage(place).free:,} bytes "
        "are free there; free some space and give the command again"
    )


def check_writable(folder: Path, key: str) -> None:
    """Check, before long work, that its results can be written to a folder that may not exist yet.

    Raises:
        InputOutputError: they cannot; `key` names the option that chooses another place.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not place.is_dir():
        raise InputOutputError(f"{key}={folder}: {place} is a file; give another {key}=")
    if not os.access(place, os.W_OK):  # false for the superuser too where the disk is mounted read-only
        raise InputOutputError(f"{key}={folder}: nothing can be written there (read-only); give another {key}=")


def read_json(path: Path, way_on: str = "restore it or delete it") -> Any:
    """Read a JSON file.

    Raises:
        InputOutputError: it is missing or damaged; the message ends on `way_on`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputOutputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InputOutputError(f"{path}: damaged, not JSON ({error}); {way_on}") from None


def read_parquet(path: Path, columns: Collection[str] | None = None) -> "pa.Table":
    """Read a parquet file that arena wrote.

    Raises:
        InputOutputError: it is missing, damaged or lacks one of the `columns`.
    """
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
    """Insist on room for the small files of a run; what checkpoints take is asked when it is known.

    Raises:
        InputOutputError: fewer than `LEAST` bytes are free.
    """
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    if (free := shutil.disk_usage(place).free) < LEAST:
        raise InputOutputError(
            f"{folder}: {free:,} bytes are free on its disk, and a run takes {LEAST:,} and more; free some space"
        )
