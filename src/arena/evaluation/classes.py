"""Evaluation of predictions of classes: metrics, tables and printed lines."""

from pathlib import Path
from typing import Any

import numpy as np

from arena.evaluation import printing, tables
from arena.evaluation.predictions import evaluate_predictions


class ClassEvaluator:
    """Evaluates the written predictions of a split; one head or several.

    Another kind of task brings a class with the same methods (`arena.evaluation.replies`).
    """

    def evaluate(
        self,
        path: Path,
        metrics: Any,
        counts: np.ndarray,
        resamples: int,
        seed: int,
        baselines: dict[str, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Metrics with intervals, beside baselines; see `arena.evaluation.predictions.evaluate_predictions`."""
        return evaluate_predictions(path, metrics, counts, resamples, seed, baselines)

    def write(self, path: Path, metrics: Any, folder: Path, counts: np.ndarray, figures: bool = True) -> None:
        """Write the tables of all classes; see `arena.evaluation.tables.write`."""
        tables.write(path, metrics.labels, folder, counts, figures)

    def generations(self, settings: dict[str, Any], task: Any, data: Any, run: Any) -> dict[str, Any]:
        """Nothing: a model that classifies writes no text."""
        return {}

    def show(self, title: str, results: dict[str, Any], folder: Path) -> None:
        """Print the final table."""
        printing.print_results(title, results, folder)
