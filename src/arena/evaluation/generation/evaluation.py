"""From replies to numbers: every measure within a prompt first, then the mean over prompts with its interval.

The unit is the prompt: n replies to one prompt are no n independent observations (taken as such, two equal models
differ "significantly" in every fifth comparison). Prompts of one group are drawn together.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.callback.predictions import write_table
from arena.core.errors import DataError
from arena.core.files import read_parquet
from arena.core.run import plain, write_atomically
from arena.diversity.success import coverage, max_at_k, pass_all_k, pass_at_k
from arena.diversity.table import measure
from arena.evaluation.generation.alarms import alarms_of
from arena.evaluation.generation.checkers import Case, Checker, described
from arena.evaluation.generation.store import FILE, read_settings, write_settings
from arena.stats.intervals import paired_differences, quotient

MEASURES, EVALUATION = "measures.parquet", "evaluation.json"
THRESHOLDS = (0.25, 0.5, 0.75, 1.0)
"""Of Cover@tau: the share of a prompt's replies that must be right."""
OF_ONE = ("mean_words", "empty_share")
"""Measures that mean the same for one reply as for several, so that the data's own replies have them too."""


@dataclass(frozen=True)
class Replies:
    """`generations.parquet` by prompt: P prompts with n replies each; details are tokens, finished and log_probability,
    `[P, n]`."""

    ids: list[str]
    groups: pa.ChunkedArray
    prompts: list[str]
    reference_replies: list[str]
    texts: list[list[str]]
    details: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> "Replies":
        """Read the file; a `DataError` where it holds no replies, or not equally many for each prompt."""
        table = read_parquet(path)
        sample = table["sample"].to_numpy()
        n = int(sample.max(initial=-1)) + 1
        if not n or len(sample) % n or (sample.reshape(-1, n) != np.arange(n)).any():
            raise DataError(f"{path}: it has not the samples 0..n-1 of every prompt beside each other")
        first = table.take(pa.array(np.arange(0, len(sample), n)))
        ids, prompts, references = (first[name].to_pylist() for name in ("id", "prompt", "reference"))
        texts = table["text"].to_pylist()
        names = ("tokens", "finished", "log_probability")
        facts = {name: np.asarray(table[name], dtype=np.float64).reshape(-1, n) for name in names}
        grouped = [texts[i : i + n] for i in range(0, len(texts), n)]
        return cls(ids, first["group"], prompts, [each or "" for each in references], grouped, facts)

    @property
    def samples(self) -> int:
        """Replies to each prompt, n."""
        return len(self.texts[0])


@dataclass
class Columns:
    """One value for each prompt and measure.

    Attributes:
        values: name -> `[P]` float64, NaN where it is not defined, for the reason that `reasons` holds.
        reference_values: name -> mean over the data's own replies, where that compares.
        curves: name of a curve -> the names of its measures by k = 1..n.
    """

    values: dict[str, np.ndarray]
    reasons: dict[str, str]
    reference_values: dict[str, float]
    curves: dict[str, dict[int, str]]


def evaluate_generations(
    folder: Path,
    checker: Checker | None = None,
    encoder: Any = None,
    success: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Write `measures.parquet` and `evaluation.json`, and what they depend on into `settings.json`, in a folder of
    replies.

    Returns prompts, groups, samples, `measures` (name -> value, low, high, prompts on which it is defined, reason where
    some are not, reference: the data's own replies), `curves` (name -> k, value, low, high) and `alarms`.

    Args:
        checker: rates each reply; None for measures of diversity alone.
        encoder: see `arena.diversity.table.measure`.
        success: quality from which on a reply is right.
    """
    replies = Replies.read(folder / FILE)
    columns, depends = _diversity(replies, encoder)
    quality = None if checker is None else _quality(replies, checker, columns, success)
    measures = _means(columns, replies.groups, resamples, seed)
    found = {
        "prompts": len(replies.ids),
        "groups": len(replies.groups.unique()),
        "samples": replies.samples,
        "measures": measures,
        "curves": {
            name: {"k": list(of_k)}
            | {part: [measures[each][part] for each in of_k.values()] for part in ("value", "low", "high")}
            for name, of_k in columns.curves.items()
        },
    }
    found["alarms"] = alarms_of(found, quality, success, getattr(checker, "unjudged", ""))
    named = {"id": pa.array(replies.ids, pa.string()), "group": replies.groups}
    write_table(folder / MEASURES, pa.table(named | columns.values))
    chosen = described(checker)
    settings = {
        "measures": depends | {"resamples": resamples, "seed": seed},
        "checker": chosen and chosen | {"success": success},
    }
    write_settings(folder, read_settings(folder) | settings)
    write_atomically(folder / EVALUATION, json.dumps(plain(found), indent=2, allow_nan=False) + "\n")
    return found


def _diversity(replies: Replies, encoder: Any) -> tuple[Columns, dict[str, Any]]:
    """The measures of the texts alone, and what these depend on."""
    found = measure(dict(zip(map(str, range(len(replies.ids))), replies.texts, strict=True)), encoder)
    tokens = replies.details["tokens"].sum(axis=1)
    values = found.columns | {
        "mean_tokens": replies.details["tokens"].mean(axis=1),
        "unfinished_share": 1 - replies.details["finished"].mean(axis=1),
        "log_probability_per_token": quotient(replies.details["log_probability"].sum(axis=1), tokens),
    }
    columns = Columns(values, dict(found.reasons), {}, {})
    if not tokens.all():
        columns.reasons["log_probability_per_token"] = f"{(tokens == 0).sum()} of {len(tokens)} prompts: no tokens"
    own = {str(i): [text] for i, text in enumerate(replies.reference_replies) if text.strip()}
    if own:
        alone = measure(own).columns
        columns.reference_values |= {name: float(alone[name].mean()) for name in OF_ONE}
    return columns, found.settings


def _quality(replies: Replies, checker: Checker, columns: Columns, success: float) -> np.ndarray:
    """Fill the columns with what the checker finds; returns the quality of each reply, `[P, n]`."""
    together = list(zip(replies.prompts, replies.texts, replies.reference_replies, strict=True))
    cases = [Case(prompt, text, reference) for prompt, texts, reference in together for text in texts]
    own = [Case(prompt, reference, reference) for prompt, _, reference in together if reference.strip()]
    rated = np.asarray(checker.check_all([*cases, *own]), dtype=np.float64)
    quality, of_own = rated[: len(cases)].reshape(-1, replies.samples), rated[len(cases) :]
    known = ~np.isnan(quality)
    m, right = known.sum(axis=1), (quality >= success).sum(axis=1)
    graded = [row[keep] for row, keep in zip(quality, known, strict=True)]
    added: dict[str, np.ndarray] = {}
    for k in range(1, replies.samples + 1):
        added[f"pass@{k}"] = pass_at_k(m, right, k)
        added[f"pass^{k}"] = pass_all_k(m, right, k)
        added[f"max@{k}"] = np.array([max_at_k(row, k) for row in graded])
    for name in ("pass@", "pass^", "max@"):
        columns.curves[f"{name}k"] = {k: f"{name}{k}" for k in range(1, replies.samples + 1)}
        columns.values |= {each: added[each] for each in columns.curves[f"{name}k"].values()}
    added |= {f"cover@{share:g}": coverage(m, right, share) for share in THRESHOLDS}
    columns.values |= added
    for name, values in added.items():
        if missing := int(np.isnan(values).sum()):
            columns.reasons[name] = f"{missing} of {len(m)} prompts: too few replies were judged, {checker.unjudged}"
    of_own = of_own[~np.isnan(of_own)]
    if len(of_own):
        passed = float((of_own >= success).mean())
        columns.reference_values |= {"pass@1": passed, "max@1": float(of_own.mean()), "pass^1": passed}
    return quality


def _means(columns: Columns, groups: Any, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Mean over prompts of each measure with a 95% interval, all from the same draws of groups."""
    matrix = np.stack(list(columns.values.values()), axis=1)
    found, _ = paired_differences(matrix, np.zeros_like(matrix), np.asarray(groups), resamples, seed)
    entries = {}
    for (name, column), interval in zip(columns.values.items(), found, strict=True):
        entry = entries[name] = interval._asdict() | {"prompts": int(np.isfinite(column).sum())}
        for key, values in (("reason", columns.reasons), ("reference", columns.reference_values)):
            if name in values:
                entry[key] = values[name]
    return entries
