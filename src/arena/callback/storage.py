"""Writing checkpoints so that a kill, a full disk or another file system never costs the previous one."""

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from arena.core import checkpoints
from arena.core.files import naming, temporary


class AtomicCheckpointIO(CheckpointIO):
    """Temporary file in the target's own folder, fsync, hash into the manifest, rename, fsync of the folder.

    Lightning stages in `$TMPDIR`: on another file system its rename is a copy over the old checkpoint, and a kill or a
    full disk leaves neither. It also drops PermissionError silently (pytorch-lightning #21253, #21800). Weights and the
    rest of `last.ckpt` are files of their own (`arena.core.checkpoints`), so the best weights are written once.

    Args:
        apart: false keeps the weights inside `last.ckpt`, for strategies that read the file themselves.
    """

    def __init__(self, apart: bool = True) -> None:
        self.apart = apart

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; any failure is raised and leaves the old file as it was.

        `last.ckpt` keeps the present one as the older generation. `storage_options={"weights": NAME}`: these very
        weights were saved just now as `best.ckpt` or `last.ckpt`.
        """
        path = Path(path)
        folder, step = path.parent, int(checkpoint.get("global_step", 0))
        folder.mkdir(parents=True, exist_ok=True)
        fresh: dict[str, tuple[Path, checkpoints.Entry]] = {}
        twin = (storage_options or {}).get("weights") if self.apart else None
        try:
            if path.name == checkpoints.LAST:
                checkpoints.forget_older(folder)
            if path.name != checkpoints.LAST or not self.apart:
                fresh[path.name] = _linked(folder, twin) or _write(checkpoint, path, step)
            else:
                state = {"global_step": step, "state_dict": checkpoint["state_dict"]}
                partial, entry = _linked(folder, twin) or _write(state, folder / "weights.ckpt", step)
                name = f"weights-{step}-{entry['sha256'][:8]}.ckpt"
                fresh[name] = partial, entry
                rest = {key: value for key, value in checkpoint.items() if key != "state_dict"}
                fresh[path.name] = _write(rest | {"weights": name}, path, step)
                fresh[path.name][1]["weights"] = name
            checkpoints.adopt(folder, fresh)
        finally:
            for partial, _ in fresh.values():
                partial.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; tensors and plain values only, whatever the caller asks."""
        return load(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint, memory-mapped, with the weights of its own file where they are apart."""
    found = torch.load(path, map_location=map_location, weights_only=True, mmap=True)
    if "weights" in found and "state_dict" not in found:
        apart = path.with_name(Path(str(found["weights"])).name)  # a stranger's checkpoint names no other folder
        found["state_dict"] = torch.load(apart, map_location=map_location, weights_only=True, mmap=True)["state_dict"]
    return found


def _linked(folder: Path, twin: str | None) -> tuple[Path, checkpoints.Entry] | None:
    """A hard link to weights that are on the disk already, with their entry; None where there can be none."""
    entries = checkpoints.manifest(folder) if twin is not None else {}
    name = entries.get(twin or "", {}).get("weights", twin)
    if name not in entries:
        return None
    partial = temporary(folder / "weights.ckpt")
    partial.unlink(missing_ok=True)
    try:
        os.link(folder / name, partial)
    except OSError:  # a file system without hard links gets a copy
        return None
    return partial, {key: entries[name][key] for key in ("sha256", "bytes", "step")}


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _write(checkpoint: dict[str, Any], path: Path, step: int) -> tuple[Path, checkpoints.Entry]:
    """Write the temporary file of `path`; returns it with its manifest entry."""
    partial = temporary(path)
    try:
        with naming(path, partial), open(partial, "wb") as file:
            hashing = _Hashing(file)
            torch.save(checkpoint, hashing)  # pyright: ignore[reportArgumentType]
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial, {"sha256": hashing.sha256.hexdigest(), "bytes": hashing.bytes, "step": step}
