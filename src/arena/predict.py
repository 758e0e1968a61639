"""`python -m arena.predict run=FOLDER data.path=FILE output=FILE`: probabilities of one model or of an ensemble.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.core.console import say, show_messages
from arena.core.data_keys import JUDGING, TRAINING, refuse_idle_keys
from arena.core.errors import DataError, Interrupted, UsageError, run_main
from arena.core.heads import Heads
from arena.core.paths import shown
from arena.inference import formats
from arena.inference.members import gather, labels_of
from arena.inference.outputs import outputs_of, write_outputs
from arena.inference.partial import Partial

USAGE = """python -m arena.predict run=FOLDER data.path=FILE output=FILE [key=value] ...

Writes one line for each row of the file, in its order. The file needs no labels. A prediction that was stopped goes on
where it stopped when the same command is given again.

  run=FOLDER             a run folder of arena.train, or several, whose probabilities are averaged: [FOLDER,FOLDER],
                         a pattern in quotes ('multirun/study/*'), or a folder that holds the runs 0, 1, 2, ...
  data.path=FILE         rows to predict; other data.* keys say how they are read (data.limit=100);
                         those that only training has a use for are refused
  output=FILE            replaced in one step
  format=probabilities   .csv or .parquet: id and winner_<label> for each class of the run; of several heads
                         probability_<head>_<class> and predicted_<head>; in_sample where a row trained one of the runs
         kaggle          .csv: id,winner_model_a,winner_model_b,winner_tie (a run without ties gives them 0.000001)
         wsdm            .csv: id,winner; a tie counts half for each answer, and model_a wins where they are equal
  swap=false             true: predict every row with its answers in both orders and average; takes twice the time
  average=probability    mean of the probabilities; logarithm: geometric mean, renormalised
  weights=equal          validation: fitted to the runs' validation predictions (runs that differ only in data.fold
                         share one weight); or one number for each run: [0.5,0.5]
  rules=false            the model's own answer for every row; true: constants of one Kaggle team instead where the two
                         answers are identical (.06 .06 .88 for A, B, tie) or one is empty (.04 against .88)
  on_bad_row=null        what data.on_bad_row says: error stops, quarantine leaves rows out that cannot be used;
                         prior: such rows get the class shares of the training, so that every id is in the output
  calibrated=true        a run with a calibration.json (arena.calibrate) gives calibrated probabilities, each run of an
                         ensemble its own; false: the probabilities as the model gives them
  checkpoint=FILE        weights other than the run's best
  out_of_fold=false      true: predict nothing; write the validation predictions of runs that differ in data.fold as
                         one .parquet file, with the columns fold and run

A single run that was calibrated with a decision rule also gets the column predicted (predicted_<head>), with
format=probabilities.
"""
MEANS = ("probability", "logarithm")
DEFAULTS: dict[str, Any] = {
    **{"output": None, "checkpoint": None, "format": "probabilities", "swap": False, "average": "probability"},
    **{"weights": "equal", "rules": False, "calibrated": True, "out_of_fold": False},
    **{"on_bad_row": None},
}


def predict(given: restore.Options) -> Path:
    """Check everything, read, predict, average, write; returns the file that was written.

    Raises:
        UsageError: a key without a value or with a wrong one, or classes that do not fit.
        InputOutputError: a run without weights.
        DataError: runs with different classes, or a calibration of other weights; see also `fitted_weights`.
        Interrupted: a signal; what was predicted is kept.
    """
    others = given.others
    for key in ("swap", "rules", "calibrated", "out_of_fold"):
        if not isinstance(others[key], bool):
            raise UsageError(f"{key}={others[key]}: true or false is needed")
    if not others["output"]:
        raise UsageError("output: a value is needed; give output=FILE.csv or output=FILE.parquet")
    output = Path(str(others["output"]))
    if others["out_of_fold"]:
        return out_of_fold(given, output)
    refuse_idle_keys(given.data, (*TRAINING, *JUDGING), "a prediction has no use for it; it is for training or judging")
    if "path" not in given.data:
        raise UsageError("data.path: a value is needed; give data.path=FILE")
    check(others, len(given.runs))
    if names := outputs_of(given.runs):
        return in_order(lambda partial: write_outputs(names, given, output, partial), output)
    members = gather(given.runs, given.data, others["checkpoint"], others["calibrated"])
    labels = members[0].labels
    formats.check(others["format"], output, labels)
    if others["swap"] and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(f"swap=true: it needs the classes model_a and model_b, the run has {', '.join(labels)}")

    def write(partial: Partial) -> None:
        from arena.inference.prediction import write_predictions

        write_predictions(members, given.data, others, output, partial)

    return in_order(write, output)


def in_order(write: Callable[[Partial], None], output: Path) -> Path:
    """Predict with what is done kept on disk; a signal ends in a line that says how much that is."""
    partial = Partial(output)
    try:
        with partial.locked():
            build.quiet()
            write(partial)
    except Interrupted as stopped:
        way_on = "the same command goes on from there"
        done = f"{partial.kept} predictions are kept, {way_on}" if partial.kept else "nothing was predicted yet"
        raise Interrupted(f"{stopped}; {done}", stopped.number) from None
    return output


def check(others: dict[str, Any], runs: int) -> None:
    """The values of `average`, `weights` and `on_bad_row`, before anything heavy.

    Raises:
        UsageError: one of them is wrong.
    """
    average, weights = others["average"], others["weights"]
    if others["on_bad_row"] not in (None, "prior"):
        told = "prior or null is needed; how other rows are read is said by data.on_bad_row=error|quarantine"
        raise UsageError(f"on_bad_row={others['on_bad_row']}: {told}")
    if average not in MEANS:
        raise UsageError(f"average={average}: one of {', '.join(MEANS)} is needed")
    if isinstance(weights, list):
        numbers = [each for each in weights if isinstance(each, int | float) and each >= 0]
        if len(weights) != runs or len(numbers) != runs or not sum(numbers) > 0:
            raise UsageError(
                f"weights={weights}: {runs} numbers, 0 or more and not all 0, are needed, one for each run"
            )
    elif weights not in ("equal", "validation"):
        raise UsageError(f"weights={weights}: one of equal, validation, or [number,...] is needed")
    elif weights == "validation" and average == "logarithm":
        raise UsageError("weights=validation: only with average=probability are the best weights a convex problem")


def out_of_fold(given: restore.Options, output: Path) -> Path:
    """Join the validation predictions of all folds, and judge them."""
    if output.suffix != ".parquet":
        raise UsageError(f"output={output}: with out_of_fold=true the name must end in .parquet")
    refuse_idle_keys(given.data, None, "out_of_fold=true predicts nothing, it joins what is there")
    labels = [labels_of(run) for run in given.runs]
    if Heads(labels[0]).named:
        raise UsageError("out_of_fold=true: it is for one classification; runs with several heads have their own files")
    for run, found in zip(given.runs, labels, strict=True):
        if found != labels[0]:
            raise DataError(f"{run.path} has the classes {found}, {given.runs[0].path} has {labels[0]}")
    build.quiet()
    from arena.inference.recipes import join_folds

    judged = join_folds(given.runs, labels[0], output)
    for name in ("log_loss", "accuracy"):
        value = judged[name]
        say(f"{name} {value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})")
    say(f"{judged['rows']} rows of {len(given.runs)} runs written to {shown(output)}")
    return output


def main() -> None:
    """The command line."""

    def command() -> None:
        given = restore.options(sys.argv[1:], DEFAULTS, USAGE, several=True)
        show_messages()
        predict(given)

    run_main(command)


if __name__ == "__main__":
    main()
