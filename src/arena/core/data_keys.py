"""`data.*` keys of commands that work on finished runs: each acts on the rows of the file, or is refused."""

from collections.abc import Iterable
from typing import Any

from arena.core.closest import closest
from arena.core.errors import UsageError
from arena.core.signatures import signature_of

TRAINING = (
    *("val_share", "test_share", "folds", "fold", "val_path", "test_path", "on_leak", "stratify", "split_seed"),
    *("batch_size", "window", "seed", "swap", "sampling", "sampling_power", "max_copies", "multipliers", "hardness"),
    *("curriculum_epochs", "copies", "augment", "packing", "target", "teacher", "pseudo_path", "pseudo_labels"),
    *("pseudo_confidence", "pseudo_weight", "pseudo_soft", "labels", "heads", "classes", "formulation"),
)
"""Keys that say how rows are divided, served and taught, or what the model is: settled when the run was trained."""
JUDGING = ("near_duplicates", "on_tie", "rejects")
"""Keys that need labels, or a command that groups rows."""
READING = ("path", "limit", "reader", "columns", "text", "id", "group", "on_bad_row", "max_rejected", "repair", "cache")
"""Keys that decide which rows there are."""


def replace_keys(node: dict[str, Any], given: dict[str, Any]) -> None:
    """Replace values of a stored node `data` in place.

    What the reader takes too (`data.text` and `data.reader.text`) was one value before interpolations were resolved,
    so both are replaced. With another file the number of rows that training took of its own does not hold any more.

    Raises:
        UsageError: the run's data have no such key.
    """
    if "path" in given:
        node["limit"] = None
        if str(_target(node.get("reader"))).startswith("arena.data.source.toy."):
            node["reader"] = {"_target_": "arena.data.source.pairs.PairReader"}
    known, of_reader = (_parameters(each) for each in (node, node.get("reader")))
    for key, value in given.items():
        if key not in node and key not in known:
            raise UsageError(f"data.{key}: no such key{closest(key, node.keys() | known)}")
        node[key] = _merged(node.get(key), value)
        if key in of_reader:
            node["reader"][key] = node[key]


def refuse_idle_keys(given: Iterable[str], idle: Iterable[str], reason: str) -> None:
    """Refuse the keys that would change nothing.

    Args:
        given: `data.*` keys of the command line.
        idle: those without an effect.
        reason: why, after the key.

    Raises:
        UsageError: one of them is given.
    """
    for key in given:
        if key in idle:
            raise UsageError(f"data.{key}: {reason}")


def _target(node: Any) -> Any:
    return node.get("_target_") if isinstance(node, dict) else None


def _parameters(node: Any) -> set[str]:
    """What the class of a node takes; nothing where there is no such class, of which its check has to speak."""
    target = _target(node)
    signature = signature_of(target) if isinstance(target, str) else None
    return set(signature.parameters) if signature else set()


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {key: _merged(old.get(key), value) for key, value in new.items()}
