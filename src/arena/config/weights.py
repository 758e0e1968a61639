"""Checkpoints: read without running anything, compared with the model that is to take them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.core import checkpoints
from arena.core.errors import DataError, InputOutputError, first_line

if TYPE_CHECKING:
    from arena.task.module import Task


def load_weights(task: "Task", path: Path) -> None:
    """Load the weights of a checkpoint into a task.

    Raises InputOutputError where it cannot be read, DataError where it is one of another model.
    """
    state = read_checkpoint(path).get("state_dict", {})
    compare(task.own_state(), state, path)
    task.load_state_dict(state, strict=task.strict_loading)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, memory-mapped: tensors and plain values only.

    Raises InputOutputError where it cannot be read, DataError where it is damaged (`arena.core.checkpoints`).
    """
    import pickle

    checkpoints.check(path)
    from arena.callback.storage import load

    try:
        return load(path)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputOutputError(f"{path}: not a checkpoint that can be read ({first_line(error)})") from error


def compare(wanted: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    """Require two `state_dict`s to have the same names and shapes; raises DataError about the checkpoint `path`."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    shapes = [name for name in wanted if name in found and wanted[name].shape != found[name].shape]
    for names, what in ((missing, "lacks"), (extra, "has besides"), (shapes, "has in another shape")):
        if names:
            raise DataError(f"{path}: a checkpoint of another model; it {what} {len(names)} weights ({names[0]})")
