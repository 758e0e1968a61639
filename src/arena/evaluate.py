"""`python -m arena.evaluate run=FOLDER [data.path=FILE]`: rebuild a trained model, prove that it is the one, judge."""

import sys
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import say, show_messages
from arena.core.data_keys import TRAINING, has, merged, put, refuse_idle_keys
from arena.core.errors import UsageError, run_main
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.values import flat
from arena.evaluation.generation import command

USAGE = """python -m arena.evaluate run=FOLDER [data.path=FILE] [key=value] ...

Rebuilds the model of a run, checks that it reproduces the recorded validation loss to 1e-6 nats, and judges it:
on the run's own validation rows, or on every row of another file.

  run=FOLDER          a run folder of arena.train
  data.path=FILE      judge on this labelled file instead; other data.* keys say how it is read (data.limit=100,
                      data.on_bad_row=quarantine), and those that only training has a use for are refused
  checkpoint=FILE     weights other than the run's best
  output=FOLDER       where predictions.parquet, evaluation.json and the tables of classes go (default:
                      FOLDER/evaluation/<name of the file>)
  targets={accuracy: 0.7}   what to reach, shown beside what was reached (default: evaluate.targets of the run)
  resamples=200       bootstrap resamples behind each interval
  verify=true         false skips the check of the validation loss (needed where the training data are gone)
"""
WHOLE: dict[str, Any] = {
    "split": {
        **{"val_share": 0, "test_share": 0, "folds": None, "fold": None, "val_path": None, "test_path": None},
        "near_duplicates": None,
    },
    "sampling": {"method": "uniform", "curriculum_epochs": 0, "hardness": None},
    "target": {"source": "winner", "teacher": None},
    "pseudo": {"path": None, "predictions": None},
}
"""Data settings under which all rows of a file are one split."""
DEFAULTS: dict[str, Any] = {"checkpoint": None, "output": None, "targets": None, "resamples": 200, "verify": True}


def evaluate(given: restore.Options) -> dict[str, Any]:
    """Verify, predict, judge, write, print; returns what was written to `evaluation.json`."""
    run, others = given.run, given.others
    settings = restore.settings_of(run)
    writes = kind_of(settings).writes_replies
    if writes:
        command.check(others)
    else:
        refuse_sampling(others)
    check_data_keys(given.data)
    # Nothing is held back from a file that is only judged: all of its rows are one split.
    elsewhere = restore.settings_of(run, merged(whole(settings["data"]), given.data)) if given.data else None
    path = elsewhere["data"]["path"] if elsewhere else None
    name = Path(path if isinstance(path, str) else path[0]).stem if path else "val"
    folder = Path(others["output"] or run.path / "evaluation" / name)
    check_writable(folder, "output")
    checkpoint = Path(others["checkpoint"]) if others["checkpoint"] else run.best
    checkpoints.check(checkpoint)
    build.quiet()
    task = restore.rebuild(run, settings, checkpoint)
    targets = targets_of(settings, others["targets"], task.metrics.names)
    trainer = build.evaluator(settings, run, limited=True)
    data = build.data(settings)
    if others["verify"]:
        loss = restore.verify(run, settings, task, trainer, data)
        say(f"the model reproduces the recorded validation loss: {loss:.7f}")
    predictions = folder / "predictions.parquet"
    if elsewhere is None:
        written = own_rows(task, trainer, data, predictions)
    else:
        written = other_rows(task, trainer, build.data(elsewhere), predictions)
    judge, seed = build.judge(settings), settings["seed"]
    judged = report(run, task, judge, others["resamples"], seed, written, folder, name, targets)
    if not writes:
        return judged
    if elsewhere is not None:
        others |= {"split": "train", "name": name if others["name"] == "default" else others["name"]}
        data = build.data(elsewhere)
    return judged | {"generations": command.evaluate_replies(given, settings, task, data, run)}


def whole(data: dict[str, Any]) -> dict[str, Any]:
    """The values of `WHOLE` for the keys that a node `data` has."""
    found: dict[str, Any] = {}
    for key, value in flat(WHOLE):
        if has(data, key):
            put(found, key, value)
    return found


def check_data_keys(data: dict[str, Any]) -> None:
    """Refuse `data.*` keys that would not change what is judged.

    Raises:
        UsageError: there is one.
    """
    refuse_idle_keys(data, TRAINING, "it was settled when the run was trained; every row of data.path is judged")
    if data and not {"path", "reader"} & set(data):
        raise UsageError(f"data.{next(iter(data))}: give data.path=FILE too; the run's own rows are judged as they are")


def refuse_sampling(others: dict[str, Any]) -> None:
    """Insist that nothing is said of sampling where the run is no language model.

    Raises:
        UsageError: something is.
    """
    for key, default in command.DEFAULTS.items():
        if others.get(key, default) != default:
            raise UsageError(f"{key}: this run judges, it writes no replies; {key} is for runs of a language model")


def own_rows(task: Any, trainer: Any, data: Any, path: Path) -> Path:
    """Predictions for the run's validation split.

    Raises:
        UsageError: it has none.
    """
    from arena.callback.predictions import write_predictions

    data.setup()
    if not len(data.rows("val")):
        raise UsageError("run: it has no validation rows; give data.path=FILE")
    if "val" not in task.predictions:
        trainer.validate(task, dataloaders=data.val_dataloader(), verbose=False)
    return write_predictions(
        path, task.predictions["val"], data.covariates("val"), data.labels, data.true_probabilities("val")
    )


def other_rows(task: Any, trainer: Any, data: Any, path: Path) -> Path:
    """Predictions for every row of another file."""
    from arena.callback.predictions import write_predictions

    data.setup()
    trainer.test(task, dataloaders=data.evaluation_loader("train"), verbose=False)
    covariates, truth = data.covariates("train"), data.true_probabilities("train")
    return write_predictions(path, task.predictions["test"], covariates, data.labels, truth)


def targets_of(settings: build.Settings, given: Any, names: list[str]) -> dict[str, float]:
    """What to reach: `targets=` of the command line, or else `evaluate.targets` of the run.

    Raises:
        UsageError: what is given is no mapping to numbers, or names a metric that there is not.
    """
    from arena.core.values import check_target_names
    from arena.evaluation import targets as aims

    targets = settings.get("evaluate", {}).get("targets") if given is None else aims.check_values(given, "targets")
    check_target_names(targets or {}, names)
    return targets or {}


def report(
    run: Any,
    task: Any,
    judge: Any,
    resamples: int,
    seed: int,
    predictions: Path,
    folder: Path,
    name: str,
    targets: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Judge the predictions against the prior of the run's training rows; write `evaluation.json` and the tables, print
    the numbers."""
    import json

    from arena.core.run import plain, write_atomically
    from arena.evaluation import show
    from arena.evaluation import targets as aims

    counts = restore.training_counts(run, task.metrics.labels) if task.metrics.labels else None
    judged = judge.judge(predictions, task.metrics, counts, resamples, seed)
    write_atomically(folder / "evaluation.json", json.dumps(plain(judged), indent=2) + "\n")
    judge.write(predictions, task.metrics, folder, counts)
    reached = aims.lines(targets or {}, judged["metrics"], task.metrics)
    if targets:
        aims.write(folder / aims.FILE, reached)
    judge.show(name, judged, folder)
    show.targets(aims.shown(reached))
    say(f"written to {shown(folder)}")
    return judged


def main() -> None:
    """The command line."""

    def work() -> None:
        given = command.read(sys.argv[1:], DEFAULTS | command.DEFAULTS, USAGE + command.USAGE)
        show_messages()
        evaluate(given)

    run_main(work)


if __name__ == "__main__":
    main()
