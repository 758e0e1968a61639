"""Sections about who won, and whether position, length and turns have a say in it."""

from functools import partial
from typing import Any

import numpy as np

from arena.reporting import figures
from arena.reporting.sections import (
    NONE,
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
    columns_of,
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
    title, unlabelled = "Who wins", int((~data.labelled).sum())
    if unlabelled == data.rows:
        return Section("winners", title, f"None of the {plural(data.rows, 'row')} has a winner.")
    found = outcome_rates(data)
    parts = [
        f"{label} {percent(one.value)} ({percent(one.low)} to {percent(one.high)})"
        for label, one in zip(OUTCOME_LABELS, found, strict=True)
    ]
    finding = f"Of {plural(found[0].total, 'labelled row')}: {', '.join(parts)}."
    if found[TIE].count == 0:
        finding += " There are no ties."
    notes = [f"{plural(unlabelled, 'row')} without a winner left out."] if unlabelled else []
    draw = partial(
        figures.dots, labels=OUTCOME_LABELS, panels=[("share of labelled rows", [series("share", found)])],
        reference=(None,),
    )  # fmt: skip
    lines = [[name, one.count, one.total, *rate_cells(one)] for name, one in zip(OUTCOMES, found, strict=True)]
    sheet = Sheet("winners", "Outcomes", [["winner", "rows", "labelled", *RATE_HEADER], *lines])
    return Section("winners", title, finding, notes, [Picture("winners", "Shares of the outcomes", draw)], [sheet])


def position(data: Comparisons) -> Section:
    """Whether standing first helps."""
    title = "Position"
    if not data.decided.any():
        return Section("position", title, NO_DECISION)
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
    overall = rates["all decided pairs"]
    finding = f"A won {spoken(overall, 'decided pairs')}, {against_half(overall)}."
    notes = ["Ties are left out. Half (dashed) is what a judge without a preference for a position would give."]
    panel = ("share of decided pairs that A won", [series("A wins", list(rates.values()))])
    picture = Picture("position", "Share of pairs won by A", partial(figures.dots, labels=list(rates), panels=[panel]))
    lines = [[name, found.count, found.total, *rate_cells(found)] for name, found in rates.items()]
    sheet = Sheet("position", "Decided pairs won by A", [["rows", "A wins", "decided", *RATE_HEADER], *lines])
    return Section("position", title, finding, notes, [picture], [sheet])


def length(data: Comparisons) -> Section:
    """The difference of the answers' lengths against the outcome."""
    title = "Length of the answers"
    if not data.labelled.any():
        return Section("length", title, NO_WINNERS)
    longer = longer_wins(data)
    finding = f"The longer answer won {spoken(longer, 'decided pairs of different length')}, {against_half(longer)}."
    if not longer.total:
        finding = "No pair of answers of different length was decided, so length cannot be judged by winners."
    rows = data.labelled
    index, labels = signed_bins((data.characters[:, 0] - data.characters[:, 1])[rows])
    winner = data.winner[rows]
    picture = Picture(
        "length_difference",
        "Outcomes by the difference of lengths",
        partial(
            figures.lines, labels=labels, series=outcome_series(winner, index, len(labels)),
            x="characters of A minus characters of B (rows in brackets)", y="share of labelled rows",
        ),
    )  # fmt: skip
    lines = [[label, *outcome_line(winner[index == number])] for number, label in enumerate(labels)]
    sheet = Sheet("length_difference", "Outcomes by difference", [["A minus B, characters", *OUTCOME_HEADER], *lines])
    notes = ["Characters of all turns together. Longer answers are often better ones too: this is no proof of a bias."]
    return Section("length", title, finding, notes, [picture], [sheet])


def longer_wins(data: Comparisons, among: np.ndarray | None = None) -> Rate:
    """How often the longer answer won the decided pairs of different length."""
    return rate_of(*data.more_wins(data.characters, among))


def prompt_length(data: Comparisons) -> Section:
    """Outcomes and the pull of length for short and long prompts."""
    title = "Length of the prompt"
    if not data.labelled.any():
        return Section("prompt_length", title, NO_WINNERS)
    index, labels = equal_bins(data.prompt_characters, 6)
    return binned(
        data, Section("prompt_length", title, ""), index, labels, "characters of the prompt", "the shortest prompts",
        "the longest",
    )  # fmt: skip


def turns(data: Comparisons) -> Section:
    """Outcomes and the pull of length by the number of turns."""
    title = "Turns"
    found, index = np.unique(np.minimum(data.turns, MAX_TURNS), return_inverse=True)
    labels = [f"{number} and more" if number == MAX_TURNS else str(number) for number in found]
    several = rate(int((data.turns > 1).sum()), data.rows)
    if len(labels) == 1:
        return Section("turns", title, f"Every row has {labels[0]} turn{'' if found[0] == 1 else 's'}.")
    if not data.labelled.any():
        return Section("turns", title, NO_WINNERS)
    made = binned(data, Section("turns", title, ""), index, labels, "user turns", "the fewest turns", "the most")
    made.finding = f"{percent(several.value)} of {plural(data.rows, 'row')} have several turns. {made.finding}"
    return made


def binned(
    data: Comparisons, section: Section, index: np.ndarray, labels: list[str], axis: str, first: str, last: str
) -> Section:
    """The section with outcomes and longer-wins rates for each bin `[R]` of the rows."""
    bins = range(len(labels))
    ties = [rate_of(data.winner == TIE, data.labelled & (index == number)) for number in bins]
    longer = [longer_wins(data, index == number) for number in bins]
    labelled = data.labelled
    shares = outcome_series(data.winner[labelled], index[labelled], len(labels))
    ends = [(ties[0], first), (ties[-1], last)]
    section.finding = "Ties: " + "; ".join(
        f"{percent(found.value)} of {found.total:,} with {name} ({percent(found.low)} to {percent(found.high)})"
        for found, name in ends
    )
    section.finding += "." if any(found.count for found in ties) else ". There are no ties."
    section.pictures.append(
        Picture(
            f"{section.key}_outcomes", f"Outcomes by {axis}",
            partial(
                figures.lines, labels=labels, series=shares, x=f"{axis} (rows in brackets)", y="share of labelled rows"
            ),
        )
    )  # fmt: skip
    if any(found.total for found in longer):
        section.pictures.append(
            Picture(
                f"{section.key}_longer_wins", f"Longer answer wins, by {axis}",
                partial(
                    figures.lines, labels=labels, series=[series("longer wins", longer)], half=True,
                    x=f"{axis} (decided pairs in brackets)", y="longer answer wins",
                ),
            )
        )  # fmt: skip
    header = [axis, *OUTCOME_HEADER, "decided, lengths differ", *(f"longer wins {part}" for part in RATE_HEADER)]
    lines: list[list[Any]] = [
        [label, *outcome_line(data.winner[index == number]), longer[number].total, *rate_cells(longer[number])]
        for number, label in enumerate(labels)
    ]
    section.sheets.append(Sheet(section.key, f"Outcomes by {axis}", [header, *lines]))
    return section


def series(name: str, rates: list[Rate]) -> figures.Series:
    """Rates as one series of a picture, with the rows that each was counted among."""
    return figures.Series(name, *columns_of(rates), totals=[found.total for found in rates])


def outcome_series(winner: np.ndarray, index: np.ndarray, bins: int) -> list[figures.Series]:
    """The shares of the three outcomes in each bin; outcomes that never occur are left out.

    Args:
        winner: `[N]`, without `NONE`.
        index: bin of each row, `[N]`.
        bins: number of bins.
    """
    assert not (winner == NONE).any()
    found = []
    for outcome, label in enumerate(OUTCOME_LABELS):
        if (winner == outcome).any():
            found.append(series(label, [rate_of(winner == outcome, index == number) for number in range(bins)]))
    return found
