"""What the command line of `arena.predict` chooses, and its way without a model; nothing heavy at the top."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from arena.config import build
from arena.core.console import say
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.core.schema import check_values
from arena.inference.members import labels_of


@dataclass(frozen=True)
class Options:
    """See `arena.predict.USAGE`; the format is checked with the classes of the runs (`arena.inference.formats`)."""

    output: Any = None
    checkpoint: Any = None
    format: Any = "probabilities"
    swap: bool = False
    average: Literal["probability", "logarithm"] = "probability"
    weights: Any = "equal"
    rules: bool = False
    calibrated: bool = True
    out_of_fold: bool = False
    on_bad_row: Any = None


def check(others: dict[str, Any], runs: int) -> None:
    """The values of the command line, before anything heavy.

    Args:
        others: the keys of `Options`.
        runs: how many there are.

    Raises:
        UsageError: one of them is wrong.
    """
    check_values(others, Options)
    if not others["output"]:
        raise UsageError("output: a value is needed; give output=FILE.csv or output=FILE.parquet")
    average, weights = others["average"], others["weights"]
    if others["on_bad_row"] not in (None, "prior"):
        told = "prior or null is needed; how other rows are read is said by data.on_bad_row=error|quarantine"
        raise UsageError(f"on_bad_row={others['on_bad_row']}: {told}")
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
