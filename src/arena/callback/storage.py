"""Writing checkpoints so that a kill, a full disk or another file system never costs the previous one."""

import os
import uuid
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO


class AtomicCheckpointIO(CheckpointIO):
    """Temporary file in the target's own folder, fsync, rename, fsync of the folder.

    Lightning stages in `$TMPDIR`: when that is another file system, its rename is a copy over the old checkpoint, and
    a kill or a full disk leaves neither. It also drops PermissionError silently (pytorch-lightning #21253, #21800).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; any OSError is raised and leaves the old file as it was."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; tensors and plain values only, whatever the caller asks."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=True, mmap=True)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)
