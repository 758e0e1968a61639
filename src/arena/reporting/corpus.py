"""Sections about the set as a whole: tokens and truncation, splits, repeated texts, where the rows went."""

import math
from functools import partial
from typing import Any

import numpy as np

from arena.reporting import figures
from arena.reporting.outcomes import series
from arena.reporting.sections import (
    OUTCOME_HEADER,
    OUTCOME_LABELS,
    Comparisons,
    Picture,
    Section,
    Share,
    Sheet,
    outcome_line,
    percent,
    plural,
    rate_cells,
    shown_cell,
)
from arena.reporting.statistics import Rate, rate, rate_of

PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99)
FIELDS = ("prompt", "answer A", "answer B", "all three")
LIMIT_SHARES = {
    "share_cut": "something is cut",
    "share_answer_invisible": "an answer is unseen",
    "share_b_invisible_right_cut": "B is unseen if the end is cut",
}
SPLITS = ("train", "val", "test")


def token_lengths(tokens: np.ndarray | None, limits: list[dict[str, Any]]) -> Section:
    """Distribution of the tokens of each field.

    Args:
        tokens: of prompt, A and B, `[R, 3]`.
        limits: as in `truncation`; their `max_length` is drawn into the picture.
    """
    title = "Tokens"
    if tokens is None or not len(tokens):
        return Section("tokens", title, "No tokenizer was given, so tokens are not counted.")
    every = np.concatenate([tokens, tokens.sum(axis=1, keepdims=True)], axis=1)
    values: dict[str, np.ndarray] = dict(zip(FIELDS, every.T, strict=True))
    total = every[:, 3]
    finding = (
        f"A row has {int(np.median(total)):,} tokens in the median, {int(np.quantile(total, 0.95)):,} at the 95th "
        f"percentile, {int(total.max()):,} at most."
    )
    header = ["tokens", "rows", "mean", "smallest", *(f"{p}th percentile" for p in PERCENTILES), "largest", "sum"]
    lines = [
        [name, len(one), float(one.mean()), int(one.min()), *(int(np.percentile(one, p)) for p in PERCENTILES)]
        + [int(one.max()), int(one.sum())]
        for name, one in values.items()
    ]
    header[4] = "1st percentile"
    marks = [int(limit["max_length"]) for limit in limits]
    draw = partial(figures.histograms, values=values, x="tokens (logarithmic; lines: the limits below)", limits=marks)
    if not marks:
        draw = partial(figures.histograms, values=values, x="tokens (logarithmic)")
    notes = ["Tokens of the texts themselves, without the template's own."]
    pictures = [Picture("tokens", "Distribution of tokens", draw)]
    return Section("tokens", title, finding, notes, pictures, [Sheet("tokens", "Tokens of a row", [header, *lines])])


def truncation(rows: int, limits: list[dict[str, Any]]) -> Section:
    """What is lost at each length limit.

    Args:
        rows: number of rows that the shares are of.
        limits: for each limit `max_length`, the shares of `LIMIT_SHARES` and `kept_tokens_share`.
    """
    title = "Truncation"
    if not limits:
        return Section("truncation", title, "No length limit was given, so there is nothing to cut.")
    limits = sorted(limits, key=lambda limit: limit["max_length"])
    rates = {name: [_share_rate(limit.get(name), rows) for limit in limits] for name in LIMIT_SHARES}
    known = {name: found for name, found in rates.items() if any(one.total for one in found)}
    parts = []
    for limit, found in zip(limits, rates["share_cut"], strict=True):
        cut = f"{percent(found.value)} ({percent(found.low)} to {percent(found.high)})"
        parts.append(f"{int(limit['max_length']):,} tokens cuts {cut}")
    finding = f"Of {plural(rows, 'row')}, a limit of {'; of '.join(parts)}."
    header = ["max_length", "rows"]
    for name in LIMIT_SHARES:
        header += [f"{name} {part}" for part in ("count", "value", "low", "high")]
    lines = [
        [int(limit["max_length"]), rows]
        + [cell for name in LIMIT_SHARES for cell in (rates[name][i].count, *rate_cells(rates[name][i]))]
        + [Share(limit.get("kept_tokens_share", math.nan))]
        for i, limit in enumerate(limits)
    ]
    pictures = []
    if known:
        labels = [f"{int(limit['max_length']):,}" for limit in limits]
        shown = [
            figures.Series(LIMIT_SHARES[name], *zip(*(one[2:] for one in found), strict=True))
            for name, found in known.items()
        ]  # noqa: E501
        draw = partial(figures.lines, labels=labels, series=shown, x="max_length in tokens", y="share of rows")
        pictures = [Picture("truncation", "Shares of rows that lose text", draw)]
    sheet = Sheet("truncation", "What each limit cuts", [[*header, "kept_tokens_share"], *lines])
    return Section("truncation", title, finding, [], pictures, [sheet])


def _share_rate(share: float | None, rows: int) -> Rate:
    known = share is not None and math.isfinite(share)
    return rate(round((share or 0.0) * rows), rows) if known else rate(0, 0)


def splits(data: Comparisons) -> Section:
    """Sizes and class shares of the splits."""
    title = "Splits"
    if data.split is None or not (data.split != "").any():
        return Section("splits", title, "The rows are not split.")
    found = [name for name in SPLITS if (data.split == name).any()]
    found += sorted(set(data.split.tolist()) - set(SPLITS) - {""})
    lines, rates, parts = [], [], []
    for name in found:
        rows = data.split == name
        groups = len(np.unique(data.group[rows])) if data.group is not None else None
        rates.append([rate_of(data.winner == outcome, rows & data.labelled) for outcome in range(3)])
        lines.append([name, int(rows.sum()), groups, *outcome_line(data.winner[rows])])
        parts.append(f"{name} {int(rows.sum()):,}" + (f" rows in {groups:,} groups" if groups is not None else " rows"))
    notes = []
    if data.group is not None:
        cut = _groups_cut(data.group, data.split)
        notes.append(
            f"{cut:,} groups of equal prompts are in several splits."
            if cut
            else "No group of equal prompts is in two splits."
        )
    left = int((data.split == "").sum())
    notes += [f"{plural(left, 'row')} without a split."] if left else []
    sheet = Sheet("splits", "Sizes and outcomes of the splits", [["split", "rows", "groups", *OUTCOME_HEADER], *lines])
    pictures = []
    if data.labelled.any():
        shown = [series(label, [line[i] for line in rates]) for i, label in enumerate(OUTCOME_LABELS)]
        shown = [one for one in shown if np.nansum(one.values) > 0]
        labels = [f"{name} ({line[0].total:,} labelled)" for name, line in zip(found, rates, strict=True)]
        draw = partial(figures.dots, labels=labels, panels=[("share of labelled rows", shown)], reference=(None,))
        pictures = [Picture("splits", "Outcomes in the splits", draw)]
    return Section("splits", title, "; ".join(parts) + ".", notes, pictures, [sheet])


def _groups_cut(group: np.ndarray, split: np.ndarray) -> int:
    """Groups with rows in more than one split; rows without a split do not count."""
    known = split != ""
    pairs = np.unique(np.stack([group[known], np.unique(split[known], return_inverse=True)[1]], axis=1), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def table_section(key: str, title: str, lines: list[list[str]] | None, otherwise: str) -> Section:
    """A section that only shows a table that somebody else made, its header first."""
    if not lines or len(lines) < 2:
        return Section(key, title, otherwise)
    finding = "; ".join(f"{line[0]} {shown_cell(line[1])}" for line in lines[1:7] if len(line) > 1) + "."
    return Section(key, title, finding, [], [], [Sheet(key, title, lines)])
