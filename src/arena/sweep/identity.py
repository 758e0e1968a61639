"""Whether a stored study is the sweep that is asked for now."""

import contextlib
import json
from typing import Any

from arena.core import redact
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.sweep import storage
from arena.sweep.plan import Plan
from arena.sweep.space import name_of

RECORD = "arena"
"""User attribute of the study: what it searches and with which overrides, to be equal whenever it is resumed."""
SILENT = ("logger", "tags", "study")
"""Overrides that may differ between two calls of one sweep, because no value depends on them."""


def check(plan: Plan) -> None:
    """Refuse, before anything is written, a study that cannot be begun or resumed.

    Raises:
        UsageError: it exists and must not, is of other parameters, directions or overrides, or its folder holds runs
            of a study that is gone.
        DataError, InputOutputError: its database is foreign, damaged, locked or out of reach.
    """
    found = None
    if storage.exists(plan.storage):
        import optuna

        connection = storage.connected(plan.storage, None)
        with storage.explained(plan.storage), contextlib.suppress(KeyError):  # of another study's name
            found = optuna.load_study(study_name=plan.study, storage=connection)
    if found is not None:
        _verify(found, plan)
    elif plan.folder.is_dir() and (numbers := [path for path in plan.folder.iterdir() if path.name.isdigit()]):
        raise UsageError(
            f"{plan.folder}: it holds runs ({len(numbers)}) of which the study {plan.study} knows nothing; "
            "choose another study=NAME, or move them away"
        )
    elif plan.folder.exists() and not plan.folder.is_dir():
        raise InputOutputError(f"{plan.folder}: not a folder")


def _verify(study: Any, plan: Plan) -> None:
    """Refuse to go on with a study that is not the same sweep."""
    here = f"study {plan.study} in {redact.text(plan.storage)}"
    other = "choose another study=NAME"
    if not plan.settings["resume"]:
        raise UsageError(f"{here}: it exists; {other}, or hydra.sweeper.resume=true to go on with it")
    directions = [direction.name.lower() for direction in study.directions]
    if directions != plan.directions:
        words = f"it was begun to {', '.join(directions)}, now it is {', '.join(plan.directions)}"
        raise UsageError(f"{here}: {words}; {other}")
    before = study.user_attrs.get(RECORD)
    if before is None and study.get_trials(deepcopy=False):
        raise DataError(f"{here}: a study that arena did not make; {other}")
    if before is not None and (words := _changed(before, record(plan))):
        raise UsageError(f"{here}: {words}; {other}")


def _changed(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The first thing that changed between two records."""
    if before["objectives"] != now["objectives"]:
        return f"it was begun with objectives {before['objectives']}"
    for name in sorted(before["params"] | now["params"]):
        old, new = before["params"].get(name), now["params"].get(name)
        if old is None or new is None:
            return f"{'it does not search' if old is None else 'it also searches'} {name}"
        if old["distribution"] != new["distribution"]:
            return f"it searches {name}={old['typed']}, not {new['typed']}"
    changed = sorted(set(before["fixed"]) ^ set(now["fixed"]))
    return f"its trials ran with other settings ({', '.join(changed)})" if changed else None


def record(plan: Plan) -> dict[str, Any]:
    """What has to stay equal over all calls of a sweep."""
    from optuna.distributions import distribution_to_json

    parameters = {
        each.name: {"typed": each.typed, "distribution": json.loads(distribution_to_json(each.distribution))}
        for each in plan.parameters
    }
    fixed = [each for each in plan.fixed if name_of(each).split(".")[0] not in SILENT]
    return {"params": parameters, "objectives": plan.objectives, "fixed": sorted(map(redact.text, fixed))}
