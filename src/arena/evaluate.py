"""`python -m arena.evaluate run=FOLDER [data.path=FILE]`: rebuild a trained model, prove that it is the one, judge."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import run_command, say
from arena.core.data_keys import TRAINING, merged, one_split, refuse_idle_keys
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.run import write_json
from arena.core.schema import WholeNumber, check_values
from arena.core.values import check_target_names
from arena.evaluation import targets as aims
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


@dataclass
class Options:
    """The keys of `USAGE` besides `run` and `data`."""

    checkpoint: Any = None
    output: Any = None
    targets: Any = None
    resamples: WholeNumber = 200
    verify: bool = True


DEFAULTS = asdict(Options())


def evaluate(given: restore.Options) -> dict[str, Any]:
    """Verify, predict, judge, write, print; returns what was written to `evaluation.json`.

    Raises:
        UsageError, InputOutputError, DataError: one line each; nothing is written then.
    """
    run, others = given.run, given.others
    check_values(others, Options)
    settings = restore.settings_of(run)
    writes = kind_of(settings).writes_replies
    (command.check if writes else command.refuse)(others)
    refuse_idle_keys(given.data, TRAINING, "it was settled when the run was trained; every row of data.path is judged")
    elsewhere = restore.settings_of(run, merged(one_split(settings["data"]), given.data)) if given.data else None
    if not {"path", "reader"} & set(given.data):
        reason = "give data.path=FILE too; the run's own rows are judged as they are"
        refuse_idle_keys(given.data, None, reason)
    path = elsewhere["data"]["path"] if elsewhere else None
    name = Path(path if isinstance(path, str) else path[0]).stem if path else "val"
    folder = Path(others["output"] or run.path / "evaluation" / name)
    check_writable(folder, "output")
    checkpoint = Path(others["checkpoint"]) if others["checkpoint"] else run.best
    checkpoints.check(checkpoint)
    build.quiet()
    from arena.evaluation import show
    from arena.evaluation.split import evaluate_split, predicted

    task, data = restore.rebuild(run, settings, checkpoint), build.data(settings)
    targets = settings.get("evaluate", {}).get("targets")
    targets = targets if others["targets"] is None else aims.check_values(others["targets"], "targets")
    check_target_names(targets or {}, task.metrics.names)
    trainer = build.evaluation_trainer(settings, run, limited=True)
    if others["verify"]:
        loss = restore.verify(run, settings, task, trainer, data)
        say(f"the model reproduces the recorded validation loss: {loss:.7f}")
    data = build.data(elsewhere) if elsewhere else data
    file = predicted(task, trainer, data, folder / "predictions.parquet", "train" if elsewhere else "val")
    counts = restore.training_counts(run, task.metrics.labels) if task.metrics.labels else None
    evaluator, resamples = build.evaluator(settings), others["resamples"]
    judged, reached = evaluate_split(
        evaluator, file, task.metrics, counts, folder, targets, resamples, settings["seed"]
    )
    write_json(folder / "evaluation.json", judged)
    evaluator.show(name, judged, folder)
    show.targets(reached)
    say(f"written to {shown(folder)}")
    if not writes:
        return judged
    if elsewhere is not None:
        others |= {"split": "train", "name": name if others["name"] == "default" else others["name"]}
    return judged | {"generations": command.evaluate_replies(given, settings, task, data, run)}


def main() -> None:
    """The command line."""
    defaults, usage = DEFAULTS | command.DEFAULTS, USAGE + command.USAGE
    run_command(lambda typed: evaluate(command.read(typed, defaults, usage)))


if __name__ == "__main__":
    main()
