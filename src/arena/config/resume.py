"""`resume=FOLDER`: the configuration that a run folder stores, with values of the command line of the day.

Nothing of the command line that began the run is read: a folder that came from somebody else holds data, not commands.
"""

import logging
import logging.config
import re
from pathlib import Path
from typing import Any

from arena.config import compose as config
from arena.config import restore
from arena.config.overrides import Given, as_typed, given_values
from arena.core import checkpoints, paths, redact
from arena.core.console import echo
from arena.core.data_keys import typed_names
from arena.core.errors import UsageError
from arena.core.run import RunFolder, git_state, versions
from arena.core.schema import closest
from arena.core.stored import read_yaml

log = logging.getLogger("arena")
FINISHED = ("completed", "stopped_early")
ENDS = ("trainer.max_epochs", "trainer.max_steps")
ACCEPTED = {"accept_versions", "trusted_packages"}
"""Permissions of the command, which change nothing of the run."""
EVALUATION = ("baselines", "evaluate", "evaluator", "resamples", "test")
"""Keys with which a finished run is evaluated again."""
KEY = "resume="


def folder_of(arguments: list[str]) -> str | None:
    """Return the folder that `resume=` names, None where nothing is resumed."""
    named = [argument.removeprefix(KEY) for argument in arguments if argument.startswith(KEY)]
    return paths.unquoted(named[-1]) if named and named[-1] not in ("", "null") else None


def prepare(arguments: list[str]) -> dict[str, Any] | None:
    """Return the checked configuration with which a run goes on; None where nothing is left to do.

    Raises:
        UsageError: a key that the run does not have, a value that does not fit, an end that the run has passed, or
            versions that differ from those of the run and are not accepted.
        InputOutputError: the folder holds no run, no checkpoint to go on from, or no best weights any more.
        DataError: damaged checkpoints, or a damaged configuration (`arena.config.restore.check_stored`).
    """
    typed = folder_of(arguments)
    assert typed is not None
    for argument in arguments:
        if argument.startswith("-"):
            raise UsageError(f"{argument}: a run that goes on takes keys only, resume=FOLDER key=value ...")
    run = RunFolder(typed).require()
    checkpoints.newest(run.checkpoints)
    values = [argument for argument in arguments if not argument.startswith(KEY)]
    given, settings = as_typed(values, lambda each: (found := given_values(each), changed(run, found)))
    result = run.read_result()
    same_versions(result, settings["accept_versions"])
    if (result.get("monitor") or {}).get("step") is not None:
        checkpoints.check(run.best)
    go_on = _goes_on(run, settings, result, {each.key for each in given})
    return settings | {"resume": str(run.path)} if go_on else None


def changed(run: RunFolder, given: list[Given]) -> dict[str, Any]:
    """Return the stored configuration with given values instead, checked; raises the errors of `prepare`."""
    settings = restore.stored_values(run)
    for each in given:
        _put(settings, each, run)
    for key in redact.hidden_keys(settings):
        raise UsageError(f"{key}: the run in {run.path} keeps no passwords; give {key}=... again")
    run.trusted = tuple(settings["trusted_packages"])
    return restore.check_stored(run, settings, [each.key for each in given])


def _put(settings: dict[str, Any], given: Given, run: RunFolder) -> None:
    """Replace one value; `+key=value` may also add one."""
    *above, name = given.key.split(".")
    if given.key == "run_dir" or above[:1] == ["hydra"]:
        raise UsageError(f"{given.key}: a run goes on in its own folder, {run.path}")
    node: Any = settings
    for part in above:
        if part not in node and given.adds and node is not settings:
            node[part] = {}
        above_it, node = node, node.get(part)
        if not isinstance(node, dict):
            raise UsageError(f"{given.key}: the run in {run.path} has no {part}{closest(part, above_it)}")
    if name not in node and not (given.adds and above):
        choices = typed_names(node) if above == ["data"] else [key for key in node if not key.startswith("_")]
        raise UsageError(f"{given.key}: the run in {run.path} has no such key{closest(name, choices)}")
    if given.value is not None and not isinstance(given.value, dict):
        group = not above and (config.folder() / name).is_dir()
        if group or isinstance(node.get(name), dict):
            raise UsageError(
                f"{given.key}={given.value}: a run goes on with the {name} that it has; give single keys, "
                f"{given.key}.KEY=VALUE, or start a new run"
            )
    node[name] = given.value


def same_versions(result: dict[str, Any], accept: bool) -> None:
    """Refuse other versions than the run was trained with, or warn where `accept` is true.

    Raises UsageError where commit, Python, torch or another package that decides the numbers differs.
    """
    before = {"commit": (result.get("git") or {}).get("commit")} | (result.get("versions") or {})
    now = {"commit": git_state(Path(__file__).parent)["commit"]} | versions()
    changes = []
    for name, found in before.items():
        old, new = (re.sub(r"^([0-9a-f]{10})[0-9a-f]{30}$", r"\1", str(v or "")) for v in (found, now.get(name)))
        if old and new and old != new:
            changes.append(f"{name} {old}, now {new}")
    differing = "; ".join(changes)
    if differing and not accept:
        raise UsageError(
            f"the run was trained with {differing}; go on with what it had, or accept that its numbers may change: "
            "accept_versions=true"
        )
    if differing:
        log.warning("the run was trained with %s: its numbers may change from here on", differing)


def _goes_on(run: RunFolder, settings: dict[str, Any], result: dict[str, Any], given: set[str]) -> bool:
    """Test for work that is left: training up to a later end, or a new evaluation of a finished run.

    Raises UsageError where the end is not later, or a finished run would be trained with other settings.
    """
    from arena.config.weights import read_checkpoint

    finished = result.get("status") in FINISHED
    key = "trainer.max_epochs" if settings["trainer"]["max_steps"] == -1 else "trainer.max_steps"
    wanted = settings["trainer"][key.partition(".")[2]]
    if given & set(ENDS):
        found = read_checkpoint(checkpoints.newest(run.checkpoints)[0])
        by_steps = key == "trainer.max_steps"
        reached = int(found["global_step"]) if by_steps else int(found["epoch"]) + finished
        if wanted is not None and wanted != -1 and wanted <= reached:
            raise UsageError(
                f"{key}={wanted}: the run in {run.path} has {reached} {'steps' if by_steps else 'epochs'} behind it; "
                "give more, or start a new run"
            )
        return True
    if not finished:
        return True
    more = f"{key} above {wanted} lets it go on"
    for name in sorted(given):
        if name not in ACCEPTED and not name.startswith(EVALUATION):
            raise UsageError(f"{name}: the run in {run.path} is finished, so this would change nothing; {more}")
    if given - ACCEPTED:
        return True
    echo(f"{run.path}: the run is finished ({result['status']}) and stays as it is; {more}")
    return False


def log_to(run: RunFolder) -> None:
    """Send messages where a new run sends them: to the screen and to the run's log."""
    rules = read_yaml(config.folder() / "hydra" / "job_logging" / "arena.yaml")
    rules["handlers"]["file"]["filename"] = str(run.path / "run.log")
    logging.config.dictConfig(rules)
