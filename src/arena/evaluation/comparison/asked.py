"""What the command line of `arena.compare` asks for. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from typing import Any, Literal

from arena.config.restore import check_trusted
from arena.core.errors import UsageError
from arena.core.schema import Positive, WholeNumber, check_values
from arena.evaluation.comparison.verdict import BANDS, bands_of

LEAST_RESAMPLES = 100
"""Fewer have no ends of a 95% interval."""


@dataclass(frozen=True)
class ComparisonOptions:
    """The keys that both ways to compare have.

    Attributes:
        split, name: which predictions, and which generations.
        metric: the measures to compare; None for all.
        primary: the measure that decides; None for that of `arena.evaluation.comparison.whole.PRIMARY`.
        rows: `common` compares the rows that all runs have.
        trusted_packages: whose kinds of task the runs may name.
        bands, margin, pass_margin, resamples, seed: see `arena.evaluation.comparison.outcome.Rules`.
    """

    split: str = "test"
    name: str = "default"
    metric: list[str] | None = None
    primary: str | None = None
    rows: Literal["same", "common"] = "same"
    margin: Positive = 0.02
    pass_margin: Positive = 0.02
    trusted_packages: list[str] = field(default_factory=list)
    bands: Any = None
    resamples: int = 10_000
    seed: WholeNumber = 0

    @property
    def common(self) -> bool:
        """Whether only the rows that all runs have are compared."""
        return self.rows == "common"


def checked(given: dict[str, Any]) -> ComparisonOptions:
    """The values of the command line.

    Raises:
        UsageError: one of them is wrong.
    """
    check_values({key: given[key] for key in ("margin", "pass_margin", "resamples", "seed", "rows")}, ComparisonOptions)
    if given["resamples"] < LEAST_RESAMPLES:
        raise UsageError(f"resamples={given['resamples']}: a whole number, {LEAST_RESAMPLES} or more, is needed")
    metric = given["metric"]
    metric = metric.split(",") if isinstance(metric, str) else metric
    if metric is not None and not (isinstance(metric, list) and all(isinstance(each, str) for each in metric)):
        raise UsageError(f"metric={metric}: give names, metric=[NAME,NAME]")
    check_trusted(given["trusted_packages"])
    bands = BANDS if given["bands"] is None else given["bands"]
    bands_of(bands)
    return ComparisonOptions(
        **{key: given[key] for key in ComparisonOptions.__dataclass_fields__} | {"metric": metric, "bands": bands}
    )
