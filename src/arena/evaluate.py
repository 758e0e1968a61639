"""`python -m arena.evaluate run=FOLDER [data.path=FILE]`: rebuild a trained model, verify it, evaluate it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.options import RunOptions, entry_point, make, option
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import echo
from arena.core.data_keys import TRAINING, merged, one_split, refuse_idle_keys
from arena.core.files import check_writable
from arena.core.paths import quote_path
from arena.core.run import write_json
from arena.core.schema import InputPath, OutputPath, WholeNumber
from arena.core.values import check_target_names
from arena.evaluation import targets as metric_targets
from arena.evaluation.generation import command as replies
from arena.evaluation.generation.command import ReplyOptions
from arena.evaluation.results import Evaluation


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions, ReplyOptions):
    """Rebuild the model of a run, check that it reproduces the recorded validation loss to 1e-6 nats, and evaluate it:
    on the run's own validation rows, or on every row of another file.
    """

    data: dict[str, Any] = option(
        "evaluate on this labelled file instead; other data.* keys say how it is read (data.limit=100, "
        "data.on_bad_row=quarantine), and those that only training has a use for are refused",
        default={},
        placeholder="path=FILE",
        takes="dotted",
    )
    checkpoint: InputPath | None = option("weights other than the run's best", default=None, placeholder="FILE")
    output: OutputPath | None = option(
        "where predictions.parquet, evaluation.json and the tables go (default: evaluation/<name of the file> in the "
        "run folder)",
        default=None,
        placeholder="FOLDER",
    )
    targets: dict[str, float] | None = option(
        "what to reach, shown beside what was reached: {accuracy: 0.7} (default: evaluate.targets of the run)",
        default=None,
    )
    resamples: WholeNumber = option("bootstrap resamples of each interval", default=200)
    verify: bool = option("false skips the check of the validation loss (where the training data are gone)", True)


def evaluate_run(run: str | Path, **options: Any) -> Evaluation:
    """Evaluate a trained model: `python -m arena.evaluate` as a function.

    `options` are fields of `EvaluateOptions`, such as `data={"path": "test.csv"}`. Raises UsageError, InputOutputError
    and DataError as the command; nothing is written then.
    """
    return evaluate(make(EvaluateOptions, run=run, **options))


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Verify, predict, evaluate, write, print."""
    run, given = options.one_run, options.data
    settings = restore.settings_of(run)
    writes = kind_of(settings).writes_replies
    (replies.check if writes else replies.refuse)(options)
    refuse_idle_keys(given, TRAINING, "it was settled when the run was trained; every row of data.path is evaluated")
    elsewhere = restore.settings_of(run, merged(one_split(settings["data"]), given)) if given else None
    if not {"path", "reader"} & set(given):
        refuse_idle_keys(given, None, "give data.path=FILE too; the run's own rows are evaluated as they are")
    path = elsewhere["data"]["path"] if elsewhere else None
    name = Path(path if isinstance(path, str) else path[0]).stem if path else "val"
    folder = Path(options.output or run.path / "evaluation" / name)
    check_writable(folder, "output")
    checkpoint = Path(options.checkpoint) if options.checkpoint else run.best
    checkpoints.check(checkpoint)
    build.quiet()
    from arena.evaluation.split import evaluate_split, predicted

    task, data = restore.rebuild(run, settings, checkpoint), build.data(settings)
    targets = settings.get("evaluate", {}).get("targets")
    targets = targets if options.targets is None else metric_targets.check_values(options.targets, "targets")
    check_target_names(targets or {}, task.metrics.names)
    trainer = build.evaluation_trainer(settings, run, limited=True)
    if options.verify:
        loss = restore.verify(run, settings, task, trainer, data)
        echo(f"the model reproduces the recorded validation loss: {loss:.7f}")
    data = build.data(elsewhere) if elsewhere else data
    file = predicted(task, trainer, data, folder / "predictions.parquet", "train" if elsewhere else "val")
    counts = restore.training_counts(run, task.metrics.labels) if task.metrics.labels else None
    evaluator = build.evaluator(settings)
    results, reached = evaluate_split(
        evaluator, file, task.metrics, counts, folder, targets, options.resamples, settings["seed"]
    )
    write_json(folder / "evaluation.json", results)
    evaluator.show(name, results, folder)
    metric_targets.print_targets(reached)
    echo(f"written to {quote_path(folder)}")
    if not writes:
        return Evaluation.of(folder, results)
    split = "train" if elsewhere is not None else options.split
    folder_name = name if elsewhere is not None and options.name == "default" else options.name
    generations = replies.evaluate_replies(options, split, folder_name, settings, task, data, run)
    return Evaluation.of(folder, results | {"generations": generations})


main = entry_point(evaluate, EvaluateOptions)

if __name__ == "__main__":
    main()
