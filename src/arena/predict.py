"""`python -m arena.predict run=FOLDER data.path=FILE output=FILE`: probabilities of one model or of an ensemble."""

from pathlib import Path

from arena.config import build
from arena.config.options import entry_point
from arena.core.data_keys import EVALUATION, TRAINING, refuse_idle_keys
from arena.core.errors import Interrupted, UsageError
from arena.inference import formats
from arena.inference.members import gather
from arena.inference.options import PredictOptions
from arena.inference.partial import Partial


def predict(options: PredictOptions) -> Path:
    """Check everything, read, predict, average, write; returns the file that was written.

    Raises:
        UsageError: a key without a value or with a wrong one, or classes that do not fit.
        InputOutputError: a run without weights.
        DataError: runs with different classes, or a calibration of other weights; see also `fitted_weights`.
        Interrupted: a signal, with the number of predictions that are kept on disk.
    """
    runs, given, output = options.runs, options.data, Path(options.output)
    options.check()
    if options.out_of_fold:
        from arena.inference.recipes import join_folds

        return join_folds(runs, given, output)
    refuse_idle_keys(
        given, (*TRAINING, *EVALUATION), "a prediction has no use for it; it is for training or evaluation"
    )
    if "path" not in given:
        raise UsageError("data.path: a value is needed; give data.path=FILE")
    members = gather(runs, given, options.checkpoint, options.calibrated)
    labels = members[0].labels
    if members[0].outputs:
        options.check_outputs(members[0].outputs)
    else:
        formats.check(options.format, output, labels)
    if options.swap and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(f"swap=true: it needs the classes model_a and model_b, the run has {', '.join(labels)}")
    partial = Partial(output)
    try:
        with partial.locked():
            build.quiet()
            from arena.inference.prediction import write_outputs, write_predictions

            (write_outputs if members[0].outputs else write_predictions)(members, options, partial)
    except Interrupted as stopped:
        way_on = "the same command goes on from there"
        done = f"{partial.kept} predictions are kept, {way_on}" if partial.kept else "nothing was predicted yet"
        raise Interrupted(f"{stopped}; {done}", stopped.number) from None
    return output


main = entry_point(predict, PredictOptions)

if __name__ == "__main__":
    main()
