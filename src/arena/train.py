"""`python -m arena.train`: train, validate and test one model."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arena.config import build, resume
from arena.config import compose as config
from arena.config.fitting import fit as fit_model
from arena.core import devices
from arena.core.console import echo
from arena.core.errors import run_main
from arena.core.files import check_room
from arena.core.paths import quote_path
from arena.core.record import Record
from arena.core.run import RunFolder, rank
from arena.evaluation.results import Fit
from arena.model.identity import identity, reason_against_export
from arena.reporting.ending import Ending
from arena.sweep import parent

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("arena")


def train(composed: "DictConfig") -> float | None:
    """Run one configuration from seed to result; returns the best monitored value (what a sweep optimises)."""
    return trained(config.resolved(composed))


def trained(settings: build.Settings) -> float | None:
    """Run a checked configuration; see `train`."""
    from arena.evaluation.baselines.training import fit_baselines, predict_untrained
    from arena.evaluation.split import evaluate_and_finish

    run = RunFolder(settings["run_dir"])
    first = rank() == 0
    ending = Ending(run, settings["evaluate"]["figures"])
    with run.locked(enabled=first), ending, Record(run, settings, writes=first) as record:
        build.preflight(settings)
        seed(settings)
        build.validate_components(settings)
        data = build.data(settings)
        data.setup("fit")
        record.add_data(data)
        build.check_splits(data, settings)
        task = build.task(settings)
        record.add(model=identity(task.model))
        if reason := reason_against_export(task.model, settings):
            log.info("arena.export will not take this model: %s", reason)
        build.check_fit(task, data)
        known = fit_baselines(settings, data, run) if first else {}
        build.init_from_class_prior(task, data)
        if first:
            build.save_artefacts(task, data, settings, run)
            record.write_config()
            known |= predict_untrained(settings, task, data, run)
        trainer = build.trainer(settings, run)
        ending.begin(trainer, task, data)
        fit_model(trainer, task, data, settings, record)
        if (reason := build.pruned(trainer)) is not None:
            finish_pruned(record, reason)
        else:
            evaluate_and_finish(trainer, task, data, settings, record, known)
        return record.result["monitor"]["value"]


def fit(overrides: Sequence[str] = ()) -> Fit:
    """Train one model: `python -m arena.train` as a function, without Hydra's own files and without sweeps.

    `overrides` are as typed, such as `["model=minilm", "loss=focal", "resume=FOLDER"]`. Raises UsageError,
    InputOutputError, DataError and DivergedError as the command.
    """
    typed = list(overrides)
    if resume.folder_of(typed):
        settings = resume.prepare(typed)
        folder = str(resume.folder_of(typed)) if settings is None else settings["run_dir"]
    else:
        config.register_resolvers()
        settings = config.typed_settings(typed)
        devices.check(settings["trainer"])
        folder = settings["run_dir"]
        guard(settings, folder)
        Path(folder).mkdir(parents=True, exist_ok=True)
    if settings is not None:
        resume.log_to(RunFolder(folder))
        trained(settings)
    return Fit.of(RunFolder(folder).path, RunFolder(folder).read_result())


def seed(settings: build.Settings) -> None:
    """Import what is heavy, quieten it, and seed every generator."""
    from arena.evaluation import printing

    if rank() == 0:
        printing.print_configuration(settings, settings["run_dir"])
    build.quiet()
    from lightning.pytorch import seed_everything

    seed_everything(settings["seed"], workers=True, verbose=False)


def finish_pruned(record: Record, reason: str) -> None:
    """Finish a pruned trial: neither evaluated nor tested, with the best value that it reached."""
    record.finish("pruned", reason)
    if record.writes:
        monitor = record.result["monitor"]
        value = "no value" if monitor["value"] is None else f"{monitor['value']:.4f}"
        echo(f"{reason}; best {monitor['name']} {value}; result in {record.run.path}")


def guard(settings: build.Settings, folder: str) -> None:
    """Refuse to train over another run (UsageError) or on a full disk (InputOutputError)."""
    RunFolder(folder).require_free("hydra.run.dir", f", or resume={quote_path(folder)}")
    check_room(Path(folder))


def _sweeps(overrides: list[str], config_name: str) -> bool:
    """Check the command line of a sweep (`arena.sweep.plan.check`)."""
    from arena.sweep import plan

    return plan.check(overrides, config_name)


def main() -> None:
    """Run the command line."""
    parent.die_with_parent()
    typed = sys.argv[1:]
    if resume.folder_of(typed) and not {"--help", "-h"} & set(typed):
        run_main(lambda: fit(typed))
    else:
        config.run(train, guard=guard, sweeps=_sweeps)


if __name__ == "__main__":
    main()
