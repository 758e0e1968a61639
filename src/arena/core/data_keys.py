"""`data.*` keys: short names, and their meaning for commands that work on finished runs."""

import re
from collections.abc import Iterable
from typing import Any

from arena.core.closest import closest
from arena.core.errors import UsageError
from arena.core.signatures import signature_of
from arena.core.values import flat

_OF = {
    "split": (
        *("val_share", "test_share", "folds", "fold", "val_path", "test_path"),
        *("on_leak", "stratify", "near_duplicates"),
    ),
    "ingest": ("limit", "on_bad_row", "max_rejected", "rejects"),
    "truncation": ("max_length", "cut", "turns", "max_reply_length", "learn"),
    "target": ("teacher", "offset", "on_tie"),
    "sampling": ("swap", "max_copies", "hardness", "curriculum_epochs", "multipliers"),
    "loader": ("batch_size", "eval_batch_size", "window", "num_workers", "seed"),
}
SHORT = {
    **{name: f"{part}.{name}" for part, names in _OF.items() for name in names},
    **{f"pseudo_{name}": f"pseudo.{name}" for name in ("path", "confidence", "weight", "soft")},
    **{"pseudo_labels": "pseudo.predictions", "split_seed": "split.seed", "target": "target.source"},
    **{"sampling": "sampling.method", "sampling_power": "sampling.power"},
}
"""Short names of what users type: `data.batch_size` is `data.loader.batch_size`. Run folders from before have them."""
TRAINING = (
    *(f"split.{name}" for name in (*_OF["split"], "seed") if name != "near_duplicates"),
    *("sampling", "pseudo", "copies", "augment", "packing", "labels", "heads", "classes", "formulation"),
    *("target.source", "target.teacher", "loader.batch_size", "loader.window", "loader.seed"),
)
"""Keys that say how rows are divided, served and taught, or what the model is: settled when the run was trained."""
EVALUATION = ("split.near_duplicates", "target.on_tie", "ingest.rejects")
"""Keys that need labels, or a command that groups rows."""
READING = ("path", "ingest", "reader", "columns", "text", "id", "group", "cache")
"""Keys that decide which rows there are."""

WHOLE = dict.fromkeys(("split.val_share", "split.test_share", "sampling.curriculum_epochs"), 0) | dict.fromkeys(
    (
        *("split.folds", "split.fold", "split.val_path", "split.test_path", "split.near_duplicates"),
        *("sampling.hardness", "target.teacher", "pseudo.path", "pseudo.predictions"),
    )
)
WHOLE |= {"sampling.method": "uniform", "target.source": "winner"}
"""Settings under which all rows of a file are one split, and nothing is held back from it."""


def full(key: str) -> str:
    """Return the place of a key that may have a short name: `data.batch_size` -> `data.loader.batch_size`."""
    sign, name = re.match(r"([+~]*)(.*)", key, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    group, _, rest = name.partition(".")
    first, dot, last = rest.partition(".")
    if group != "data" or first not in SHORT or (dot and first in ("sampling", "target")):
        return key
    return f"{sign}data.{SHORT[first]}{dot}{last}"


def short(key: str) -> str:
    """Return the short name of a place below `data`, where it has one."""
    return next((name for name, place in SHORT.items() if place == key), key)


def typed_names(node: Iterable[str]) -> list[str]:
    """List what may be typed after `data.`: the keys of the node, and the short names of what its parts hold."""
    keys = [str(key) for key in node if not str(key).startswith("_")]
    return [*keys, *(name for name, place in SHORT.items() if place.partition(".")[0] in keys)]


def as_typed(key: str) -> str:
    """Return a dotted key as users type it: `data.loader.batch_size` -> `data.batch_size`."""
    return f"data.{short(key.removeprefix('data.'))}" if key.startswith("data.") else key


def get(node: dict[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None where there is none."""
    found: Any = node
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def has(node: Any, key: str) -> bool:
    """Test for a dotted key."""
    first, _, rest = key.partition(".")
    return isinstance(node, dict) and first in node and (not rest or has(node[first], rest))


def put(node: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key."""
    *above, name = key.split(".")
    for part in above:
        node = node.setdefault(part, {})
    node[name] = value


def replace_keys(node: dict[str, Any], given: dict[str, Any]) -> None:
    """Replace values of a stored node `data` in place; raises UsageError for a key that the run's data do not have.

    What the reader takes too (`data.text` and `data.reader.text`) was one value before interpolations were resolved, so
    both are replaced. With another file the training's limit of rows does not hold any more.
    """
    if "path" in given:
        node["ingest"]["limit"] = None
        if _target(node.get("reader")) == "arena.data.source.toy.ToyReader":
            node["reader"] = {"_target_": "arena.data.source.pairs.PairReader"}
    known, of_reader = (_parameters(each) for each in (node, node.get("reader")))
    for key, value in given.items():
        part = node.get(key)
        unknown = [] if key in node or key in known else [key]
        if isinstance(part, dict) and _target(part) and isinstance(value, dict):
            unknown = [f"{key}.{name}" for name in value if name not in set(part) | _parameters(part)]
        if unknown:
            names = [*typed_names(node), *known, *SHORT.values()]
            raise UsageError(f"data.{short(unknown[0])}: no such key{closest(short(unknown[0]), names)}")
        node[key] = merged(part, value)
        if key in of_reader and not _target(node[key]):  # data.split is a node, the reader's split a name on the hub
            node["reader"][key] = node[key]


def one_split(data: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `WHOLE` for the keys that a node `data` has."""
    found: dict[str, Any] = {}
    for key, value in WHOLE.items():
        if has(data, key):
            put(found, key, value)
    return found


def refuse_idle_keys(given: dict[str, Any], idle: Iterable[str] | None, reason: str) -> None:
    """Refuse (UsageError) nested `data.*` keys that would change nothing: those of `idle`, dotted; None for all."""
    for key, _ in flat(given):
        if idle is None or any(key == each or key.startswith(f"{each}.") for each in idle):
            raise UsageError(f"data.{short(key)}: {reason}")


def _target(node: Any) -> Any:
    return node.get("_target_") if isinstance(node, dict) else None


def _parameters(node: Any) -> set[str]:
    """Collect the parameters of a node's class; none where there is no such class, which its check reports."""
    target = _target(node)
    signature = signature_of(target) if isinstance(target, str) else None
    return set(signature.parameters) if signature else set()


def merged(old: Any, new: Any) -> Any:
    """Return the values of `new`, and of `old` where it has none."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {key: merged(old.get(key), value) for key, value in new.items()}
