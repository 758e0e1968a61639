"""`python -m arena.predict run=FOLDER data.path=FILE output=FILE`: probabilities of one model or of an ensemble.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from arena.config import build, restore
from arena.core.console import run_command
from arena.core.data_keys import JUDGING, TRAINING, refuse_idle_keys
from arena.core.errors import Interrupted, UsageError
from arena.inference import formats
from arena.inference.members import gather
from arena.inference.options import Options, check, out_of_fold
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
DEFAULTS = asdict(Options())


def predict(given: restore.Options) -> Path:
    """Check everything, read, predict, average, write; returns the file that was written.

    Raises:
        UsageError: a key without a value or with a wrong one, or classes that do not fit.
        InputOutputError: a run without weights.
        DataError: runs with different classes, or a calibration of other weights; see also `fitted_weights`.
        Interrupted: a signal; what was predicted is kept.
    """
    others = given.others
    check(others, len(given.runs))
    output = Path(str(others["output"]))
    if others["out_of_fold"]:
        return out_of_fold(given.runs, given.data, output)
    refuse_idle_keys(given.data, (*TRAINING, *JUDGING), "a prediction has no use for it; it is for training or judging")
    if "path" not in given.data:
        raise UsageError("data.path: a value is needed; give data.path=FILE")
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


def main() -> None:
    """The command line."""
    run_command(lambda typed: predict(restore.options(typed, DEFAULTS, USAGE, several=True)))


if __name__ == "__main__":
    main()
