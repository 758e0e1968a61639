"""`python -m arena.calibrate run=FOLDER`: make a trained model's probabilities mean what they say.

Nothing heavy is imported at the top: a wrong command line is answered before torch would even be there.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.config import build, restore
from arena.config.pairing import kind_of
from arena.core import checkpoints
from arena.core.console import say, show_messages
from arena.core.errors import DataError, UsageError, run_main
from arena.core.files import check_writable
from arena.core.paths import shown
from arena.core.run import RunFolder

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
DEFAULTS: dict[str, Any] = {
    **{"method": "temperature", "decision": "none", "heads": None},
    **{"bins": 15, "resamples": 200, "output": None},
}
CHOICES = {"method": ("temperature", "vector", "bias", "auto"), "decision": ("none", "bias", "thresholds")}
SAME = 1e-4
"""How far a stored probability may be from what the weights say again: another batch, another order of sums."""


def calibrate(given: restore.Options) -> dict[str, Any]:
    """Check, fit, measure, write; returns what was written to `calibration.json`.

    Raises:
        UsageError: a key with a wrong value.
        DataError: a run that cannot be calibrated; nothing is written then.
    """
    run, others = given.run, given.others
    check(given)
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
    from arena.core.run import plain
    from arena.evaluation.calibration import store
    from arena.evaluation.calibration.whole import Options, calibrate_heads

    heads = Heads(settings["data"]["labels"])
    val, test, counts = verified(run, settings, heads)
    sha256 = checkpoints.digest(run.best)
    options = Options(**{name: others[name] for name in others if name != "output"}, seed=settings["seed"])
    outcome = calibrate_heads(heads, val, test, counts, sha256, options)
    labels = heads.classes if heads.named else heads.classes[""]
    known = {name: asdict(head) | outcome.facts[name] for name, head in outcome.calibration.heads.items()}
    found = plain(
        {
            **{"method": options.method, "decision": options.decision, "sha256": sha256, "labels": labels},
            **{"heads": known, "judged_on": outcome.judged_on, "bins": options.bins, "compared": outcome.compared},
        }
    )
    write(folder, found, outcome)
    show_outcome(run, outcome, heads)
    say(f"written to {shown(folder / store.NAME)}")
    return found


def verified(run: RunFolder, settings: build.Settings, heads: Any) -> tuple[Any, Any, Any]:
    """The run's validation and test rows (None for a run without), and the training rows of each class, `[C]`.

    Raises:
        DataError: the weights do not reproduce the recorded validation loss, or the predictions are not theirs.
    """
    from arena.evaluation.calibration.rows import read_rows

    task = restore.rebuild(run, settings)
    data = build.data(settings)
    loss = restore.verify(run, settings, task, build.evaluator(settings, run, limited=True), data, way_on="")
    say(f"the model reproduces the recorded validation loss: {loss:.7f}")
    val = read_rows(run.predictions("val"), heads)
    check_validation(run, val, task.predictions["val"], data.covariates("val"))
    recorded = (run.read_result().get("test") or {}).get("loss", {}).get("value")
    if recorded is None:
        return val, None, data.class_counts("train")
    test = read_rows(run.predictions("test"), heads)
    if not abs(test.loss - recorded) <= restore.TOLERANCE:
        raise DataError(
            f"{run.predictions('test')}: its mean loss is {test.loss:.7f}, the run recorded {recorded:.7f}; these are "
            "not the predictions of that run"
        )
    return val, test, data.class_counts("train")


def check_validation(run: RunFolder, val: Any, predictions: Any, covariates: Any) -> None:
    """Insist that the validation file says what the weights say.

    Args:
        run: the run.
        val: what the file says.
        predictions: what the weights just said.
        covariates: `id` and `row` of the validation rows.

    Raises:
        DataError: other rows, or probabilities that differ by more than `SAME`.
    """
    import numpy as np

    names = dict(zip(covariates.column("row").to_pylist(), covariates.column("id").to_pylist(), strict=True))
    said = {str(names[int(row)]): i for i, row in enumerate(predictions.row)}
    if len(said) != len(val.ids) or set(said) != set(val.ids):
        raise DataError(f"{run.predictions('val')}: it has other rows than the run's validation split")
    order = [said[name] for name in val.ids]
    apart = float(np.abs(predictions.probabilities.double().numpy()[order] - val.probabilities).max())
    if not apart <= SAME:
        raise DataError(
            f"{run.predictions('val')}: its probabilities are up to {apart:.4f} from what the weights say; these are "
            "not the predictions of that run"
        )


def write(folder: Path, found: dict[str, Any], outcome: Any) -> None:
    """Write the report, and then `calibration.json`: whoever sees that sees all of it."""
    import json
    import os
    import shutil

    from arena.core.run import write_atomically
    from arena.evaluation.calibration import comparison, store
    from arena.reporting.reliability import diagram

    report = folder / "report" / "calibration"
    report.parent.mkdir(parents=True, exist_ok=True)
    new, old = (report.with_name(f".calibration.{name}.{os.getpid()}") for name in ("new", "old"))
    try:
        new.mkdir()
        for name, side in outcome.sides.items():
            path = new / f"{name or 'reliability'}.png"
            diagram(path, name, side.rows.probabilities, side.calibrated, side.rows.target, found["bins"])
        write_atomically(new / "calibration.tsv", comparison.tsv_of(outcome.compared))
        if report.exists():
            os.rename(report, old)
        os.rename(new, report)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    write_atomically(folder / store.NAME, json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def show_outcome(run: RunFolder, outcome: Any, heads: Any) -> None:
    """Print what was found and the table."""
    from arena.evaluation import show
    from arena.evaluation.calibration.comparison import absent_classes, lines_of
    from arena.stats.classification import left_out

    for line in outcome.lines:
        say(line)
    for name, head in outcome.facts.items():
        say(f"{name + ': ' if name else ''}fitted to {head['rows']} validation rows, skill {head['skill']:.1%}")
    say(f"calibrated {outcome.calibration}")
    on = outcome.judged_on
    show.printed(f"{on['split']}: {on['rows']} rows, {on['groups']} groups", lines_of(outcome.compared))
    for line in left_out(absent_classes(outcome.sides, heads.classes)):
        say(line)
    change = outcome.compared["mean" if len(outcome.sides) > 1 else next(iter(outcome.sides))]["log_loss"]["change"]
    say(f"log loss {change['value']:+.4f} nats ({change['low']:+.4f} to {change['high']:+.4f}){verdict(change)}")


def verdict(change: dict[str, float]) -> str:
    """What the interval of a change of the log loss allows to say."""
    if change["low"] > 0:
        return ": worse on these rows; delete calibration.json, or fit it to more rows"
    return "" if change["high"] < 0 else ": not shown to be better"


def check(given: restore.Options) -> None:
    """The values of all keys, before anything heavy.

    Raises:
        UsageError: one of them is wrong.
    """
    others = given.others
    if given.data:
        raise UsageError(f"data.{next(iter(given.data))}: a run is calibrated on its own validation rows")
    for key, values in CHOICES.items():
        if others[key] not in values:
            raise UsageError(f"{key}={others[key]}: one of {', '.join(values)} is needed")
    for key, least in (("bins", 1), ("resamples", 0)):
        if isinstance(others[key], bool) or not isinstance(others[key], int) or others[key] < least:
            raise UsageError(f"{key}={others[key]}: a whole number, {least} or more, is needed")
    heads = others["heads"]
    if heads is not None and not (isinstance(heads, list) and heads and all(isinstance(each, str) for each in heads)):
        raise UsageError(f"heads={heads}: give the names in brackets, heads=[HEAD,HEAD]")


def main() -> None:
    """The command line."""

    def command() -> None:
        given = restore.options(sys.argv[1:], DEFAULTS, USAGE)
        show_messages()
        calibrate(given)

    run_main(command)


if __name__ == "__main__":
    main()
