"""The fit of a run, ending on a validation of its last step."""

import time
from typing import Any

from arena.config import build, weights
from arena.core import checkpoints
from arena.core.record import Record


def fit(trainer: Any, task: Any, data: Any, settings: build.Settings, record: Record) -> None:
    """Train, from the last checkpoint where the run is resumed, and validate the last step."""
    from arena.logger import journal

    checkpoint = None
    if settings["resume"]:
        checkpoint = checkpoints.settle(record.run.checkpoints) if record.writes else record.run.last
        found = weights.read_checkpoint(checkpoint)
        weights.compare(task.own_state(), found.get("state_dict", {}), checkpoint)
        step, states = int(found["global_step"]), found.get("callbacks", {}).values()
        validated = next((each["validated_step"] for each in states if "validated_step" in each), step)
        if record.writes:
            journal.rewind(record.run.metrics, step, validated)
    elif record.writes:
        record.run.metrics.unlink(missing_ok=True)  # of a run that was killed before its first checkpoint
    started = time.time()
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        saver = trainer.checkpoint_callback
        saver.obey_late(trainer)
        # A fit that is resumed where it ended does not count its last epoch.
        epochs = trainer.fit_loop.epoch_progress.current
        epochs.completed = max(epochs.completed, epochs.ready)
        if saver.validated_step != trainer.global_step:
            trainer.validate(task, datamodule=data, verbose=False)
    finally:
        record.add(**build.progress(trainer, record.started, started, record.result["time"]["fit"]))
