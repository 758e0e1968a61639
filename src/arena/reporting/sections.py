"""What the sections of the exploration page show: rates, series for the pictures, and tables.

Each function returns the values of its section by the names that `templates/exploration.html` has for them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from arena.reporting.comparisons import NONE, OUTCOMES, TIE, A, B, Comparisons
from arena.reporting.figures import Series
from arena.reporting.page import Share, Sheet
from arena.reporting.statistics import Rate, equal_bins, rate, rate_of, signed_bins
from arena.reporting.text_features import FEATURES
from arena.stats.intervals import mean

OUTCOME_LABELS = ("A wins", "B wins", "tie")
OUTCOME_HEADER = [
    "labelled",
    *(f"{label} {part}" for label in OUTCOME_LABELS for part in ("count", "share", "low", "high")),
]
MAX_TURNS, MAX_SOURCES, MAX_MODELS, HEAT = 5, 8, 30, 12
MIN_GAMES = 5
"""Decided games of two models from which on the heat map shows their rate."""
PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99)
FIELDS = ("prompt", "answer A", "answer B", "all three")
LIMIT_SHARES = {
    "share_cut": "something is cut",
    "share_answer_invisible": "an answer is unseen",
    "share_b_invisible_right_cut": "B is unseen if the end is cut",
}
SPLITS = ("train", "val", "test")
Values = dict[str, Any]


def series(name: str, rates: Sequence[Rate]) -> Series:
    """Rates as one series of a picture, with the rows that each was counted among."""
    values, low, high = zip(*(found[2:] for found in rates), strict=True)
    return Series(name, values, low, high, totals=[found.total for found in rates])


def cells(found: Rate, counted: int = 2) -> list[Any]:
    """Cells of a rate: count and total (`counted=2`), total (1) or neither, its value and the ends of its interval."""
    return [*found[:2][2 - counted :], *map(Share, found[2:])]


def header(name: str = "") -> list[str]:
    """Names of the columns of a rate's value and interval."""
    return [f"{name} {part}".strip() for part in ("rate", "low", "high")]


def rate_table(name: str, caption: str, columns: list[str], rates: dict[str, Rate]) -> Sheet:
    """A line for each rate; `columns`: names of the label, the count and the total."""
    return Sheet(name, caption, [[*columns, *header()], *([label, *cells(found)] for label, found in rates.items())])


def outcome_cells(winner: np.ndarray) -> list[Any]:
    """The cells of `OUTCOME_HEADER`."""
    labelled = int((winner != NONE).sum())
    shares = [rate(int((winner == outcome).sum()), labelled) for outcome in (A, B, TIE)]
    return [labelled, *(cell for found in shares for cell in [found.count, *cells(found, 0)])]


def outcome_series(data: Comparisons, bins: Sequence[np.ndarray]) -> list[Series]:
    """The shares of the outcomes in each bin of rows; outcomes that never occur are left out."""
    return [
        series(label, [rate_of(data.winner == outcome, rows & data.labelled) for rows in bins])
        for outcome, label in enumerate(OUTCOME_LABELS)
        if (data.winner == outcome).any()
    ]


def longer_wins(data: Comparisons, among: np.ndarray | bool = True) -> Rate:
    """How often the longer answer won the decided pairs of different length."""
    wins, asked = data.more_wins(data.characters)
    return rate_of(wins, asked & among)


def winners(data: Comparisons) -> Values:
    """Counts and shares of the outcomes."""
    names = dict(zip(OUTCOMES, OUTCOME_LABELS, strict=True))
    rates = {name: rate_of(data.winner == outcome, data.labelled) for outcome, name in enumerate(OUTCOMES)}
    sheet = rate_table("winners", "Outcomes", ["winner", "rows", "labelled"], rates)
    known = {"sheet": sheet} if data.labelled.any() else {}
    return {"rates": {names[name]: found for name, found in rates.items()}, **known}


def position(data: Comparisons) -> Values:
    """How often A won, among all decided pairs and kinds of them."""
    longer = data.characters[:, 0] - data.characters[:, 1]
    kinds = {
        "all decided pairs": data.decided, "A is the longer answer": longer > 0, "B is the longer answer": longer < 0,
        "one turn": data.turns == 1, "several turns": data.turns > 1,
    }  # fmt: skip
    if len(data.sources) > 1:
        kinds |= {f"source {name}": data.source == i for i, name in enumerate(data.sources[:MAX_SOURCES])}
    rates = {name: rate_of(data.winner == A, data.decided & among) for name, among in kinds.items()}
    rates = {name: found for name, found in rates.items() if found.total}
    if not rates:
        return {"rates": {}}
    return {"rates": rates, "sheet": rate_table("position", "Pairs won by A", ["rows", "A wins", "decided"], rates)}


def length(data: Comparisons) -> Values:
    """Outcomes by the difference of the answers' lengths."""
    if not data.labelled.any():
        return {}
    index, labels = signed_bins(data.characters[:, 0] - data.characters[:, 1])
    bins = [index == number for number in range(len(labels))]
    kept = [(label, rows) for label, rows in zip(labels, bins, strict=True) if (rows & data.labelled).any()]
    lines = [[label, *outcome_cells(data.winner[rows])] for label, rows in kept]
    sheet = Sheet("length_difference", "Outcomes by difference", [["A minus B, characters", *OUTCOME_HEADER], *lines])
    shares = outcome_series(data, [rows for _, rows in kept])
    return {"longer": longer_wins(data), "labels": [label for label, _ in kept], "shares": shares, "sheet": sheet}


def binned(data: Comparisons, name: str, axis: str, index: np.ndarray, labels: list[str]) -> Values:
    """Outcomes and the pull of length in each bin of rows.

    Args:
        data: the rows.
        name: of the table's file.
        axis: name of the bins.
        index: bin of each row, `[R]`.
        labels: of the bins.
    """
    bins = [index == number for number in range(len(labels))]
    longer = [longer_wins(data, rows) for rows in bins]
    lines = [
        [label, *outcome_cells(data.winner[rows]), *cells(found, 1)]
        for label, rows, found in zip(labels, bins, longer, strict=True)
    ]
    columns = [axis, *OUTCOME_HEADER, "decided, lengths differ", *header("longer wins")]
    return {
        "labels": labels,
        "ties": [rate_of(data.winner == TIE, data.labelled & rows) for rows in bins],
        "longer": longer,
        "shares": outcome_series(data, bins),
        "sheet": Sheet(name, f"Outcomes by {axis}", [columns, *lines]),
    }


def prompt_length(data: Comparisons) -> Values:
    """Outcomes for short and long prompts."""
    if not data.labelled.any():
        return {}
    return binned(data, "prompt_length", "characters of the prompt", *equal_bins(data.prompt_characters, 6))


def turns(data: Comparisons) -> Values:
    """Outcomes by the number of turns."""
    found, index = np.unique(np.minimum(data.turns, MAX_TURNS), return_inverse=True)
    labels = [f"{number} and more" if number == MAX_TURNS else str(number) for number in found]
    known = {"labels": labels, "several": rate(int((data.turns > 1).sum()), data.rows)}
    if len(labels) == 1 or not data.labelled.any():
        return known
    return known | binned(data, "turns", "user turns", index, labels)


def languages(data: Comparisons) -> Values:
    """Outcomes in each language."""
    if not data.languages:
        return {}
    known = int((data.language >= 0).sum())
    found = binned(data, "languages", "language", data.language, data.languages)
    return found | {"known": known, "first": rate(int((data.language == 0).sum()), known)}


def style(data: Comparisons) -> Values:
    """Markdown and punctuation in winners against losers, and how often more of it wins."""
    if not data.decided.any():
        return {"labels": []}
    size = np.maximum(data.characters, 1)
    more, dense, lines = {}, {}, []
    for name, label in FEATURES.items():
        counts = data.features.counts[name]
        more[label], dense[label] = (rate_of(*data.more_wins(values)) for values in (counts, counts / size))
        first, second = counts[data.decided].T
        won_a = data.winner[data.decided] == A
        winner, loser = np.where(won_a, first, second), np.where(won_a, second, first)
        groups = None if data.group is None else data.group[data.decided]
        means = [len(winner), float(winner.mean()), float(loser.mean()), *mean((winner - loser).astype(float), groups)]
        lines.append([label, *means, *cells(more[label], 1), *cells(dense[label], 1)])
    columns = ["feature", "decided", "mean of winners", "mean of losers", "difference", "difference low"]
    columns += ["difference high", "pairs that differ", *header("more wins")]
    columns += ["pairs whose density differs", *header("denser wins")]
    known = sorted((label for label in more if more[label].total), key=lambda label: -more[label].value)
    sheet = Sheet("style", "Counts in winners and losers, and how often more wins", [columns, *lines])
    if not known:
        return {"labels": [], "sheet": sheet}
    strongest = max(known, key=lambda label: max(more[label].low, 1 - more[label].high))
    found = more[strongest]
    kind, found = ("more", found) if found.value >= 0.5 else ("fewer", rate(found.total - found.count, found.total))
    shown = [series("more of it", [more[x] for x in known]), series("more per character", [dense[x] for x in known])]
    labels = [f"{label} ({more[label].total:,} pairs)" for label in known]
    return {"labels": labels, "strongest": strongest, "kind": kind, "won": found, "shares": shown, "sheet": sheet}


def oddities(data: Comparisons) -> Values:
    """Empty answers, refusals and identical answers."""
    lines: list[list[Any]] = []
    found = {"empty": data.features.empty, "opens like a refusal or an apology": data.features.refusal}
    rates = {name: rate(int(flag.any(axis=1).sum()), data.rows) for name, flag in found.items()}
    for name, flag in found.items():
        # The answer with the flag wins where the flag's side and the winner agree.
        wins = rate_of(flag[:, 0] == (data.winner == A), (flag[:, 0] ^ flag[:, 1]) & data.decided)
        lines.append([name, *cells(rates[name]), int(flag.all(axis=1).sum()), *cells(wins)])
    columns = ["answers", "rows with one or two", "rows", *header(), "rows with two"]
    columns += ["wins against an answer without", "decided", *header("win")]
    same = rate(int(data.features.identical.sum()), data.rows)
    sheet = Sheet("odd_answers", "Empty answers and refusals", [columns, *lines])
    return {"empty": rates["empty"], "refusing": list(rates.values())[1], "identical": same, "sheet": sheet}


def models(data: Comparisons) -> Values:
    """How often each model answered."""
    if not data.models:
        return {}
    as_a, as_b = (np.bincount(each[each >= 0], minlength=len(data.models)) for each in (data.model_a, data.model_b))
    total = as_a + as_b
    lines = [
        [name, int(a), int(b), *cells(rate(int(a + b), int(total.sum())))]
        for name, a, b in zip(data.models, as_a, as_b, strict=True)
    ]
    columns = ["model", "as A", "as B", "answers", "of", *header()]
    return {
        "counts": [int(n) for n in total], "answers": int(total.sum()), "unknown": 2 * data.rows - int(total.sum()),
        "same": int(((data.model_a == data.model_b) & (data.model_a >= 0)).sum()),
        "sheet": Sheet("models", "Answers of each model", [columns, *lines]),
    }  # fmt: skip


def win_rates(data: Comparisons) -> Values:
    """How often each model won its decided games."""
    wins, ties = data.games()
    won, lost, tied = wins.sum(axis=1), wins.sum(axis=0), ties.sum(axis=1)
    rates = [rate(int(w), int(w + x)) for w, x in zip(won, lost, strict=True)]
    tie_rates = [rate(int(t), int(w + x + t)) for w, x, t in zip(won, lost, tied, strict=True)]
    played = [i for i in range(len(rates)) if rates[i].total]
    if not played:
        return {}
    ordered = sorted(played, key=lambda i: (-rates[i].value, -rates[i].total))
    lines = [["model", "wins", "losses", "decided", *header(), "ties", "games", *header("tie"), "score, tie as half"]]
    for i in ordered:
        half = Share((won[i] + tied[i] / 2) / tie_rates[i].total)
        numbers = [rates[i].count, int(lost[i]), *cells(rates[i], 1), *cells(tie_rates[i]), half]
        lines.append([data.models[i], *numbers])
    shown = [i for i in ordered if i in played[:MAX_MODELS]]
    panels = [("wins among decided games", [series("wins", [rates[i] for i in shown])])]
    if tied.any():
        panels.append(("ties among all games", [series("ties", [tie_rates[i] for i in shown])]))
    best = max(played, key=lambda i: rates[i].low)
    return {
        "sure": sum(rates[i].low > 0.5 for i in played), "played": len(played), "best": data.models[best],
        "rate": rates[best], "labels": [data.models[i] for i in shown], "panels": panels,
        "sheet": Sheet("win_rates", "Win rates", lines),
    }  # fmt: skip


def pairs(data: Comparisons) -> Values:
    """Who beat whom."""
    wins, ties = data.games()
    games = wins + wins.T
    if not games.any():
        return {}
    lines = []
    for i, j in np.argwhere(np.triu(games + ties)):
        found = rate(int(wins[i, j]), int(games[i, j]))
        lines.append([data.models[i], data.models[j], *cells(found), int(ties[i, j])])
    lines.sort(key=lambda line: -line[3])
    top = np.arange(min(len(data.models), HEAT))
    part = games[np.ix_(top, top)]
    strength = wins[np.ix_(top, top)].sum(axis=1) / np.maximum(part.sum(axis=1), 1)
    top = top[np.argsort(-strength, kind="stable")]
    part = games[np.ix_(top, top)]
    columns = ["model", "opponent", "wins", "decided", *header(), "ties"]
    return {
        "met": len(lines), "possible": len(data.models) * (len(data.models) - 1) // 2, "most": lines[0][3],
        "names": [data.models[i] for i in top], "counts": part, "rates": wins[np.ix_(top, top)] / np.maximum(part, 1),
        "minimum": MIN_GAMES, "sheet": Sheet("pairs", "Games of each pair", [columns, *lines]),
    }  # fmt: skip
