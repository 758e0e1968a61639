"""A finished calibration as files and as printed lines."""

import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.core.console import echo
from arena.core.heads import Heads
from arena.core.run import plain, write_atomically, write_json
from arena.evaluation import printing
from arena.evaluation.calibration import comparison, store
from arena.evaluation.calibration.heads import Calibrated
from arena.evaluation.calibration.options import CalibrationOptions
from arena.reporting.reliability import diagram
from arena.stats.classification import left_out


def write(folder: Path, found: Calibrated, heads: Heads, options: CalibrationOptions) -> dict[str, Any]:
    """Write the report, and then `calibration.json`: whoever sees that sees all of it; returns what that holds."""
    calibration = found.calibration
    content = plain(
        {
            **{"method": options.method, "decision": options.decision, "sha256": calibration.sha256},
            "labels": heads.classes if heads.named else heads.classes[""],
            "heads": {name: asdict(head) | found.details[name] for name, head in calibration.heads.items()},
            **{"judged_on": found.measured_on, "bins": options.bins, "compared": found.compared},
        }
    )
    report = folder / "report" / "calibration"
    report.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".calibration.", dir=report.parent) as place:
        new = Path(place) / "new"
        new.mkdir()
        for name, side in found.sides.items():
            path = new / f"{name or 'reliability'}.png"
            diagram(path, name, side.rows.probabilities, side.calibrated, side.rows.target, options.bins)
        write_atomically(new / "calibration.tsv", comparison.tsv_of(found.compared))
        if report.exists():
            os.rename(report, Path(place) / "old")
        os.rename(new, report)
    write_json(folder / store.NAME, content)
    return content


def print_report(found: Calibrated, heads: Heads) -> None:
    """Print what was found and the table."""
    for line in found.lines:
        echo(line)
    for name, details in found.details.items():
        echo(f"{name + ': ' if name else ''}fitted to {details['rows']} validation rows, skill {details['skill']:.1%}")
    echo(f"calibrated {found.calibration}")
    on = found.measured_on
    printing.print_table(
        f"{on['split']}: {on['rows']} rows, {on['groups']} groups", comparison.lines_of(found.compared)
    )
    for line in left_out(comparison.absent_classes(found.sides, heads.classes)):
        echo(line)
    change = next(reversed(found.compared.values()))["log_loss"]["change"]  # of the mean, where there are several heads
    verdict = "" if change["high"] < 0 else ": not shown to be better"
    if change["low"] > 0:
        verdict = ": worse on these rows; delete calibration.json, or fit it to more rows"
    echo(f"log loss {change['value']:+.4f} nats ({change['low']:+.4f} to {change['high']:+.4f}){verdict}")
