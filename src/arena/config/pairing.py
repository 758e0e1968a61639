"""Consistency of data, model, loss and metrics with the chosen kind of task."""

from collections.abc import Collection
from typing import Any

from arena.core import places, signatures
from arena.core.construct import instantiate
from arena.core.errors import UsageError
from arena.task.kind import GROUPS, TaskKind
from arena.task.multihead import MultiHead
from arena.task.pairwise import Pairwise
from arena.task.sft import Sft

TASKS: tuple[type[TaskKind], ...] = (Pairwise, MultiHead, Sft)
"""arena's own kinds of task, `task=NAME` each."""


def kind_of(settings: dict[str, Any]) -> TaskKind:
    """Make the kind of task of a checked configuration."""
    return instantiate({key: value for key, value in settings["task"].items() if key != "module"})


def check_parts(settings: dict[str, Any], trusted: Collection[str] = ()) -> None:
    """Require parts that belong to the kind of task; the settings may hold interpolations of that kind.

    Raises UsageError for a part of another kind, or a kind that `trusted` packages may not define (`places.require`).
    """
    places.require(settings["task"].get("_target_"), "task", trusted)
    kind = kind_of(settings)
    for group in GROUPS:
        target = str(settings[group]["_target_"])
        place = places.kind_of(group)
        bases = [*signatures.ancestors(target)]
        owners = [each for each in TASKS if each().owns(group, target)]
        owners.sort(key=lambda each: bases.index(each.parts[group]))  # the nearest base decides
        own = kind.owns(group, target) and (type(kind) not in TASKS or type(kind) is owners[0])
        if own or place is None or place.lacks(target):
            continue  # what no such place takes is refused when the whole configuration is checked
        others = [each for each in owners if not isinstance(kind, each)]
        if others or (group in kind.parts and target.startswith("arena.")):
            name = target.rpartition(".")[2]
            belongs = f"belongs to task={others[0].name}" if others else "is no part of it"
            way = "; ".join(filter(None, [kind.advice.get(group), f"or task={others[0].name}" if others else None]))
            raise UsageError(f"{group}: this is task={kind.name}, and {name} {belongs}; {way.replace('; or', ', or')}")
