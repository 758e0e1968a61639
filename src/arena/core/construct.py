"""Objects from configuration: a node with `_target_` becomes an object of that class, its parts first."""

import importlib
from functools import partial
from typing import Any

from arena.core.errors import UsageError, first_line
from arena.core.schema import argument


def instantiate(node: Any, **extra: Any) -> Any:
    """Build the object that a configuration node describes; text is taken as it is, nothing is interpolated.

    The node has passed `arena.core.schema.check`, which decides what may be built where. With `_partial_` the arguments
    are kept, and the class is called later. `extra` are arguments that only the program knows. Raises UsageError for a
    module of the user's own that cannot be imported.
    """
    if isinstance(node, list):
        return [instantiate(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "_target_" not in node:
        return {key: instantiate(value) for key, value in node.items()}
    values = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
    arguments = {argument(key): instantiate(value) for key, value in values.items()} | extra
    made = _class(node["_target_"])
    return partial(made, **arguments) if node.get("_partial_") else made(**arguments)


def _class(target: str) -> type:
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module's own code raises
        if target.startswith("arena."):
            raise
        raise UsageError(f"{target}: cannot be imported ({first_line(error)})") from error
    if not isinstance(found, type):
        raise UsageError(f"{target}: it is no class")
    return found
