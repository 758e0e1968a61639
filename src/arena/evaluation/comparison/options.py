"""Options of both ways to compare runs. Nothing heavy is imported here."""

from dataclasses import dataclass
from typing import Any, Literal

from arena.config.options import option
from arena.core.errors import UsageError
from arena.core.schema import OutputPath, Positive, WholeNumber
from arena.evaluation.comparison.bands import BANDS, bands_of

MIN_RESAMPLES = 100
"""Fewer have no ends of a 95% interval."""


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """Both ways to compare take:"""

    split: Literal["test", "val"] = option("whose predictions", default="test")
    name: str = option("which generations of the runs (generations/NAME)", default="default")
    metric: list[str] | str | None = option(
        "only these measures: accuracy, or [distinct_2,vendi]; null for all", default=None
    )
    primary: str | None = option(
        "the measure that decides, to be chosen before looking (default: log_loss, or distinct_2 for replies); the p "
        "of the others is adjusted by Holm's method",
        default=None,
    )
    rows: Literal["same", "common"] = option(
        "same refuses runs with other rows; common compares the rows that all runs have", default="same"
    )
    margin: Positive = option(
        "nats a token by which the log loss of replies may rise and still count as not worse", default=0.02
    )
    pass_margin: Positive = option("the same for the share of samples that pass the checker, downwards", default=0.02)
    bands: dict[str, Any] = option(
        "names for relative gains of diversity by their lower edge; the lower end of the interval is named",
        default=BANDS,
    )
    resamples: int = option("bootstrap resamples behind each interval", default=10_000)
    seed: WholeNumber = option("of all draws", default=0)
    trusted_packages: list[str] = option(
        "packages of your own whose kinds of task the runs may name", default=[], placeholder="[NAME]"
    )
    output: OutputPath | None = option(
        "where the files go (default: comparison/<base> below the first run of other, or frontier/ below the folder of "
        "the swept runs)",
        default=None,
        placeholder="FOLDER",
    )

    @property
    def common(self) -> bool:
        """Compare only the rows that all runs have."""
        return self.rows == "common"

    @property
    def metrics(self) -> list[str] | None:
        """The measures to compare; None for all."""
        return [self.metric] if isinstance(self.metric, str) else self.metric

    def check(self) -> None:
        """Check what the types do not say.

        Raises:
            UsageError: too few resamples, or bands that do not rise from 0.
        """
        if self.resamples < MIN_RESAMPLES:
            raise UsageError(f"resamples={self.resamples}: a whole number, {MIN_RESAMPLES} or more, is needed")
        bands_of(self.bands)
