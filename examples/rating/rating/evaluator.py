"""Judging predicted scores: errors with intervals over prompts, beside the mean of the training scores."""

from pathlib import Path
from typing import Any

import numpy as np

from arena.core import tables
from arena.core.files import read_parquet
from arena.core.run import write_atomically
from arena.evaluation import printing
from arena.stats.intervals import draws, paired_difference, percentiles
from rating.metric import values


class RatingEvaluator:
    """As `arena.evaluation.classes.ClassEvaluator`, for scores."""

    def evaluate(
        self, path: Path, metrics: Any, counts: Any, resamples: int, seed: int, baselines: Any = None
    ) -> dict[str, Any]:
        """Every metric of one predictions file with its 95% interval, the prior's, and what the model gains on it.

        Args:
            path: `predictions/<split>.parquet`.
            metrics, counts, baselines: not needed; the file holds the prior.
            resamples, seed: of the bootstrap over groups; 0 resamples give no intervals.
        """
        table = read_parquet(path)
        score, target, prior, loss = (
            table[name].to_numpy().astype(np.float64) for name in ("score", "target", "prior", "loss")
        )
        groups = np.array(table["group"].to_pylist())
        found = {name: {"value": value} for name, value in values(score, target).items()}
        if resamples:
            member, drawn = draws(groups, resamples, seed)
            rows = [np.repeat(np.arange(len(member)), each[member]) for each in drawn]
            repeated = [values(score[some], target[some]) for some in rows]
            for name, entry in found.items():
                ends = percentiles(np.array([each[name] for each in repeated]), drawn.shape[1])
                entry |= dict(zip(("low", "high"), ends, strict=True))
        errors = np.abs(prior - target), np.abs(score - target)
        gain = paired_difference(errors[0], errors[1], groups, 10 * resamples, seed)._asdict()
        return {
            "rows": len(target),
            "groups": len(np.unique(groups)),
            "loss": float(loss.mean()),
            "metrics": found,
            "baselines": {"prior": values(prior, target)},
            "gain_over_prior": gain,
            "skill": {},
        }

    def write(self, path: Path, metrics: Any, folder: Path, counts: Any = None, figures: bool = True) -> None:
        """Write `by_score.csv`: rows, mean prediction and mean absolute error at each level that was given."""
        table = read_parquet(path)
        score, target = (table[name].to_numpy().astype(np.float64) for name in ("score", "target"))
        lines: list[list[Any]] = [["target", "rows", "mean_score", "mae"]]
        for level in np.unique(np.rint(target)):
            here = np.rint(target) == level
            lines.append([int(level), int(here.sum()), *(f"{each:.4f}" for each in (
                score[here].mean(), np.abs(score - target)[here].mean()
            ))])  # fmt: skip
        write_atomically(folder / "by_score.csv", tables.text_of(lines))

    def generations(self, settings: dict[str, Any], task: Any, data: Any, run: Any) -> dict[str, Any]:
        """Nothing: a model that rates writes no text."""
        return {}

    def show(self, title: str, judged: dict[str, Any], folder: Path) -> None:
        """Print the final table."""
        title = f"{title}: {judged['rows']} rows, {judged['groups']} groups"
        printing.print_table(title, printing.rows_of(judged, ("mae", "rmse", "spearman")))
        gain = judged["gain_over_prior"]
        print(f"gain over the prior: {gain['value']:.4f} points of absolute error ({printing.interval(gain)})")
        print(f"by score: {folder / 'by_score.csv'}")
