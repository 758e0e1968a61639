"""Trained models back from their run folders, whoever made these: configuration, weights, verification."""

import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.config import build, compose, weights
from arena.config.pairing import check_parts
from arena.core import checkpoints, paths
from arena.core.data_keys import get, put, replace_keys
from arena.core.errors import DataError, UsageError
from arena.core.places import NotTrustedError, Stored
from arena.core.run import RunFolder
from arena.core.stored import read, relocated
from arena.core.values import flat
from arena.model import preflight

if TYPE_CHECKING:
    from arena.task.module import Task

log = logging.getLogger("arena")
CLASSES = ("data", "loss", "metric", "model", "optim", "tokenizer", "trainer")
"""Keys of a stored configuration that each name a class."""
TRAINING_FILES = (
    *("path", "split.val_path", "split.test_path", "sampling.hardness", "target.teacher", "target.offset"),
    *("pseudo.path", "pseudo.predictions"),
)
"""Keys of `data` that name files of the training."""
TOLERANCE = 1e-6
"""Nats by which a rebuilt model may miss the recorded validation loss."""
WAY_ON = " (verify=false goes on regardless)"


def stored_values(run: RunFolder) -> build.Settings:
    """Read the configuration of a run folder, with the places where the folder is now; not yet checked.

    What belongs to a command line is left out: trusted packages, accepted versions, online loggers, and the places of
    rejected rows and caches. Raises InputOutputError where the file cannot be read, DataError where it is damaged.
    """
    plain = read(run.config)
    plain = relocated(plain, str(plain["run_dir"]), str(run.path))
    for name in CLASSES:
        if not isinstance(plain.get(name), dict) or "_target_" not in plain[name]:
            raise DataError(f"{run.config}: damaged, {name} names no class")
    plain |= {"run_dir": str(run.path), "resume": None, "accept_versions": False, "trusted_packages": list(run.trusted)}
    if isinstance(plain["data"].get("ingest"), dict):
        plain["data"]["ingest"] |= {"rejects": str(run.path / "rejects.jsonl")}
    if plain["data"].get("cache"):
        plain["data"]["cache"] = "auto"
    loggers = plain.get("logger")
    for node in loggers.values() if isinstance(loggers, dict) else ():
        if isinstance(node, dict) and "offline" in node:
            node["offline"] = True
    return plain


def check_stored(run: RunFolder, plain: build.Settings, given: Collection[str] = ()) -> build.Settings:
    """Check `stored_values` like a typed configuration; `given` are the dotted keys that the command line replaced.

    Raises:
        InputOutputError: a path that does not exist.
        DataError: a stored value that does not fit its place.
        UsageError: a given value that does not fit, or a class of the user's own that is not trusted.
    """
    origin = Stored(run.path, frozenset(given))
    try:
        check_parts(plain, run.trusted)
        return compose.checked(plain, run.trusted, origin)
    except NotTrustedError as error:
        raise NotTrustedError(f"{run.config}: {error}") from None
    except UsageError as error:
        if not origin.holds(re.split("[=:]", str(error), maxsplit=1)[0]):
            raise
        raise DataError(f"{run.config}: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{run.config}: damaged ({error}); copy the run folder again, or train again") from None


def settings_of(run: RunFolder, data: dict[str, Any] | None = None) -> build.Settings:
    """Return the run's checked configuration, with keys of `data` replaced, so that the folder alone rebuilds it.

    Weights come from the checkpoint and the tokenizer from the copy in the folder: no hub, no package is needed.
    Raises the errors of `check_stored`, UsageError for a key that the run's data do not have, and those of
    `check_offset`.
    """
    settings = stored_values(run)
    node, given = settings["data"], dict(flat(data or {}))
    node["ingest"]["rejects"] = None  # the training's: a later command leaves it as it is
    offset = get(node, "target.offset")
    replace_keys(node, data or {})
    if "path" in given:
        check_offset(run, offset, given)
    # The data of the training may be gone from this machine; reading them fails only where they are needed.
    away = {key: value for key in TRAINING_FILES if (value := get(node, key)) is not None and key not in given}
    for key in away:
        put(node, key, None)
    # Adapters stand on the published weights, which no checkpoint repeats.
    adapter = settings.setdefault("adapter", {"method": "none"})
    if "pretrained" in settings["model"] and isinstance(adapter, dict) and adapter.get("method") == "none":
        settings["model"]["pretrained"] = False
    if run.tokenizer.is_dir():
        for tokenizer in (settings["tokenizer"], node["tokenizer"]):
            tokenizer["path"] = str(run.tokenizer)
    checked = check_stored(run, settings, [f"data.{key}" for key in given])
    for key, value in away.items():
        put(checked["data"], key, value)
    if "truncation.max_length" in given and "architecture" in checked["model"]:
        preflight.check_length(checked["model"]["name"], checked["model"]["architecture"], checked["data"])
    return checked


def check_offset(run: RunFolder, offset: str | list[str] | None, data: dict[str, Any]) -> None:
    """Require an offset for new rows (`data`: dotted keys of the command line) exactly where the training had one.

    Raises DataError where it is missing, UsageError where the run was trained without.
    """
    given = data.get("target.offset")
    if offset is not None and given is None:
        baseline = paths.quote_path(offset) if isinstance(offset, str) else "BASELINE"
        raise DataError(
            f"data.offset: a value is needed, {run.path} was trained on top of {offset}; make it for these rows "
            f"with python -m arena.predict run={baseline} data.path={paths.quote_path(data['path'])} "
            "output=FILE.parquet"
        )
    if offset is None and given is not None:
        raise UsageError(f"data.offset={given}: {run.path} was trained without one")


def rebuild(run: RunFolder, settings: build.Settings, checkpoint: Path | None = None) -> "Task":
    """Build the task with the best weights of the run, or those of `checkpoint`.

    Raises InputOutputError where there is no readable checkpoint, DataError where it is one of another model.
    """
    checkpoints.check(checkpoint or run.best)
    level = log.level
    log.setLevel(logging.WARNING)  # hides "random weights", which the checkpoint replaces
    try:
        task = build.task(settings)
    finally:
        log.setLevel(level)
    weights.load_weights(task, checkpoint or run.best)
    log.info("weights from %s", checkpoint or run.best)
    return task.eval()


def verify(
    run: RunFolder, settings: build.Settings, task: "Task", trainer: Any, data: Any, way_on: str = WAY_ON
) -> float:
    """Validate again and require the recorded validation loss, in nats; returns it.

    Raises DataError, which ends on `way_on`: nothing was recorded, the data changed, or the loss is not reproduced.
    """
    result = run.read_result()
    recorded = (result.get("validation") or {}).get("loss", {}).get("value")
    if recorded is None:
        raise DataError(
            f"{run.result}: no validation loss is recorded (status {result.get('status')}); the run never got there"
        )
    data.setup()
    if data.summary()["fingerprint"] != result["data"]["fingerprint"]:
        raise DataError(f"{settings['data']['path']}: the data changed since the run; it cannot be reproduced")
    trainer.validate(task, dataloaders=data.val_dataloader(), verbose=False)
    found = float(task.predictions["val"].loss.double().nanmean())
    if not abs(found - recorded) <= TOLERANCE:
        raise DataError(
            f"{run.path}: these weights give a validation loss of {found:.7f}, the run recorded {recorded:.7f}; "
            f"they are not the weights, the data or the kind of machine of that run{way_on}"
        )
    return found


def training_counts(run: Any, labels: Any) -> Any:
    """Count the rows of each class in the training split from `result.json`: `[K]`, or `[C]` of several heads."""
    import numpy as np

    from arena.core.heads import Heads

    heads = Heads(labels)
    summary = run.read_result()["data"]
    shares = summary["class_shares"]["train"]
    counts = []
    for head in heads.names:
        # The shares of a head are those among the rows that have its label.
        rows = summary["labelled"]["train"][head] if heads.named else summary["splits"]["train"]
        counts += [round(shares[name] * rows) for name in heads.columns_of(head)]
    return np.array(counts)
