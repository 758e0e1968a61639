"""Results of long work on disk, named after everything that they depend on; safe under several processes.

Each result is a folder, filled under another name and renamed when it is whole, so a killed process leaves nothing that
looks like a result. A second process waits for the first one's lock, which the kernel releases with the process. A
cache can be deleted at any time; it is rebuilt.
"""

import atexit
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from arena.core.errors import InputOutputError
from arena.core.files import naming

log = logging.getLogger("arena")
SIZES = "sizes.json"
"""File of a result with the size of each of its others: a disk that lost its power may have cut one short."""


def default_root() -> Path:
    """Return `ARENA_CACHE`, otherwise the folder `arena` where this system keeps caches."""
    if place := os.environ.get("ARENA_CACHE"):
        return Path(place).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "arena"


def root_of(setting: str | None) -> Path | None:
    """Return the folder that `data.cache` stands for: `default_root` for "auto", None for no cache."""
    return default_root() if setting == "auto" else Path(setting).expanduser() if setting else None


def key_of(*parts: object) -> str:
    """Hash everything that a result depends on; 32 hexadecimal digits."""
    return blake2b("\0".join(map(repr, parts)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def file_fingerprint(path: Path) -> str:
    """Hash a file's bytes by BLAKE2b, 32 hexadecimal digits. Time stamps can lie; 184 MB take 0.3 s."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def cached(root: Path | None, kind: str, key: str, build: Callable[[Path], None]) -> tuple[Path, bool]:
    """Return the folder that `build` fills, and whether it was there already.

    Args:
        root: folder of the cache; None for a folder that is deleted when this process ends.
        kind: one word for the result; part of its name.
        key: see `key_of`.
        build: gets an empty folder to fill. Its errors are passed on, and nothing is kept.

    Raises InputOutputError where the cache cannot be written.
    """
    if root is None:
        temporary = Path(tempfile.mkdtemp(prefix="arena-"))
        owner = os.getpid()  # a forked data worker must not delete its parent's folder
        atexit.register(lambda: shutil.rmtree(temporary, ignore_errors=True) if os.getpid() == owner else None)
        build(temporary)
        return temporary, False
    final = root / f"{kind}-{key}"
    if _whole(final):
        return final, True
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / f".{kind}-{key}.lock", "w")  # noqa: SIM115 - closed by the `with` below
    except OSError as error:
        raise InputOutputError(
            f"{root}: the cache cannot be written ({error.strerror}); set data.cache=FOLDER or data.cache=null"
        ) from error
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log.info("another process prepares the same %s; waiting for it", kind)
            fcntl.lockf(lock, fcntl.LOCK_EX)
        if _whole(final):
            return final, True
        with naming(final):
            partial = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=root))
            try:
                build(partial)
                sizes = {file.name: file.stat().st_size for file in partial.iterdir()}
                (partial / SIZES).write_text(json.dumps(sizes))
                partial.chmod(0o755)
                if final.exists():
                    log.warning("%s: a damaged entry of the cache; it is made again", final)
                    os.replace(final, damaged := partial.with_name(f"{partial.name}.damaged"))
                    shutil.rmtree(damaged, ignore_errors=True)
                os.replace(partial, final)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return final, False


def _whole(folder: Path) -> bool:
    """Check that a result is there and that its files have the sizes that they were written with."""
    try:
        sizes: dict[str, int] = json.loads((folder / SIZES).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
