"""`python -m arena.calibrate run=FOLDER`: make a trained model's probabilities mean what they say.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import run_command, say
from arena.core.data_keys import refuse_idle_keys
from arena.core.errors import DataError, UsageError
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.schema import check_values
from arena.evaluation.calibration import store
from arena.evaluation.calibration.options import Options

USAGE = """python -m arena.calibrate run=FOLDER [key=value] ...

Fits a scaling of the model's logits to its validation rows, measures on the test rows what that changes, and writes
FOLDER/calibration.json, which arena.predict then applies, and FOLDER/report/calibration/ with the table and a
reliability diagram for each head. Each head is calibrated by itself. A run without test predictions is measured on its
validation rows, each by a scaling that was fitted without it.

Refused (exit code 65): weights that do not reproduce the recorded validation loss, a model that is collapsed or has no
skill, a temperature at its bound.

  run=FOLDER          a run folder of arena.train
  method=temperature  softmax(z / T): one number; keeps every prediction
         vector       softmax(w * z + b): 2K numbers, on the logarithms of the probabilities
         bias         softmax(z + b): for a model trained on other shares of the classes than it meets
         auto         vector where the rarest class has 200 validation rows and its log loss is shown to be lower,
                      otherwise temperature
  decision=none       the likeliest class is called
           bias       argmax(log p + b), tuned for macro-F1 of all classes together
           thresholds argmax(p / t), each t tuned for the F1 of its class against the others
  heads=null          heads to calibrate: [HEAD,HEAD]; null for all
  bins=15             of the calibration errors and the diagram
  resamples=200       bootstrap resamples behind each interval; the change of a calibration error has none
  output=FOLDER       where calibration.json and report/ go instead; arena.predict looks in the run's folder only
"""
DEFAULTS = {key: value for key, value in asdict(Options()).items() if key != "seed"} | {"output": None}


def calibrate(given: restore.Options) -> dict[str, Any]:
    """Check, fit, measure, write; returns what was written to `calibration.json`.

    Raises:
        UsageError: a key with a wrong value.
        DataError: a run that cannot be calibrated; nothing is written then.
    """
    run, others = given.run, given.others
    refuse_idle_keys(given.data, None, "a run is calibrated on its own validation rows")
    heads = others["heads"]
    if heads is not None and not (isinstance(heads, list) and heads and all(isinstance(each, str) for each in heads)):
        raise UsageError(f"heads={heads}: give the names in brackets, heads=[HEAD,HEAD]")
    check_values(others, Options)
    if run.is_baseline or not run.best.is_file():
        status = run.read_result().get("status", "unknown")
        raise DataError(
            f"{run.best}: no such checkpoint (the run's status is: {status}); there is nothing to calibrate"
        )
    folder = Path(str(others["output"])) if others["output"] else run.path
    check_writable(folder, "output")
    checkpoints.check(run.best)
    settings = restore.settings_of(run)
    kind_of(settings).require("calibrate")
    build.quiet()
    from arena.core.heads import Heads
    from arena.evaluation.calibration import output
    from arena.evaluation.calibration.verification import verified
    from arena.evaluation.calibration.whole import calibrate_heads

    known = Heads(settings["data"]["labels"])
    rows = verified(run, settings, known)
    options = Options(**{name: others[name] for name in others if name != "output"}, seed=settings["seed"])
    outcome = calibrate_heads(known, *rows, checkpoints.digest(run.best), options)
    found = output.write(folder, outcome, known, options)
    output.tell(outcome, known)
    say(f"written to {shown(folder / store.NAME)}")
    return found


def main() -> None:
    """The command line."""
    run_command(lambda typed: calibrate(restore.options(typed, DEFAULTS, USAGE)))


if __name__ == "__main__":
    main()
