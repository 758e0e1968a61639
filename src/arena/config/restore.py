"""A trained model back from its run folder, for everything that comes after training."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.config import build, stored, weights
from arena.core import checkpoints, paths
from arena.core.data_keys import get, put, replace_keys
from arena.core.errors import DataError, UsageError
from arena.core.run import RunFolder
from arena.core.values import flat
from arena.model import preflight

if TYPE_CHECKING:
    from arena.task.module import Task

log = logging.getLogger("arena")
INPUTS = (
    *("path", "split.val_path", "split.test_path", "sampling.hardness", "target.teacher", "target.offset"),
    *("pseudo.path", "pseudo.predictions"),
)
"""Keys of `data` that name files of the training."""
TOLERANCE = 1e-6
"""Nats by which a rebuilt model may miss the recorded validation loss."""
WAY_ON = " (verify=false goes on regardless)"


def settings_of(run: RunFolder, data: dict[str, Any] | None = None) -> build.Settings:
    """The run's configuration, with keys of `data` replaced, so that it rebuilds from the folder alone.

    Weights come from the checkpoint and the tokenizer from the copy in the folder: no hub, no package is needed.

    Raises:
        UsageError: a key that the run's data do not have, a value of a wrong type, or a class that is not trusted.
        DataError: a stored configuration that does not fit; see also `check_offset`.
    """
    settings = stored.values_of(run)
    node, given = settings["data"], dict(flat(data or {}))
    node["ingest"]["rejects"] = None  # the training's: a later command leaves it as it is
    offset = get(node, "target.offset")
    replace_keys(node, data or {})
    if "path" in given:
        check_offset(run, offset, given)
    # The data of the training may be gone from this machine; whoever needs them finds out when reading them.
    away = {key: value for key in INPUTS if (value := get(node, key)) is not None and key not in given}
    for key in away:
        put(node, key, None)
    # Beneath adapters lie the published weights, which no checkpoint repeats.
    adapter = settings.setdefault("adapter", {"method": "none"})
    if "pretrained" in settings["model"] and isinstance(adapter, dict) and adapter.get("method") == "none":
        settings["model"]["pretrained"] = False
    if run.tokenizer.is_dir():
        for tokenizer in (settings["tokenizer"], node["tokenizer"]):
            tokenizer["path"] = str(run.tokenizer)
    checked = stored.checked(run, settings, [f"data.{key}" for key in given])
    for key, value in away.items():
        put(checked["data"], key, value)
    if "truncation.max_length" in given and "architecture" in checked["model"]:
        preflight.check_length(checked["model"]["name"], checked["model"]["architecture"], checked["data"])
    return checked


def check_offset(run: RunFolder, offset: str | list[str] | None, data: dict[str, Any]) -> None:
    """Insist on an offset for other rows than those of the training, where the run was trained with one.

    Args:
        run: the run.
        offset: that of its training.
        data: `data.*` keys of the command line, dotted, with a path.

    Raises:
        DataError: there is none.
        UsageError: there is one, and the run was trained without.
    """
    given = data.get("target.offset")
    if offset is not None and given is None:
        baseline = paths.shown(offset) if isinstance(offset, str) else "BASELINE"
        raise DataError(
            f"data.offset: a value is needed, {run.path} was trained on top of {offset}; make it for these rows "
            f"with python -m arena.predict run={baseline} data.path={paths.shown(data['path'])} "
            "output=FILE.parquet"
        )
    if offset is None and given is not None:
        raise UsageError(f"data.offset={given}: {run.path} was trained without one")


def rebuild(run: RunFolder, settings: build.Settings, checkpoint: Path | None = None) -> "Task":
    """The task with the best weights of the run, or those of `checkpoint`.

    Raises:
        InputOutputError: no readable checkpoint.
        DataError: the checkpoint belongs to another model.
    """
    checkpoints.check(checkpoint or run.best)
    level = log.level
    log.setLevel(logging.WARNING)  # it would say "random weights", which the checkpoint replaces
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
    """Validate again and insist on the recorded validation loss; returns it. `way_on`: what the message ends on.

    Raises:
        DataError: nothing was recorded, the data changed, or the loss is not reproduced.
    """
    result = run.read_result()
    recorded = (result.get("validation") or {}).get("loss", {}).get("value")
    if recorded is None:
        raise DataError(
            f"{run.result}: no validation loss is recorded (status {result.get('status')}); the run never got there"
        )
    data.setup()
    fingerprint = data.summary()["fingerprint"]
    if fingerprint != result["data"]["fingerprint"]:
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
    """Rows of each class in the run's training split, `[K]`, or `[C]` of several heads, from its `result.json`."""
    import numpy as np

    from arena.core.heads import Heads

    heads = Heads(labels)
    facts = run.read_result()["data"]
    shares = facts["class_shares"]["train"]
    counts = []
    for head in heads.names:
        # The shares of a head are those among the rows that have its label.
        rows = facts["labelled"]["train"][head] if heads.named else facts["splits"]["train"]
        counts += [round(shares[name] * rows) for name in heads.columns_of(head)]
    return np.array(counts)
