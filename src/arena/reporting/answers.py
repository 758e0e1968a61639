"""Sections about the answers themselves: their style, the odd ones, and the languages."""

from functools import partial
from typing import Any

import numpy as np

from arena.reporting import figures
from arena.reporting.outcomes import NO_DECISION, longer_wins, series
from arena.reporting.sections import (
    OUTCOME_HEADER,
    RATE_HEADER,
    TIE,
    A,
    Comparisons,
    Picture,
    Section,
    Sheet,
    outcome_line,
    percent,
    plural,
    rate_cells,
    spoken,
)
from arena.reporting.statistics import rate, rate_of
from arena.reporting.text_features import FEATURES
from arena.stats.intervals import mean

LANGUAGES = 15


def style(data: Comparisons) -> Section:
    """Markdown and punctuation in winners against losers."""
    title = "Markdown and punctuation"
    if not data.decided.any():
        return Section("style", title, NO_DECISION)
    length = np.maximum(data.characters, 1)
    more, dense, lines = {}, {}, []
    for name, label in FEATURES.items():
        counts = data.features.counts[name]
        more[label] = rate_of(*data.more_wins(counts))
        dense[label] = rate_of(*data.more_wins(counts / length))
        lines.append([label, *style_means(data, counts), *rate_line(more[label]), *rate_line(dense[label])])
    header = ["feature", "decided", "mean of winners", "mean of losers", "difference", "difference low"]
    header += ["difference high", "pairs that differ", *(f"more wins {part}" for part in RATE_HEADER)]
    header += ["pairs whose density differs", *(f"denser wins {part}" for part in RATE_HEADER)]
    sheet = Sheet("style", "Counts in winners and losers, and how often more wins", [header, *lines])
    known = [label for label in more if more[label].total]
    if not known:
        return Section("style", title, "No decided pair differs in any of the counts.", [], [], [sheet])
    shown = sorted(known, key=lambda label: -more[label].value)
    strongest = max(known, key=lambda label: max(more[label].low, 1 - more[label].high))
    kind = "more" if more[strongest].value >= 0.5 else "fewer"
    found = more[strongest]
    found = found if kind == "more" else rate(found.total - found.count, found.total)
    won = spoken(found, "decided pairs that differ in them")
    finding = f"The surest sign is {strongest.lower()}: the answer with {kind} won {won}."
    notes = [
        "Longer answers hold more of everything. The density (count per character) takes that out: where the two marks "
        "disagree, length explains part of the count. Markdown is counted outside fenced code.",
        f"The surest of {len(known)} counts was picked after looking, which its interval does not allow for.",
        "The intervals of the mean differences (in the table) are normal ones"
        + (" that allow rows with equal prompts to resemble each other." if data.group is not None else "."),
    ]
    panel = (
        "share of decided pairs won by the answer with more",
        [series("more of it", [more[x] for x in shown]), series("more of it per character", [dense[x] for x in shown])],
    )
    labels = [f"{label} ({more[label].total:,} pairs)" for label in shown]
    draw = partial(figures.dots, labels=labels, panels=[panel])
    picture = Picture("style", "How often more of a feature wins", draw)
    return Section("style", title, finding, notes, [picture], [sheet])


def style_means(data: Comparisons, counts: np.ndarray) -> list[Any]:
    """Decided rows, the means of winners and losers, and their mean difference with its interval.

    Args:
        data: the rows.
        counts: of answers A and B, `[R, 2]`.
    """
    rows = data.decided
    first, second = counts[rows].T
    won_a = data.winner[rows] == A
    winner, loser = np.where(won_a, first, second), np.where(won_a, second, first)
    difference = mean((winner - loser).astype(float), None if data.group is None else data.group[rows])
    return [len(winner), float(winner.mean()), float(loser.mean()), *difference]


def rate_line(found: Any) -> list[Any]:
    """Rows and rate with its interval."""
    return [found.total, *rate_cells(found)]


def oddities(data: Comparisons) -> Section:
    """Empty answers, refusals and identical answers."""
    features = data.features
    flags = {"empty": features.empty, "opens like a refusal or an apology": features.refusal}
    lines: list[list[Any]] = []
    for name, flag in flags.items():
        one = flag[:, 0] ^ flag[:, 1]
        # The answer with the flag wins where the flag's side and the winner agree.
        wins = rate_of(flag[:, 0] == (data.winner == A), one & data.decided)
        lines.append([name, *share(flag.any(axis=1)), int(flag.all(axis=1).sum()), *wins[:2], *rate_cells(wins)])
    ties = rate_of(data.winner == TIE, features.identical & data.labelled)
    same = share(features.identical)
    header = ["answers", "rows with one or two", "rows", *RATE_HEADER, "rows with two"]
    header += ["wins against an answer without", "decided", *(f"win {part}" for part in RATE_HEADER)]
    sheet = Sheet("odd_answers", "Empty answers and refusals", [header, *lines])
    header = ["identical", "rows", *RATE_HEADER, "ties", "labelled", *(f"tie {part}" for part in RATE_HEADER)]
    second = Sheet("identical_answers", "Identical answers", [header, [*same, *ties[:2], *rate_cells(ties)]])
    finding = (
        f"{plural(lines[0][1], 'row')} with an empty answer ({percent(lines[0][3])}), {lines[1][1]:,} with one that "
        f"opens like a refusal or an apology ({percent(lines[1][3])}), {same[0]:,} with two identical answers "
        f"({percent(same[2])})."
    )
    notes = [
        "A refusal is recognised by its English opening words (I'm sorry, I cannot, As an AI and their like), so "
        "refusals in other languages are missed and polite corrections are counted. It wins where it stands against an "
        "answer without."
    ]
    return Section("odd_answers", "Empty, refusing and identical answers", finding, notes, [], [sheet, second])


def share(flags: Any) -> list[Any]:
    """Count, rows, share and interval of a flag `[R]` bool."""
    found = rate(int(flags.sum()), len(flags))
    return [found.count, found.total, *rate_cells(found)]


def languages(data: Comparisons) -> Section:
    """Outcomes and the pull of length in each language."""
    title = "Languages"
    if not data.languages:
        return Section("languages", title, "No row names its language, so there is nothing to show here.")
    known = int((data.language >= 0).sum())
    most = rate(int((data.language == 0).sum()), known)
    finding = f"{plural(len(data.languages), 'language')}; {data.languages[0]} is the most frequent with "
    finding += f"{spoken(most, 'rows')}."
    notes = [f"{plural(data.rows - known, 'row')} without a language left out."] if known < data.rows else []
    notes += [f"The picture shows the {LANGUAGES} most frequent."] if len(data.languages) > LANGUAGES else []
    ties, longer, lines = [], [], []
    for number, name in enumerate(data.languages):
        rows = data.language == number
        ties.append(rate_of(data.winner == TIE, rows & data.labelled))
        longer.append(longer_wins(data, rows))
        lines.append([name, int(rows.sum()), *outcome_line(data.winner[rows]), *rate_line(longer[-1])])
    header = [
        "language",
        "rows",
        *OUTCOME_HEADER,
        "decided, lengths differ",
        *(f"longer wins {x}" for x in RATE_HEADER),
    ]
    sheet = Sheet("languages", "Outcomes by language", [header, *lines])
    panels, references = [], []
    if any(found.count for found in ties[:LANGUAGES]):
        panels.append(("ties among labelled rows", [series("ties", ties[:LANGUAGES])]))
        references.append(None)
    if any(found.total for found in longer[:LANGUAGES]):
        panels.append(("longer answer wins", [series("longer wins", longer[:LANGUAGES])]))
        references.append(0.5)
    labels = data.languages[:LANGUAGES]
    draw = partial(figures.dots, labels=labels, panels=panels, reference=references)
    pictures = [Picture("languages", "Ties and longer-wins rates by language", draw)] if panels else []
    return Section("languages", title, finding, notes, pictures, [sheet])
