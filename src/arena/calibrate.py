"""`python -m arena.calibrate run=FOLDER`: scale a trained model's logits so that its probabilities are frequencies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.options import RunOptions, entry_point, option
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import echo
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import DataError
from arena.core.files import check_writable
from arena.core.paths import quote_path
from arena.core.schema import OutputPath
from arena.evaluation.calibration import store
from arena.evaluation.calibration.options import CalibrationOptions


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(RunOptions, CalibrationOptions):
    """Fit a scaling of the model's logits to its validation rows, measure on the test rows what that changes, and write
    FOLDER/calibration.json, which arena.predict then applies, and FOLDER/report/calibration/ with the table and a
    reliability diagram for each head. Each head is calibrated by itself. A run without test predictions is measured on
    its validation rows, each by a scaling that was fitted without it.

    Refused (exit code 65): weights that do not reproduce the recorded validation loss, a model that is collapsed or has
    no skill, a temperature at its bound.
    """

    output: OutputPath | None = option(
        "where calibration.json and report/ go instead; arena.predict looks in the run's folder only",
        default=None,
        placeholder="FOLDER",
    )


def calibrate(options: CalibrateOptions) -> dict[str, Any]:
    """Check, fit, measure, write; returns what was written to `calibration.json`.

    Raises UsageError for a key with a wrong value, DataError for a run that cannot be calibrated.
    """
    run = options.one_run
    refuse_idle_keys(options.data, None, "a run is calibrated on its own validation rows")
    if run.is_baseline or not run.best.is_file():
        status = run.read_result().get("status", "unknown")
        raise DataError(
            f"{run.best}: no such checkpoint (the run's status is: {status}); there is nothing to calibrate"
        )
    folder = Path(options.output or run.path)
    check_writable(folder, "output")
    checkpoints.check(run.best)
    settings = restore.settings_of(run)
    kind_of(settings).require("calibrate")
    build.quiet()
    from arena.core.heads import Heads
    from arena.evaluation.calibration import output
    from arena.evaluation.calibration.heads import calibrate_heads
    from arena.evaluation.calibration.rows import verified

    known = Heads(settings["data"]["labels"])
    rows = verified(run, settings, known)
    outcome = calibrate_heads(known, *rows, checkpoints.digest(run.best), options)
    found = output.write(folder, outcome, known, options)
    output.print_report(outcome, known)
    echo(f"written to {quote_path(folder / store.NAME)}")
    return found


main = entry_point(calibrate, CalibrateOptions)

if __name__ == "__main__":
    main()
