"""Whether data, model, loss and metrics belong to the kind of task that was chosen."""

from collections.abc import Collection
from typing import Any

from arena.core import places
from arena.core.construct import instantiate
from arena.core.errors import UsageError
from arena.task.kind import GROUPS, TaskKind
from arena.task.multihead import MultiHead
from arena.task.pairwise import Pairwise
from arena.task.sft import Sft

KINDS: tuple[type[TaskKind], ...] = (Pairwise, MultiHead, Sft)
"""arena's own kinds of task, `task=NAME` each."""


def kind_of(settings: dict[str, Any]) -> TaskKind:
    """The kind of task of a checked configuration."""
    return instantiate({key: value for key, value in settings["task"].items() if key != "module"})


def check_parts(settings: dict[str, Any], trusted: Collection[str] = ()) -> None:
    """Insist on parts that belong to the kind of task.

    Args:
        settings: a configuration, perhaps with interpolations that only hold within one kind.
        trusted: packages whose kinds of task may be loaded (`arena.core.places.require`).

    Raises:
        UsageError: a part belongs to another kind, or the kind may not be loaded.
    """
    places.require(settings["task"].get("_target_"), "task", trusted)
    kind = kind_of(settings)
    for group in GROUPS:
        target = str(settings[group]["_target_"])
        place = places.kind_of(group)
        if kind.owns(group, target) or place is None or place.lacks(target):
            continue  # what no such place takes is refused when the whole configuration is checked
        others = [each for each in KINDS if each().owns(group, target) and not isinstance(kind, each)]
        if others or (group in kind.parts and target.startswith("arena.")):
            name = target.rpartition(".")[2]
            belongs = f"belongs to task={others[0].name}" if others else "is no part of it"
            way = "; ".join(filter(None, [kind.advice.get(group), f"or task={others[0].name}" if others else None]))
            raise UsageError(f"{group}: this is task={kind.name}, and {name} {belongs}; {way.replace('; or', ', or')}")
