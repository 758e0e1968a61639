"""Sections about who won, and whether position, length and turns have a say in it."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from arena.reporting import figures
from arena.reporting.sections import (
    OUTCOME_HEADER,
    OUTCOME_LABELS,
    OUTCOMES,
    RATE_HEADER,
    TIE,
    A,
    Comparisons,
    Picture,
    Section,
    Sheet,
    against_half,
    outcome_line,
    percent,
    plural,
    rate_cells,
    spoken,
)
from arena.reporting.statistics import Rate, equal_bins, rate, rate_of, signed_bins

NO_WINNERS = "No row has a winner, so there is nothing to count here."
NO_DECISION = "No row was decided for A or B, so there is nothing to count here."
MAX_TURNS = 5
MAX_SOURCES = 8


def outcome_rates(data: Comparisons) -> list[Rate]:
    """The rates of `OUTCOMES` among the labelled rows."""
    return [rate_of(data.winner == outcome, data.labelled) for outcome in range(3)]


def winners(data: Comparisons) -> Section:
    """Counts and shares of the outcomes."""
    made, unlabelled = Section("winners", "Who wins", ""), int((~data.labelled).sum())
    if unlabelled == data.rows:
        made.finding = f"None of the {plural(data.rows, 'row')} has a winner."
        return made
    found = outcome_rates(data)
    parts = [
        f"{label} {percent(one.value)} ({percent(one.low)} to {percent(one.high)})"
        for label, one in zip(OUTCOME_LABELS, found, strict=True)
    ]
    made.finding = f"Of {plural(found[0].total, 'labelled row')}: {', '.join(parts)}."
    made.finding += "" if found[TIE].count else " There are no ties."
    made.notes = [f"{plural(unlabelled, 'row')} without a winner left out."] if unlabelled else []
    panels = [("share of labelled rows", [series("share", found)])]
    draw = partial(figures.dots, labels=OUTCOME_LABELS, panels=panels, reference=(None,))
    made.pictures = [Picture("winners", "Shares of the outcomes", draw)]
    made.sheets = [rate_sheet("winners", "Outcomes", ["winner", "rows", "labelled"], OUTCOMES, found)]
    return made


def position(data: Comparisons) -> Section:
    """Whether standing first helps."""
    made = Section("position", "Position", NO_DECISION)
    if not data.decided.any():
        return made
    longer = data.characters[:, 0] - data.characters[:, 1]
    kinds = {
        "all decided pairs": data.decided,
        "A is the longer answer": longer > 0,
        "B is the longer answer": longer < 0,
        "one turn": data.turns == 1,
        "several turns": data.turns > 1,
    }
    if len(data.sources) > 1:
        kinds |= {f"source {name}": data.source == i for i, name in enumerate(data.sources[:MAX_SOURCES])}
    rates = {name: rate_of(data.winner == A, data.decided & among) for name, among in kinds.items()}
    rates = {name: found for name, found in rates.items() if found.total}
    overall, labels = rates["all decided pairs"], list(rates)
    made.finding = f"A won {spoken(overall, 'decided pairs')}, {against_half(overall)}."
    made.notes = ["Ties are left out. Half (dashed) is what a judge without a preference for a position would give."]
    panel = ("share of decided pairs that A won", [series("A wins", list(rates.values()))])
    made.pictures = [
        Picture("position", "Share of pairs won by A", partial(figures.dots, labels=labels, panels=[panel]))
    ]
    header = ["rows", "A wins", "decided"]
    made.sheets = [rate_sheet("position", "Decided pairs won by A", header, labels, list(rates.values()))]
    return made


def rate_sheet(name: str, caption: str, header: list[str], labels: Sequence[str], rates: Sequence[Rate]) -> Sheet:
    """A table of rates: a label, count and total of each, which `header` names, and its value with the interval."""
    lines = [[label, *found[:2], *rate_cells(found)] for label, found in zip(labels, rates, strict=True)]
    return Sheet(name, caption, [[*header, *RATE_HEADER], *lines])


def length(data: Comparisons) -> Section:
    """The difference of the answers' lengths against the outcome."""
    made = Section("length", "Length of the answers", NO_WINNERS)
    if not data.labelled.any():
        return made
    longer = longer_wins(data)
    made.finding = (
        f"The longer answer won {spoken(longer, 'decided pairs of different length')}, {against_half(longer)}."
    )
    if not longer.total:
        made.finding = "No pair of answers of different length was decided, so length cannot be judged by winners."
    made.notes = [
        "Characters of all turns together. Longer answers are often better ones too: this is no proof of a bias."
    ]
    index, labels = signed_bins((data.characters[:, 0] - data.characters[:, 1])[data.labelled])
    winner, caption = data.winner[data.labelled], "Outcomes by the difference of lengths"
    x = "characters of A minus characters of B (rows in brackets)"
    made.pictures = [outcome_picture("length_difference", caption, labels, winner, index, x)]
    lines = [[label, *outcome_line(winner[index == number])] for number, label in enumerate(labels)]
    header = ["A minus B, characters", *OUTCOME_HEADER]
    made.sheets = [Sheet("length_difference", "Outcomes by difference", [header, *lines])]
    return made


def longer_wins(data: Comparisons, among: np.ndarray | None = None) -> Rate:
    """How often the longer answer won the decided pairs of different length."""
    return rate_of(*data.more_wins(data.characters, among))


def prompt_length(data: Comparisons) -> Section:
    """Outcomes and the pull of length for short and long prompts."""
    made = Section("prompt_length", "Length of the prompt", NO_WINNERS)
    if data.labelled.any():
        index, labels = equal_bins(data.prompt_characters, 6)
        add_bins(made, data, index, labels, "characters of the prompt", ("the shortest prompts", "the longest"))
    return made


def turns(data: Comparisons) -> Section:
    """Outcomes and the pull of length by the number of turns."""
    made = Section("turns", "Turns", NO_WINNERS)
    found, index = np.unique(np.minimum(data.turns, MAX_TURNS), return_inverse=True)
    labels = [f"{number} and more" if number == MAX_TURNS else str(number) for number in found]
    several = rate(int((data.turns > 1).sum()), data.rows)
    if len(labels) == 1:
        made.finding = f"Every row has {labels[0]} turn{'' if found[0] == 1 else 's'}."
    elif data.labelled.any():
        add_bins(made, data, index, labels, "user turns", ("the fewest turns", "the most"))
        made.finding = f"{percent(several.value)} of {plural(data.rows, 'row')} have several turns. {made.finding}"
    return made


def add_bins(
    made: Section, data: Comparisons, index: np.ndarray, labels: list[str], axis: str, names: tuple[str, str]
) -> None:
    """Add outcomes and longer-wins rates for each bin `[R]` of the rows; `names`: of the first and the last bin."""
    bins = [index == number for number in range(len(labels))]
    ties = [rate_of(data.winner == TIE, data.labelled & rows) for rows in bins]
    longer = [longer_wins(data, rows) for rows in bins]
    said = zip((ties[0], ties[-1]), names, strict=True)
    made.finding = "Ties: " + "; ".join(
        f"{percent(found.value)} of {found.total:,} with {name} ({percent(found.low)} to {percent(found.high)})"
        for found, name in said
    )
    made.finding += "." if any(found.count for found in ties) else ". There are no ties."
    key, caption, winner = made.key, f"Outcomes by {axis}", data.winner[data.labelled]
    x = f"{axis} (rows in brackets)"
    made.pictures = [outcome_picture(f"{key}_outcomes", caption, labels, winner, index[data.labelled], x)]
    if any(found.total for found in longer):
        draw = partial(
            figures.lines, labels=labels, series=[series("longer wins", longer)], half=True,
            x=f"{axis} (decided pairs in brackets)", y="longer answer wins",
        )  # fmt: skip
        made.pictures.append(Picture(f"{key}_longer_wins", f"Longer answer wins, by {axis}", draw))
    header = [axis, *OUTCOME_HEADER, "decided, lengths differ", *(f"longer wins {part}" for part in RATE_HEADER)]
    lines = [
        [label, *outcome_line(data.winner[rows]), found.total, *rate_cells(found)]
        for label, rows, found in zip(labels, bins, longer, strict=True)
    ]
    made.sheets = [Sheet(key, caption, [header, *lines])]


def series(name: str, rates: list[Rate]) -> figures.Series:
    """Rates as one series of a picture, with the rows that each was counted among."""
    values, low, high = zip(*(found[2:] for found in rates), strict=True)
    return figures.Series(name, values, low, high, totals=[found.total for found in rates])


def outcome_picture(
    name: str, caption: str, labels: list[str], winner: np.ndarray, index: np.ndarray, x: str
) -> Picture:
    """The shares of the three outcomes in each bin; outcomes that never occur are left out.

    Args:
        name: of the picture's file.
        caption: what it shows.
        labels: of the bins.
        winner: of the labelled rows, `[N]`.
        index: bin of each, `[N]`.
        x: what the bins are.
    """
    shares = [
        series(label, [rate_of(winner == outcome, index == number) for number in range(len(labels))])
        for outcome, label in enumerate(OUTCOME_LABELS)
        if (winner == outcome).any()
    ]
    draw = partial(figures.lines, labels=labels, series=shares, x=x, y="share of labelled rows")
    return Picture(name, caption, draw)
