"""Measures of runs that write replies: held-out log loss for quality, measures of samples for diversity.

Reads `generations/<name>/` of a run: settings.json, measures.parquet (one row for each prompt) and evaluation.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.core.errors import DataError, InputOutputError
from arena.core.files import read_json, read_parquet
from arena.core.paths import quote_path
from arena.core.run import RunFolder
from arena.evaluation.comparison.options import ComparisonOptions
from arena.evaluation.comparison.rows import Aligned, Table, align, mean_statistic, read_columns, strings
from arena.stats.arms import Statistic, ratio

FILES = ("settings.json", "measures.parquet")
MORE = ("distinct", "expectation_adjusted_distinct", "vendi", "cosine_distance", "log_det", "utility", "novelty")
"""Beginnings of the names of measures that rise with diversity."""
LESS = ("self_bleu", "compression_ratio", "duplicate_share")
"""Those that fall with it. Any other measure has no verdict."""
SUCCESS = "pass@1"
"""The share of samples that the checker lets pass."""
SETTINGS = ("sampling", "split", "fingerprint", "rows", "prompts", "measures", "checker")
"""Settings that have to be equal, apart from `DRAWS`, which change no measure of a prompt but by chance."""
DRAWS = ("sampling.seed", "measures.seed", "measures.resamples")
TOLERATED = ("fingerprint", "rows", "prompts")
"""Settings that may differ with `rows=common`. Other prompts are noticed by their ids."""


@dataclass(frozen=True)
class Generations:
    """Measured samples of one run: their settings, measures with one row for each prompt, why some were not computed,
    and the alarms of the evaluation."""

    path: Path
    settings: dict[str, Any]
    measures: Table
    reasons: dict[str, str]
    alarms: list[str]


def rises(name: str) -> bool | None:
    """True where more of a measure is more diverse; None for one that is no measure of diversity."""
    return True if name.startswith(MORE) else False if name.startswith(LESS) else None


class ReplyRows:
    """Replies: `log_loss` is that of the held-out ones, every other measure is of the samples.

    Members and arguments as `arena.evaluation.comparison.rows.TaskRows`. A `DataError` for samples of another split, or
    not drawn and measured alike; an `InputOutputError` where there are none yet.
    """

    primary = "distinct_2"

    def __init__(self, runs: Sequence[RunFolder], options: ComparisonOptions) -> None:
        self.runs, self.options = runs, options

    @cached_property
    def generations(self) -> list[Generations]:
        """The samples of each run."""
        found = [read_generations(run, self.options.name, self.options.split) for run in self.runs]
        check_settings(found, self.options.common)
        return found

    @cached_property
    def rows(self) -> Aligned:
        """The held-out replies; those without a token to learn are left out."""
        tables = [read_columns(run, self.options.split, ["log_loss", "tokens"]) for run in self.runs]
        kept = [t.take((t.values["tokens"] > 0) & np.isfinite(t.values["log_loss"])) for t in tables]
        return align(kept, self.options.common)

    @cached_property
    def prompts(self) -> Aligned:
        """The prompts with samples."""
        return align([each.measures for each in self.generations], self.options.common)

    @property
    def names(self) -> list[str]:
        """The measures of samples that all runs have, in the order of the first."""
        values = [each.measures.values for each in self.generations]
        return [name for name in values[0] if all(name in each for each in values)]

    def statistics(self, names: Sequence[str], bases: int) -> list[Statistic]:
        """The measures of both arms, of which the first `bases` runs are the base; log loss is nats over tokens."""
        found = []
        for name in names:
            if name != "log_loss":
                found.append(mean_statistic(name, self.prompts, bases, rises(name) is not False))
                continue
            values = [table.values for table in self.rows.tables]
            sums = np.stack([self.rows.sums(each["log_loss"] * each["tokens"], each["tokens"]) for each in values])
            count, left_out = len(self.rows.member), self.rows.left_out
            found.append(Statistic(name, sums[:bases], sums[bases:], ratio, False, count, left_out))
        return found


def read_generations(run: RunFolder, name: str, split: str) -> Generations:
    """Read the measured samples of a run."""
    folder = run.path / "generations" / name
    if lacking := [each for each in FILES if not (folder / each).is_file()]:
        there = sorted(each.parent.name for each in folder.parent.glob("*/measures.parquet"))
        known = f" (there are: {', '.join(there)}: give name={there[0]})" if there else ""
        raise InputOutputError(
            f"{folder / lacking[0]}: no generations yet{known}; make them with python -m arena.evaluate "
            f"run={quote_path(run.path)} split={split} name={name}"
        )
    settings = read_json(folder / "settings.json")
    if settings.get("split") not in (None, split):
        found = settings["split"]
        raise DataError(f"{folder}: these are generations of split {found}, not of {split}; give split={found}")
    evaluation = read_json(folder / "evaluation.json") if (folder / "evaluation.json").is_file() else {}
    path = folder / "measures.parquet"
    table = read_parquet(path)
    for column in ("id", "group"):
        if column not in table.column_names:
            raise DataError(f"{path}: there is no column {column}")
    values = {
        field.name: table.column(field.name).to_numpy().astype(np.float64)
        for field in table.schema
        if field.name not in ("id", "group") and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
    }
    measures = Table(path, strings(table, "id"), strings(table, "group"), values, settings.get("fingerprint"))
    entries = evaluation.get("measures", {})
    reasons = {key: str(each["reason"]) for key, each in entries.items() if each.get("reason")}
    return Generations(folder, settings, measures, reasons, [str(each) for each in evaluation.get("alarms", [])])


def check_settings(made: Sequence[Generations], common: bool) -> None:
    """Raise a `DataError` with every difference where samples were not drawn and measured alike, but for the seed."""
    from arena.core.values import flat

    first = dict(flat(made[0].settings))
    for other in made[1:]:
        theirs = dict(flat(other.settings))
        apart = [
            f"{key} ({first.get(key)}, {theirs.get(key)})"
            for key in sorted(first | theirs)
            if first.get(key) != theirs.get(key)
            and key.partition(".")[0] in SETTINGS
            and key not in DRAWS
            and not (common and key in TOLERATED)
        ]
        if apart:
            raise DataError(
                f"{other.path} and {made[0].path} were not sampled and measured alike: {', '.join(apart)}; sample one "
                "of them again"
            )
