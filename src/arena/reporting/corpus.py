"""Sections about the set as a whole: tokens, truncation and splits; see `arena.reporting.sections`."""

import math
from typing import Any

import numpy as np

from arena.reporting.comparisons import Comparisons
from arena.reporting.page import Share, Sheet
from arena.reporting.sections import (
    FIELDS,
    LIMIT_SHARES,
    OUTCOME_HEADER,
    PERCENTILES,
    SPLITS,
    Values,
    cells,
    outcome_cells,
    outcome_series,
    series,
)
from arena.reporting.statistics import rate


def token_lengths(tokens: np.ndarray | None) -> Values:
    """Distribution of the tokens of prompt, A and B, `[R, 3]`."""
    if tokens is None or not len(tokens):
        return {}
    every = np.concatenate([tokens, tokens.sum(axis=1, keepdims=True)], axis=1).T
    columns = ["tokens", "rows", "mean", "smallest", *(f"percentile {p}" for p in PERCENTILES), "largest", "sum"]
    lines: list[list[Any]] = [columns]
    for name, one in zip(FIELDS, every, strict=True):
        percentiles = np.percentile(one, PERCENTILES).astype(int).tolist()
        lines.append([name, len(one), float(one.mean()), int(one.min()), *percentiles, int(one.max()), int(one.sum())])
    return {"values": dict(zip(FIELDS, every, strict=True)), "sheet": Sheet("tokens", "Tokens of a row", lines)}


def truncation(rows: int, limits: list[dict[str, Any]]) -> Values:
    """The text that is lost at each length limit, as shares of `rows`."""
    limits = sorted(limits, key=lambda limit: limit["max_length"])
    if not limits:
        return {}
    shares = {name: [limit.get(name, math.nan) for limit in limits] for name in LIMIT_SHARES}
    rates = {
        name: [rate(0, 0) if math.isnan(share) else rate(round(share * rows), rows) for share in found]
        for name, found in shares.items()
    }
    columns = ["max_length", "rows"]
    columns += [f"{name} {part}" for name in LIMIT_SHARES for part in ("count", "value", "low", "high")]
    lines = [
        [limit["max_length"], rows, *(c for found in rates.values() for c in [found[i].count, *cells(found[i], 0)])]
        + [Share(limit.get("kept_tokens_share", math.nan))]
        for i, limit in enumerate(limits)
    ]
    known = [series(LIMIT_SHARES[name], found) for name, found in rates.items() if any(one.total for one in found)]
    sheet = Sheet("truncation", "What each limit cuts", [[*columns, "kept_tokens_share"], *lines])
    lengths = [int(limit["max_length"]) for limit in limits]
    return {"limits": lengths, "cut": rates["share_cut"], "shares": known, "sheet": sheet}


def splits(data: Comparisons) -> Values:
    """Sizes and class shares of the splits."""
    if data.split is None or not (data.split != "").any():
        return {}
    names = [name for name in SPLITS if (data.split == name).any()]
    names += sorted(set(data.split.tolist()) - set(SPLITS) - {""})
    bins = [data.split == name for name in names]
    groups = [len(np.unique(data.group[rows])) if data.group is not None else None for rows in bins]
    lines = [
        [name, int(rows.sum()), number, *outcome_cells(data.winner[rows])]
        for name, rows, number in zip(names, bins, groups, strict=True)
    ]
    columns = ["split", "rows", "groups", *OUTCOME_HEADER]
    return {
        "labels": [f"{line[0]} ({line[3]:,} labelled)" for line in lines], "shares": outcome_series(data, bins),
        "sizes": [line[:3] for line in lines], "without": int((data.split == "").sum()),
        "groups_cut": None if data.group is None else _groups_cut(data.group, data.split),
        "sheet": Sheet("splits", "Sizes and outcomes of the splits", [columns, *lines]),
    }  # fmt: skip


def _groups_cut(group: np.ndarray, split: np.ndarray) -> int:
    """Groups with rows in more than one split; rows without a split do not count."""
    known = split != ""
    pairs = np.unique(np.stack([group[known], np.unique(split[known], return_inverse=True)[1]], axis=1), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
