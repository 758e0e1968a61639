"""What runs that write replies are compared by: held-out log loss for quality, measures of samples for diversity.

Reads `generations/<name>/` of a run: settings.json, measures.parquet (one row for each prompt) and evaluation.json.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.core.errors import DataError, InputOutputError
from arena.core.files import read_json, read_parquet
from arena.core.paths import shown
from arena.core.run import RunFolder
from arena.evaluation.comparison.rows import Aligned, Table, strings
from arena.stats.arms import Statistic, ratio

FILES = ("settings.json", "measures.parquet")
MORE = ("distinct", "expectation_adjusted_distinct", "vendi", "cosine_distance", "log_det", "utility", "novelty")
"""Beginnings of the names of measures that rise with diversity."""
LESS = ("self_bleu", "compression_ratio", "duplicate_share")
"""Those that fall with it. Any other measure is shown, and has no verdict."""
SUCCESS = ("pass@1", "pass_at_1", "success_rate")
"""What the share of prompts' samples that the checker lets pass may be called."""
SETTINGS = ("sampling", "split", "fingerprint", "rows", "prompts", "measures", "checker")
"""What has to be equal, apart from the seed of the sampling."""
DRAWS = ("sampling.seed", "measures.seed", "measures.resamples")
"""Parts of these that change no measure of a prompt but by lot. Other prompts are noticed by their ids."""
TOLERATED = ("fingerprint", "rows", "prompts")
"""What `rows=common` lets differ."""


@dataclass(frozen=True)
class Generations:
    """Samples of one run, measured.

    Attributes:
        run: whose they are.
        path: the folder.
        settings: how they were drawn and measured, by dotted key.
        measures: one row for each prompt, `values` by the measure's name.
        reasons: why a measure was not computed, by its name.
        alarms: what the evaluation warned of.
    """

    run: RunFolder
    path: Path
    settings: dict[str, Any]
    measures: Table
    reasons: dict[str, str]
    alarms: list[str]


def rises(name: str) -> bool | None:
    """Whether more of a measure is more diverse; None for one that is no measure of diversity."""
    return True if name.startswith(MORE) else False if name.startswith(LESS) else None


def read_generations(run: RunFolder, name: str, split: str) -> Generations:
    """The measured samples of a run.

    Raises:
        InputOutputError: there are none yet, or a file is damaged.
        DataError: they are of another split, or a file lacks a column.
    """
    folder = run.path / "generations" / name
    if lacking := [each for each in FILES if not (folder / each).is_file()]:
        there = sorted(each.parent.name for each in folder.parent.glob("*/measures.parquet"))
        known = f" (there are: {', '.join(there)}: give name={there[0]})" if there else ""
        raise InputOutputError(
            f"{folder / lacking[0]}: no generations yet{known}; make them with python -m arena.evaluate "
            f"run={shown(run.path)} "
            f"split={split} name={name}"
        )
    settings = read_json(folder / "settings.json")
    if settings.get("split") not in (None, split):
        found = settings["split"]
        raise DataError(f"{folder}: these are generations of split {found}, not of {split}; give split={found}")
    told = read_json(folder / "evaluation.json") if (folder / "evaluation.json").is_file() else {}
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
    measures = Table(path, strings(table, "id"), strings(table, "group"), None, values, settings.get("fingerprint"))
    reasons = {key: str(each["reason"]) for key, each in told.get("measures", {}).items() if each.get("reason")}
    return Generations(run, folder, settings, measures, reasons, [str(each) for each in told.get("alarms", [])])


def check_settings(made: Sequence[Generations], common: bool) -> None:
    """Insist that all runs' samples were drawn and measured alike, but for the seed.

    Raises:
        DataError: they were not; names every difference.
    """
    from arena.core.values import flat

    first = dict(flat(made[0].settings))
    for other in made[1:]:
        theirs = dict(flat(other.settings))
        apart = [
            f"{key} ({first.get(key)}, {theirs.get(key)})"
            for key in sorted(first | theirs)
            if first.get(key) != theirs.get(key) and _matters(key) and not (common and key in TOLERATED)
        ]
        if apart:
            raise DataError(
                f"{other.path} and {made[0].path} were not sampled and measured alike: {', '.join(apart)}; sample one "
                "of them again"
            )


def _matters(key: str) -> bool:
    """Whether a setting changes what the measures of one and the same model would be."""
    return key.partition(".")[0] in SETTINGS and key not in DRAWS


def log_loss(rows: Aligned, bases: int) -> Statistic:
    """Held-out log loss: nats of all replies over their tokens."""
    nats = [table.values["log_loss"] * table.values["tokens"] for table in rows.tables]
    sums = [rows.sums(np.stack([n, t.values["tokens"]], axis=1)) for n, t in zip(nats, rows.tables, strict=True)]
    whole = np.stack(sums)
    return Statistic("log_loss", whole[:bases], whole[bases:], ratio, False, len(rows.member), rows.left_out)


def known(made: Sequence[Generations]) -> list[str]:
    """Measures that all runs have, in the order of the first."""
    return [name for name in made[0].measures.values if all(name in each.measures.values for each in made)]


def success(names: Sequence[str]) -> str | None:
    """The measure that says how often a single sample passes the checker; None where there is no checker."""
    return next((name for name in names if re.sub(r"[^a-z0-9]+", "_", name) in _PLAIN), None)


_PLAIN = {re.sub(r"[^a-z0-9]+", "_", name) for name in SUCCESS}
