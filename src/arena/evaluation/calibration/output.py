"""A finished calibration as files and as lines."""

import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.core.console import say
from arena.core.heads import Heads
from arena.core.run import plain, write_atomically, write_json
from arena.evaluation import show
from arena.evaluation.calibration import comparison, store
from arena.evaluation.calibration.options import CalibrationOptions
from arena.evaluation.calibration.whole import Outcome
from arena.reporting.reliability import diagram
from arena.stats.classification import left_out


def write(folder: Path, outcome: Outcome, heads: Heads, options: CalibrationOptions) -> dict[str, Any]:
    """Write the report, and then `calibration.json`: whoever sees that sees all of it; returns what that holds."""
    calibration = outcome.calibration
    found = plain(
        {
            **{"method": options.method, "decision": options.decision, "sha256": calibration.sha256},
            "labels": heads.classes if heads.named else heads.classes[""],
            "heads": {name: asdict(head) | outcome.facts[name] for name, head in calibration.heads.items()},
            **{"judged_on": outcome.judged_on, "bins": options.bins, "compared": outcome.compared},
        }
    )
    report = folder / "report" / "calibration"
    report.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".calibration.", dir=report.parent) as place:
        new = Path(place) / "new"
        new.mkdir()
        for name, side in outcome.sides.items():
            path = new / f"{name or 'reliability'}.png"
            diagram(path, name, side.rows.probabilities, side.calibrated, side.rows.target, options.bins)
        write_atomically(new / "calibration.tsv", comparison.tsv_of(outcome.compared))
        if report.exists():
            os.rename(report, Path(place) / "old")
        os.rename(new, report)
    write_json(folder / store.NAME, found)
    return found


def tell(outcome: Outcome, heads: Heads) -> None:
    """Print what was found and the table."""
    for line in outcome.lines:
        say(line)
    for name, head in outcome.facts.items():
        say(f"{name + ': ' if name else ''}fitted to {head['rows']} validation rows, skill {head['skill']:.1%}")
    say(f"calibrated {outcome.calibration}")
    on = outcome.judged_on
    show.printed(f"{on['split']}: {on['rows']} rows, {on['groups']} groups", comparison.lines_of(outcome.compared))
    for line in left_out(comparison.absent_classes(outcome.sides, heads.classes)):
        say(line)
    change = outcome.compared["mean" if len(outcome.sides) > 1 else next(iter(outcome.sides))]["log_loss"]["change"]
    say(f"log loss {change['value']:+.4f} nats ({change['low']:+.4f} to {change['high']:+.4f}){verdict(change)}")


def verdict(change: dict[str, float]) -> str:
    """What the interval of a change of the log loss allows to say."""
    if change["low"] > 0:
        return ": worse on these rows; delete calibration.json, or fit it to more rows"
    return "" if change["high"] < 0 else ": not shown to be better"
