"""`checkpoints/` of a run: which files there are, their hashes, and which generation of the last one is intact.

best.ckpt         weights of the best validation
last.ckpt         what a resume needs besides weights; last-1.ckpt is the generation before
weights-*.ckpt    weights of the two generations, named by step and content; a hard link where they are the best ones
manifest.json     SHA-256, size and step of each, written when the bytes are on the disk and before they get their name

So every complete file has its hash in the manifest, at whatever moment the process is killed, and one generation is
always whole.
"""

import hashlib
import json
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from arena.core.errors import DataError, InputOutputError
from arena.core.files import free_bytes, read_json, replacing

log = logging.getLogger("arena")
BEST, LAST, OLDER, MANIFEST = "best.ckpt", "last.ckpt", "last-1.ckpt", "manifest.json"
MUCH = 10**8
"""Bytes of checkpoints below which nothing is said of them."""
Entry = dict[str, Any]
"""`sha256`, `bytes`, `step`; of a generation `weights`, the name of the file with its weights; of the best weights
`before`, the hash of those that they replaced."""


def manifest(folder: Path) -> dict[str, Entry]:
    """Read the entries of a checkpoint folder by file name; none where it was written before there were hashes.

    Raises InputOutputError where the manifest is damaged.
    """
    path = folder / MANIFEST
    return read_json(path, "delete it to go on without hashes") if path.is_file() else {}


def write_manifest(folder: Path, entries: dict[str, Entry]) -> None:
    """Replace the manifest."""
    with replacing(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def check(path: Path) -> Entry | None:
    """Require that a checkpoint is there and holds the bytes that were written, its weights file included.

    Returns its entry, None where the manifest does not know it. Raises InputOutputError where it is missing, DataError
    where it is damaged.
    """
    entries = manifest(path.parent)
    if not path.is_file():
        way_on = f", which {MANIFEST} names; restore it from a copy" if path.name in entries else ""
        raise InputOutputError(f"{path}: no such checkpoint{way_on}")
    if path.name not in entries:
        return None
    # Between the new manifest and the new names, the files of before are whole as well.
    names = (LAST, OLDER) if path.name in (LAST, OLDER) else (path.name,)
    found, known = digest(path), [entries[name] for name in names if name in entries]
    entry = next((each for each in known if found in (each["sha256"], each.get("before"))), None)
    if entry is None:
        raise DataError(f"{path}: damaged, its SHA-256 is not that of {MANIFEST}; restore it from a copy")
    if "weights" in entry:
        check(path.with_name(entry["weights"]))
    return entry


def newest(folder: Path) -> tuple[Path, Entry | None, str | None]:
    """Find the newest intact generation to resume from; returns it, its entry, and the fault of a newer one.

    Raises InputOutputError where there is none or the manifest is damaged, DataError where all are damaged.
    """
    manifest(folder)
    damaged: list[str] = []
    for path in (folder / LAST, folder / OLDER):
        if not path.is_file():
            continue
        try:
            entry = check(path)
        except (DataError, InputOutputError) as error:
            damaged.append(str(error))
            continue
        return path, entry, next(iter(damaged), None)
    if damaged:
        raise DataError(damaged[0])
    raise InputOutputError(f"{folder / LAST}: there is no checkpoint to go on from; start the run again")


def settle(folder: Path) -> Path:
    """Give the newest intact generation the name `last.ckpt`, in the manifest too, and return it (`newest`)."""
    path, entry, damaged = newest(folder)
    if damaged is not None:
        step = entry["step"] if entry else "unknown"
        log.warning("%s\nGOING ON FROM THE OLDER %s, OF STEP %s", damaged, path.name, step)
    entries, last = manifest(folder), folder / LAST
    if entry is not None and entries[LAST] != entry:
        write_manifest(folder, entries | {LAST: entry})
    if path != last:
        os.replace(path, last)
    return last


def adopt(folder: Path, fresh: dict[str, tuple[Path, Entry]]) -> None:
    """Give files that are whole on the disk their names, after their hashes are in the manifest.

    `fresh` holds temporary file and entry of each new name; with a `last.ckpt` in it the present one becomes the older.
    """
    entries = {name: entry for name, entry in manifest(folder).items() if (folder / name).is_file()}
    if BEST in fresh and BEST in entries:
        fresh[BEST][1]["before"] = entries[BEST]["sha256"]
    aside = LAST in fresh and (folder / LAST).is_file()
    if aside and LAST in entries:
        entries[OLDER] = entries[LAST]
    write_manifest(folder, entries | {name: entry for name, (_, entry) in fresh.items()})
    if aside:
        os.replace(folder / LAST, folder / OLDER)
    for name, (partial, _) in fresh.items():
        os.replace(partial, folder / name)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def forget_older(folder: Path) -> None:
    """Delete the older generation, whose space is needed, and the weights that only it has."""
    if not (folder / LAST).is_file():
        return
    (folder / OLDER).unlink(missing_ok=True)
    used = manifest(folder).get(LAST, {}).get("weights")
    for path in folder.glob("weights-*.ckpt"):
        if path.name != used:
            path.unlink()


def reserve(folder: Path, weights: int, state: int) -> None:
    """Require room for the checkpoints (InputOutputError) before the training begins; logs it where it is much.

    The maximum, while new best weights are written: those, the best ones, and two generations with weights of their
    own.

    Args:
        folder: of the checkpoints.
        weights: bytes of all weights that are saved.
        state: bytes of what else a resume needs; 0 where no `last.ckpt` is written.
    """
    maximum = 2 * weights + (2 * (weights + state) if state else 0)
    present = {path.stat().st_ino: path.stat().st_size for path in folder.glob("*.ckpt")}
    room = free_bytes(folder) + sum(present.values())
    if maximum > room:
        less = "; callback.checkpoint.save_last=false needs less and cannot be resumed" if state else ""
        raise InputOutputError(
            f"{folder}: the checkpoints of this run take up to {maximum:,} bytes, and {room:,} bytes are free there"
            f"{less}"
        )
    if maximum > MUCH:
        parts = f"weights {weights / 1e9:.1f} GB, optimiser state {state / 1e9:.1f} GB"
        log.info("checkpoints: up to %.1f GB (%s), %.1f GB are free", maximum / 1e9, parts, room / 1e9)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; read once as long as it stays the same."""
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache
def _digest(path: Path, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
