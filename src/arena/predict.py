"""`python -m arena.predict run=FOLDER data.path=FILE output=FILE`: probabilities of one model or of an ensemble.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

from collections.abc import Callable
from pathlib import Path

from arena.config import build
from arena.config.options import read
from arena.core.console import run_command
from arena.core.data_keys import JUDGING, TRAINING, refuse_idle_keys
from arena.core.errors import Interrupted, UsageError
from arena.inference import formats
from arena.inference.members import gather
from arena.inference.options import PredictOptions, out_of_fold
from arena.inference.outputs import outputs_of, write_outputs
from arena.inference.partial import Partial


def predict(options: PredictOptions) -> Path:
    """Check everything, read, predict, average, write; returns the file that was written.

    Raises:
        UsageError: a key without a value or with a wrong one, or classes that do not fit.
        InputOutputError: a run without weights.
        DataError: runs with different classes, or a calibration of other weights; see also `fitted_weights`.
        Interrupted: a signal; what was predicted is kept.
    """
    runs, given, output = options.runs, options.data, Path(options.output)
    options.check()
    if options.out_of_fold:
        return out_of_fold(runs, given, output)
    refuse_idle_keys(given, (*TRAINING, *JUDGING), "a prediction has no use for it; it is for training or evaluation")
    if "path" not in given:
        raise UsageError("data.path: a value is needed; give data.path=FILE")
    if names := outputs_of(runs):
        return in_order(lambda partial: write_outputs(names, options, partial), output)
    members = gather(runs, given, options.checkpoint, options.calibrated)
    labels = members[0].labels
    formats.check(options.format, output, labels)
    if options.swap and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(f"swap=true: it needs the classes model_a and model_b, the run has {', '.join(labels)}")

    def write(partial: Partial) -> None:
        from arena.inference.prediction import write_predictions

        write_predictions(members, options, partial)

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
    run_command(lambda typed: predict(read(PredictOptions, typed)))


if __name__ == "__main__":
    main()
