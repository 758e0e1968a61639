"""Options of `arena.predict`, and the output that needs no model; nothing heavy at the top."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from arena.config import build
from arena.config.options import RunOptions, option
from arena.core.console import say
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.core.schema import InputPath, OutputPath
from arena.inference.members import labels_of


@dataclass(frozen=True, kw_only=True)
class PredictOptions(RunOptions):
    """Write one line for each row of the file, in its order. The file needs no labels. A prediction that was stopped
    goes on where it stopped when the same command is given again.

    A single run that was calibrated with a decision rule also gets the column predicted (predicted_<head>), with
    format=probabilities.
    """

    run: str = option(
        "a run folder of arena.train, or several, whose probabilities are averaged: [FOLDER,FOLDER], a pattern in "
        "quotes ('multirun/study/*'), or a folder that holds the runs 0, 1, 2, ...",
        shown="FOLDER",
        takes="text",
    )
    data: dict[str, Any] = option(
        "rows to predict, data.path=FILE; other data.* keys say how they are read (data.limit=100), and those that "
        "only training has a use for are refused",
        default={},
        shown="path=FILE",
        takes="dotted",
    )
    output: OutputPath = option("a .csv or .parquet file, replaced in one step", shown="FILE")
    format: Literal["probabilities", "kaggle", "wsdm"] = option(
        "probabilities: .csv or .parquet, id and winner_<label> for each class of the run; of several heads "
        "probability_<head>_<class> and predicted_<head>; in_sample where a row trained one of the runs\n"
        "kaggle: .csv, id,winner_model_a,winner_model_b,winner_tie (a run without ties gives them 0.000001)\n"
        "wsdm: .csv, id,winner; a tie counts half for each answer, and model_a wins where they are equal",
        default="probabilities",
    )
    swap: bool = option(
        "true: predict every row with its answers in both orders and average; takes twice the time", default=False
    )
    average: Literal["probability", "logarithm"] = option(
        "mean of the probabilities; logarithm: geometric mean, renormalised", default="probability"
    )
    weights: Literal["equal", "validation"] | list[float] = option(
        "of the runs; validation: fitted to their validation predictions (runs that differ only in data.fold share one "
        "weight); or one number for each run, [0.5,0.5]",
        default="equal",
    )
    rules: bool = option(
        "the model's own answer for every row; true: constants of one Kaggle team instead where the two answers are "
        "identical (.06 .06 .88 for A, B, tie) or one is empty (.04 against .88)",
        default=False,
    )
    on_bad_row: Literal["prior"] | None = option(
        "as data.on_bad_row: error stops, quarantine leaves out rows that cannot be used; prior: such rows get the "
        "class shares of the training, so that every id is in the output",
        default=None,
    )
    calibrated: bool = option(
        "a run with a calibration.json (arena.calibrate) gives calibrated probabilities, each run of an ensemble its "
        "own; false: the probabilities as the model gives them",
        default=True,
    )
    checkpoint: InputPath | None = option("weights other than the run's best", default=None, shown="FILE")
    out_of_fold: bool = option(
        "true: predict nothing; write the validation predictions of runs that differ in data.fold as one .parquet "
        "file, with the columns fold and run",
        default=False,
    )

    def check(self) -> None:
        """Check the values together, before anything heavy.

        Raises:
            UsageError: weights that do not fit the runs or the average.
        """
        if isinstance(self.weights, list):
            count = len(self.runs)
            if len(self.weights) != count or any(each < 0 for each in self.weights) or not sum(self.weights) > 0:
                raise UsageError(
                    f"weights={self.weights}: {count} numbers, 0 or more and not all 0, are needed, one for each run"
                )
        elif self.weights == "validation" and self.average == "logarithm":
            raise UsageError("weights=validation: only with average=probability are the best weights a convex problem")


def out_of_fold(runs: list[RunFolder], data: dict[str, Any], output: Path) -> Path:
    """Join the validation predictions of all folds, and judge them; returns the file.

    Args:
        runs: the folds.
        data: `data.*` keys of the command line, which have no use here.
        output: the file.

    Raises:
        UsageError: keys of the data, another ending, or several heads.
        DataError: runs with different classes.
    """
    if output.suffix != ".parquet":
        raise UsageError(f"output={output}: with out_of_fold=true the name must end in .parquet")
    refuse_idle_keys(data, None, "out_of_fold=true predicts nothing, it joins what is there")
    labels = [labels_of(run) for run in runs]
    if Heads(labels[0]).named:
        raise UsageError("out_of_fold=true: it is for one classification; runs with several heads have their own files")
    for run, found in zip(runs, labels, strict=True):
        if found != labels[0]:
            raise DataError(f"{run.path} has the classes {found}, {runs[0].path} has {labels[0]}")
    build.quiet()
    from arena.inference.recipes import join_folds

    judged = join_folds(runs, labels[0], output)
    for name in ("log_loss", "accuracy"):
        value = judged[name]
        say(f"{name} {value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})")
    say(f"{judged['rows']} rows of {len(runs)} runs written to {shown(output)}")
    return output
