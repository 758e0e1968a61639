"""What the Python functions return: values with their intervals, and where the files are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Value:
    """A measure with the ends of its 95% interval; None where they are not known."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, found: Any) -> Self:
        """Read the entry of a result file."""
        return cls(found["value"], found.get("low"), found.get("high")) if isinstance(found, dict) else cls(found)


@dataclass(frozen=True)
class Fit:
    """A trained run, as result.json holds it.

    Attributes:
        folder: the run folder; `metrics.csv` in it has the learning curves.
        status: completed, stopped_early or pruned.
        monitor: name, best value and step of what chose the weights.
        metrics: of the test split, or of the validation split where there is no test; with intervals over prompts.
        baselines: metrics of each baseline on that split, by its name.
        details: all of result.json.
    """

    folder: Path
    status: str
    monitor: dict[str, Any]
    metrics: dict[str, Value]
    baselines: dict[str, Any]
    details: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, result: dict[str, Any]) -> Self:
        """Read what `result.json` holds."""
        split = "test" if result.get("test") else "validation"
        metrics = {name: Value.of(found) for name, found in (result.get(split) or {}).items()}
        baselines = result.get("baselines", {}).get("test" if split == "test" else "val", {})
        return cls(folder, result["status"], result["monitor"], metrics, baselines, result)


@dataclass(frozen=True)
class Evaluation:
    """One split's metrics, as `arena.evaluate` prints them.

    Attributes:
        folder: where evaluation.json, predictions.parquet and the tables are.
        rows: how many were evaluated.
        metrics: by name, with intervals over prompts.
        baselines: metrics of each baseline, by its name.
        details: all of evaluation.json.
    """

    folder: Path
    rows: int
    metrics: dict[str, Value]
    baselines: dict[str, Any]
    details: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, results: dict[str, Any]) -> Self:
        """Read what `evaluation.json` holds."""
        metrics = {name: Value.of(found) for name, found in {"loss": results["loss"], **results["metrics"]}.items()}
        return cls(folder, results["rows"], metrics, results["baselines"], results)


@dataclass(frozen=True)
class Comparison:
    """What one run is better at than another, as `arena.compare` prints it.

    Attributes:
        folder: where comparison.json, .tsv and .png are.
        rows: rows that both predicted.
        verdict: one line; empty of a sweep side by side.
        differences: other minus base of each measure, with intervals over prompts and seeds.
        details: all of comparison.json (frontier.json).
    """

    folder: Path
    rows: int
    verdict: str
    differences: dict[str, Value]
    details: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, found: dict[str, Any]) -> Self:
        """Read what the file holds."""
        differences = {name: Value.of(each["difference"]) for name, each in found.get("measures", {}).items()}
        return cls(folder, found["rows"], found.get("verdict", {}).get("line", ""), differences, found)
