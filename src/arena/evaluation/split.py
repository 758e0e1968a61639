"""The rows of a split: predicted, evaluated, compared with targets, and printed."""

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arena.callback.predictions import write_predictions
from arena.config import build, weights
from arena.core.console import echo
from arena.core.errors import UsageError
from arena.core.paths import quote_path
from arena.core.record import Record
from arena.evaluation import targets as metric_targets
from arena.evaluation.baselines.evaluation import aligned


def predicted(task: Any, trainer: Any, data: Any, path: Path, split: Literal["val", "train"]) -> Path:
    """Write the predictions for a split; returns the file.

    `split` is `val` of the run's own data; of another file `train`, which holds every row
    (`arena.core.data_keys.one_split`). A `UsageError` where the run has no validation rows.
    """
    data.setup()
    if split == "train":
        trainer.test(task, dataloaders=data.evaluation_loader("train"), verbose=False)
    elif not len(data.rows("val")):
        raise UsageError("run: it has no validation rows; give data.path=FILE")
    elif "val" not in task.predictions:
        trainer.validate(task, dataloaders=data.val_dataloader(), verbose=False)
    found = task.predictions["val" if split == "val" else "test"]
    return write_predictions(path, found, data.covariates(split), data.labels, data.true_probabilities(split))


def evaluate_split(
    evaluator: Any,
    path: Path,
    metrics: Any,
    counts: Any,
    folder: Path,
    targets: dict[str, float] | None,
    resamples: int,
    seed: int,
    baselines: dict[str, np.ndarray] | None = None,
    figures: bool = True,
) -> tuple[dict[str, Any], list[list[str]]]:
    """Evaluate a predictions file, and write the tables of classes and of targets; returns the results, and the table
    of targets for `arena.evaluation.targets.print_targets`."""
    results = evaluator.evaluate(path, metrics, counts, resamples, seed, baselines)
    evaluator.write(path, metrics, folder, counts, figures)
    reached = metric_targets.lines(targets or {}, results["metrics"], metrics)
    if targets:
        metric_targets.write(folder / metric_targets.FILE, reached)
    return results, reached


def evaluate_and_finish(
    trainer: Any, task: Any, data: Any, settings: build.Settings, record: Record, baselines: dict[str, Any]
) -> None:
    """Evaluate the best weights of a training on validation and test, finish its record, print the last split."""
    started = time.time()
    if trainer.checkpoint_callback.best_step is not None:
        weights.load_weights(task, record.run.best)
    if settings["test"]:
        trainer.test(task, datamodule=data, verbose=False)
    if not record.writes:
        return
    counts, resamples, seed = data.class_counts("train"), settings["resamples"], settings["seed"]
    chosen, evaluator = settings["evaluate"], build.evaluator(settings)
    for split in ("val", "test") if settings["test"] else ("val",):
        path, folder = record.run.predictions(split), record.run.path / "report" / split
        known = aligned(path, baselines, data, split)
        results, reached = evaluate_split(
            evaluator, path, task.metrics, counts, folder, chosen["targets"], resamples, seed, known, chosen["figures"]
        )
        record.add_results(split, results)
    evaluator.show("test" if settings["test"] else "validation", results, folder)  # pyright: ignore
    metric_targets.print_targets(reached)  # pyright: ignore
    record.add(generations=evaluator.generations(settings, task, data, record.run))
    record.add(time={"test": time.time() - started})
    record.finish(build.status(trainer))
    echo(f"result in {quote_path(record.run.path)}")
