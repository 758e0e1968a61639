"""Options of `arena.predict`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from arena.config.options import RunOptions, option
from arena.core.errors import UsageError
from arena.core.schema import InputPath, OutputPath

OF_CLASSES = ("format", "swap", "average", "rules", "calibrated", "on_bad_row")
"""Options that are about classes."""


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
        placeholder="FOLDER",
        takes="text",
    )
    data: dict[str, Any] = option(
        "rows to predict, data.path=FILE; other data.* keys say how they are read (data.limit=100), and those that "
        "only training has a use for are refused",
        default={},
        placeholder="path=FILE",
        takes="dotted",
    )
    output: OutputPath = option("a .csv or .parquet file, replaced in one step", placeholder="FILE")
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
    checkpoint: InputPath | None = option("weights other than the run's best", default=None, placeholder="FILE")
    out_of_fold: bool = option(
        "true: predict nothing; write the validation predictions of runs that differ in data.fold as one .parquet "
        "file, with the columns fold and run",
        default=False,
    )

    def check(self) -> None:
        """Check that the weights fit the runs and the average; raises UsageError."""
        if isinstance(self.weights, list):
            count = len(self.runs)
            if len(self.weights) != count or any(each < 0 for each in self.weights) or not sum(self.weights) > 0:
                raise UsageError(
                    f"weights={self.weights}: {count} numbers, 0 or more and not all 0, are needed, one for each run"
                )
        elif self.weights == "validation" and self.average == "logarithm":
            raise UsageError("weights=validation: only with average=probability are the best weights a convex problem")

    def check_outputs(self, names: tuple[str, ...]) -> None:
        """Check the options for runs that predict numbers, `names`, instead of classes; raises UsageError."""
        given = [each for each in fields(self) if getattr(self, each.name) != each.default]
        idle = [each.name for each in given if each.name in OF_CLASSES]
        if idle or self.weights == "validation":
            key = idle[0] if idle else "weights"
            raise UsageError(
                f"{key}={getattr(self, key)}: it is about classes, and these runs predict {', '.join(names)}"
            )
        if Path(self.output).suffix not in (".csv", ".parquet"):
            raise UsageError(f"output={self.output}: the name must end in .csv or .parquet")
