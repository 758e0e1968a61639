"""`python -m arena.train`: train, judge and test one model.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from arena.config import build, resume, weights
from arena.config import compose as config
from arena.core import checkpoints
from arena.core.console import say
from arena.core.errors import UsageError, run_main
from arena.core.paths import shown
from arena.core.record import Record
from arena.core.run import RunFolder, rank
from arena.model.identity import identity, reason_against_export
from arena.reporting.dashboards.ending import Dashboards
from arena.sweep import lifeline

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("arena")


def train(composed: "DictConfig") -> float | None:
    """Run one configuration from seed to result; returns the best monitored value (what a sweep optimises)."""
    return trained(config.resolved(composed))


def trained(settings: build.Settings) -> float | None:
    """Run a checked configuration; see `train`."""
    from arena.evaluation.baselines import references

    run = RunFolder(settings["run_dir"])
    first = rank() == 0
    with run.locked(enabled=first), Dashboards(run) as dashboards, Record(run, settings, writes=first) as record:
        build.preflight(settings)
        seed(settings)
        build.rehearse(settings)
        data = build.data(settings)
        data.setup("fit")
        record_data(record, data)
        build.check_splits(data, settings)
        task = build.task(settings)
        record.add(model=identity(task.model))
        if reason := reason_against_export(task.model, settings):
            log.info("arena.export will not take this model: %s", reason)
        build.check_fit(task, data)
        known = references.fitted(settings, data, run) if first else {}
        build.start(task, data)
        if first:
            build.keep(task, data, settings, run)
            record.write_config()
            known |= references.untrained(settings, task, data, run)
        trainer = build.trainer(settings, run)
        dashboards.begin(trainer, task, data)
        fit(trainer, task, data, settings, record)
        if (reason := build.pruned(trainer)) is not None:
            give_up(record, reason)
            return record.result["monitor"]["value"]
        conclude(trainer, task, data, settings, record, known)
        return record.result["monitor"]["value"]


def seed(settings: build.Settings) -> None:
    """Import what is heavy, quieten it, and seed every generator."""
    from arena.evaluation import show

    if rank() == 0:
        show.configuration(settings, settings["run_dir"])
    build.quiet()
    from lightning.pytorch import seed_everything

    seed_everything(settings["seed"], workers=True, verbose=False)


def record_data(record: Record, data: Any) -> None:
    """Write the splits and what is known of the data; on resume, insist that the data are still the same.

    Raises:
        DataError: the rows changed since the run began.
    """
    summary = data.summary()
    before = record.result.get("data", {}).get("fingerprint")
    if record.settings["resume"] and before not in (None, summary["fingerprint"]):
        from arena.core.errors import DataError

        raise DataError(f"{data.path}: the data changed since this run began; start a new run")
    if record.writes:
        data.write_splits(record.run.splits)
    record.add(data=summary)


def fit(trainer: Any, task: Any, data: Any, settings: build.Settings, record: Record) -> None:
    """Train, from the last checkpoint where the run is resumed, and end on a validation."""
    from arena.logger import journal

    checkpoint = None
    if settings["resume"]:
        checkpoint = checkpoints.settle(record.run.checkpoints) if record.writes else record.run.last
        step, validated = weights.check_checkpoint(task, checkpoint)
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


def give_up(record: Record, reason: str) -> None:
    """Leave a trial as it is: neither judged nor tested, with the best value that it reached."""
    record.finish("pruned", reason)
    if record.writes:
        monitor = record.result["monitor"]
        value = "no value" if monitor["value"] is None else f"{monitor['value']:.4f}"
        say(f"{reason}; best {monitor['name']} {value}; result in {record.run.path}")


def conclude(
    trainer: Any, task: Any, data: Any, settings: build.Settings, record: Record, references: dict[str, Any]
) -> None:
    """Judge the best weights on validation and test, write the result, print the table."""
    started = time.time()
    if trainer.checkpoint_callback.best_step is not None:
        weights.load_weights(task, record.run.best)
    if settings["test"]:
        trainer.test(task, datamodule=data, verbose=False)
    if not record.writes:
        return
    from arena.evaluation import show
    from arena.evaluation import targets as aims
    from arena.evaluation.baselines.evaluation import aligned

    counts, resamples = data.class_counts("train"), settings["resamples"]
    chosen, judge = settings["evaluate"], build.judge(settings)
    for split in ("val", "test") if settings["test"] else ("val",):
        path = record.run.predictions(split)
        baselines = aligned(path, references, data, split)
        judged = judge.judge(path, task.metrics, counts, resamples, settings["seed"], baselines)
        record.judged(split, judged)
        report = record.run.path / "report" / split
        judge.write(path, task.metrics, report, counts, chosen["figures"])
        reached = aims.lines(chosen["targets"] or {}, judged["metrics"], task.metrics)
        if chosen["targets"]:
            aims.write(report / aims.FILE, reached)
    judge.show("test" if settings["test"] else "validation", judged, report)  # pyright: ignore
    show.targets(aims.shown(reached))  # pyright: ignore
    record.add(generations=judge.generations(settings, task, data, record.run))
    record.add(time={"test": time.time() - started})
    record.finish(build.status(trainer))
    say(f"result in {shown(record.run.path)}")


def guard(settings: build.Settings, folder: str) -> None:
    """Refuse, before anything is written, to train over another run.

    Raises:
        UsageError: `folder` holds a run already.
    """
    run = RunFolder(folder)
    if any(run.checkpoints.glob("*.ckpt")):
        raise UsageError(
            f"hydra.run.dir={folder}: it holds a run already; choose another folder, or resume={shown(folder)}"
        )


def go_on(arguments: list[str]) -> None:
    """Continue the run that `resume=` names; see `arena.config.resume`."""
    settings = resume.prepare(arguments)
    if settings is not None:
        resume.log_to(RunFolder(settings["run_dir"]))
        trained(settings)


def _sweeps(overrides: list[str], config_name: str) -> bool:
    """Check the command line of a sweep; see `arena.sweep.plan.check`."""
    from arena.sweep import plan

    return plan.check(overrides, config_name)


def main() -> None:
    """The command line."""
    lifeline.hold()
    typed = sys.argv[1:]
    if resume.folder_of(typed) and not {"--help", "-h"} & set(typed):
        run_main(lambda: go_on(typed))
    else:
        config.run(train, guard=guard, sweeps=_sweeps)


if __name__ == "__main__":
    main()
