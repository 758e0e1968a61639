"""Values of the sections of the exploration page: rates, tables and single numbers.

Each function returns the values of its section by the names that `templates/exploration.html` has for them: `columns`
of its table (rates and other numbers by title), `sheet`, the table itself, and single numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arena.reporting.comparisons import TIE, A, Comparisons
from arena.reporting.figures import Series
from arena.reporting.page import Share, Sheet
from arena.reporting.statistics import Rate, equal_bins, rate, rate_of, signed_bins
from arena.reporting.text_features import FEATURES
from arena.stats.intervals import mean

OUTCOME_LABELS = ("A wins", "B wins", "tie")
MAX_TURNS, MAX_MODELS, HEAT = 5, 30, 12
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


def all_series(rates: dict[str, Sequence[Rate]]) -> list[Series]:
    """Several series of a picture by their names."""
    return [series(name, found) for name, found in rates.items()]


def tabled(name: str, caption: str, columns: Mapping[str, Sequence[Any]], **more: Any) -> Values:
    """The values of a section with a table."""
    return {"columns": columns, "sheet": Sheet.of(name, caption, columns), **more}


def outcomes(data: Comparisons, bins: Sequence[np.ndarray]) -> dict[str, list[Rate]]:
    """The shares of the outcomes in each bin of rows; outcomes that never occur are left out."""
    return {
        label: [rate_of(data.winner == outcome, rows & data.labelled) for rows in bins]
        for outcome, label in enumerate(OUTCOME_LABELS)
        if (data.winner == outcome).any()
    }


def longer_wins(data: Comparisons, among: np.ndarray | bool = True) -> Rate:
    """Share of the decided pairs of different length that the longer answer won."""
    wins, asked = data.more_wins(data.characters)
    return rate_of(wins, asked & among)


def winners(data: Comparisons) -> Values:
    """Counts and shares of the outcomes."""
    rates = [rate_of(data.winner == outcome, data.labelled) for outcome in range(len(OUTCOME_LABELS))]
    return tabled("winners", "Outcomes", {"outcome": OUTCOME_LABELS, "rows": rates})


def position(data: Comparisons) -> Values:
    """Share that A won, of all decided pairs and kinds of them."""
    longer = data.characters[:, 0] - data.characters[:, 1]
    kinds = {
        "all decided pairs": data.decided, "A is the longer answer": longer > 0, "B is the longer answer": longer < 0,
        "one turn": data.turns == 1, "several turns": data.turns > 1,
    }  # fmt: skip
    rates = {name: rate_of(data.winner == A, data.decided & among) for name, among in kinds.items()}
    rates = {name: found for name, found in rates.items() if found.total}
    return tabled("position", "Pairs won by A", {"pairs": list(rates), "A wins": list(rates.values())})


def length(data: Comparisons) -> Values:
    """Outcomes by the difference of the answers' lengths."""
    index, labels = signed_bins(data.characters[:, 0] - data.characters[:, 1])
    return binned(data, "length_difference", "A minus B, characters", index, labels)


def binned(data: Comparisons, name: str, axis: str, index: np.ndarray, labels: list[str]) -> Values:
    """Outcomes and the pull of length in each bin that has a labelled row; empty where none has.

    Args:
        data: the rows.
        name: of the table's file.
        axis: name of the bins.
        index: bin of each row, `[R]`.
        labels: of the bins.
    """
    bins = {label: index == number for number, label in enumerate(labels)}
    bins = {label: rows for label, rows in bins.items() if (rows & data.labelled).any()}
    if not bins:
        return {}
    shares, rows = outcomes(data, list(bins.values())), list(bins.values())
    longer = [longer_wins(data, some) for some in rows]
    ties = [rate_of(data.winner == TIE, data.labelled & some) for some in rows]
    columns = {axis: list(bins), **shares, "longer wins": longer}
    return tabled(name, f"Outcomes by {axis}", columns, labels=list(bins), shares=shares, ties=ties, longer=longer)


def prompt_length(data: Comparisons) -> Values:
    """Outcomes for short and long prompts."""
    return binned(data, "prompt_length", "characters of the prompt", *equal_bins(data.prompt_characters, 6))


def turns(data: Comparisons) -> Values:
    """Outcomes by the number of turns."""
    found, index = np.unique(np.minimum(data.turns, MAX_TURNS), return_inverse=True)
    labels = [f"{number} and more" if number == MAX_TURNS else str(number) for number in found]
    more = binned(data, "turns", "user turns", index, labels) if len(labels) > 1 else {}
    return {"labels": labels, "several": rate(int((data.turns > 1).sum()), data.rows), **more}


def languages(data: Comparisons) -> Values:
    """Outcomes in each language."""
    known = int((data.language >= 0).sum())
    first = rate(int((data.language == 0).sum()), known)
    return {"known": known, "first": first, **binned(data, "languages", "language", data.language, data.languages)}


def style(data: Comparisons) -> Values:
    """Markdown and punctuation in winners against losers, and how often more of it wins."""
    if not data.decided.any():
        return {"labels": []}
    size, won_a = np.maximum(data.characters, 1), data.winner[data.decided] == A
    groups = None if data.group is None else data.group[data.decided]
    rows = []
    for name in FEATURES:
        counts = data.features.counts[name]
        more, dense = (rate_of(*data.more_wins(values)) for values in (counts, counts / size))
        first, second = counts[data.decided].T
        winner, loser = np.where(won_a, first, second), np.where(won_a, second, first)
        means = float(winner.mean()), float(loser.mean()), *mean((winner - loser).astype(float), groups)
        rows.append((name.replace("_", " ").capitalize(), *means, more, dense))
    rows.sort(key=lambda row: -row[-2].value if row[-2].total else math.inf)
    titles = ("feature", "mean of winners", "mean of losers", "difference", "difference: low", "difference: high")
    columns: dict[str, Any] = dict(zip((*titles, "more wins", "denser wins"), zip(*rows, strict=True), strict=True))
    found = tabled("style", "Counts in winners and losers, and how often more wins", columns, labels=[])
    known = [(label, more, dense) for label, *_, more, dense in rows if more.total]
    if not known:
        return found
    strongest, won, _ = max(known, key=lambda row: max(row[1].low, 1 - row[1].high))
    kind, won = ("more", won) if won.value >= 0.5 else ("fewer", rate(won.total - won.count, won.total))
    _, more, dense = zip(*known, strict=True)
    labels = [f"{label} ({one.total:,} pairs)" for label, one, _ in known]
    return found | {"labels": labels, "strongest": strongest, "kind": kind, "won": won, "more": more, "dense": dense}


def oddities(data: Comparisons) -> Values:
    """Empty answers, refusals and identical answers."""
    flags = {"empty": data.features.empty, "opens like a refusal or an apology": data.features.refusal}
    rates = [rate(int(flag.any(axis=1).sum()), data.rows) for flag in flags.values()]
    # The answer with the flag wins where the flag's side and the winner agree.
    wins = [
        rate_of(flag[:, 0] == (data.winner == A), (flag[:, 0] ^ flag[:, 1]) & data.decided) for flag in flags.values()
    ]
    both = [int(flag.all(axis=1).sum()) for flag in flags.values()]
    columns = {"answers": list(flags), "rows": rates, "both answers": both, "wins against another": wins}
    same = rate(int(data.features.identical.sum()), data.rows)
    return tabled("odd_answers", "Empty answers and refusals", columns, identical=same)


def models(data: Comparisons) -> Values:
    """Number of answers of each model."""
    if not data.models:
        return {}
    as_a, as_b = (
        np.bincount(each[each >= 0], minlength=len(data.models)).tolist() for each in (data.model_a, data.model_b)
    )
    counts = [a + b for a, b in zip(as_a, as_b, strict=True)]
    answers = [rate(count, sum(counts)) for count in counts]
    same = int(((data.model_a == data.model_b) & (data.model_a >= 0)).sum())
    columns = {"model": data.models, "as A": as_a, "as B": as_b, "answers": answers}
    return tabled("models", "Answers of each model", columns, counts=counts, same=same)


def win_rates(data: Comparisons) -> Values:
    """Share of its decided games that each model won."""
    wins, ties = data.games()
    won, lost, tied = wins.sum(axis=1), wins.sum(axis=0), ties.sum(axis=1)
    played = [i for i in range(len(won)) if won[i] + lost[i]]
    if not played:
        return {}
    rates = {i: rate(int(won[i]), int(won[i] + lost[i])) for i in played}
    tie_rates = {i: rate(int(tied[i]), int(won[i] + lost[i] + tied[i])) for i in played}
    ordered = sorted(played, key=lambda i: (-rates[i].value, -rates[i].total))
    shown, best = [i for i in ordered if i in played[:MAX_MODELS]], max(played, key=lambda i: rates[i].low)
    columns = {
        "model": [data.models[i] for i in ordered], "wins": [rates[i] for i in ordered],
        "ties": [tie_rates[i] for i in ordered],
        "score, tie as half": [Share((won[i] + tied[i] / 2) / tie_rates[i].total) for i in ordered],
    }  # fmt: skip
    return tabled(
        "win_rates", "Win rates", columns, sure=sum(rates[i].low > 0.5 for i in played), best=data.models[best],
        rate=rates[best], labels=[data.models[i] for i in shown], wins=[rates[i] for i in shown],
        ties=[tie_rates[i] for i in shown], played=len(played),
    )  # fmt: skip


def pairs(data: Comparisons) -> Values:
    """Who beat whom."""
    wins, ties = data.games()
    games = wins + wins.T
    if not games.any():
        return {}
    met = sorted(map(tuple, np.argwhere(np.triu(games + ties)).tolist()), key=lambda pair: -games[pair])
    columns = {
        "model": [data.models[i] for i, _ in met], "opponent": [data.models[j] for _, j in met],
        "wins": [rate(wins[pair], games[pair]) for pair in met], "ties": [int(ties[pair]) for pair in met],
    }  # fmt: skip
    top = np.arange(min(len(data.models), HEAT))
    strength = wins[np.ix_(top, top)].sum(axis=1) / np.maximum(games[np.ix_(top, top)].sum(axis=1), 1)
    top = top[np.argsort(-strength, kind="stable")]
    part = games[np.ix_(top, top)]
    return tabled(
        "pairs", "Games of each pair", columns, met=len(met), most=int(games[met[0]]), counts=part, minimum=MIN_GAMES,
        names=[data.models[i] for i in top], rates=wins[np.ix_(top, top)] / np.maximum(part, 1),
    )  # fmt: skip


def token_lengths(tokens: np.ndarray | None) -> Values:
    """Distribution of the tokens of prompt, A and B, `[R, 3]`."""
    if tokens is None or not len(tokens):
        return {}
    every = np.concatenate([tokens, tokens.sum(axis=1, keepdims=True)], axis=1).T
    columns = {"tokens": FIELDS, "mean": every.mean(axis=1).tolist(), "smallest": every.min(axis=1).tolist()}
    for percentile, cells in zip(PERCENTILES, np.percentile(every, PERCENTILES, axis=1), strict=True):
        columns[f"percentile {percentile}"] = cells.astype(int).tolist()
    columns |= {"largest": every.max(axis=1).tolist(), "sum": every.sum(axis=1).tolist()}
    return tabled("tokens", "Tokens of a row", columns, lengths=dict(zip(FIELDS, every, strict=True)))


def truncation(rows: int, limits: list[dict[str, Any]]) -> Values:
    """The text that is lost at each length limit, as shares of `rows`."""
    limits = sorted(limits, key=lambda limit: limit["max_length"])
    if not limits:
        return {}
    rates: dict[str, list[Rate]] = {}
    for name, title in LIMIT_SHARES.items():
        if name in limits[0]:
            rates[title] = [rate(round(limit[name] * rows), rows) for limit in limits]
    lengths = [int(limit["max_length"]) for limit in limits]
    kept = [Share(limit.get("kept_tokens_share", math.nan)) for limit in limits]
    columns = {"max_length": lengths, **rates, "kept tokens": kept}
    cut = rates[LIMIT_SHARES["share_cut"]]
    return tabled("truncation", "What each limit cuts", columns, limits=lengths, cut=cut, shares=rates)


def splits(data: Comparisons) -> Values:
    """Sizes and class shares of the splits."""
    if data.split is None or not (data.split != "").any():
        return {}
    names = [name for name in SPLITS if (data.split == name).any()]
    bins = [data.split == name for name in names]
    shares, sizes = outcomes(data, bins), [int(rows.sum()) for rows in bins]
    groups = [None if data.group is None else len(np.unique(data.group[rows])) for rows in bins]
    columns = {"split": names, "rows": sizes, "groups": groups, **shares}
    more = {"shares": shares, "sizes": list(zip(names, sizes, groups, strict=True))}
    more["without"] = int((data.split == "").sum())
    more["groups_cut"] = None if data.group is None else _groups_cut(data.group, data.split)
    return tabled("splits", "Sizes and outcomes of the splits", columns, **more)


def _groups_cut(group: np.ndarray, split: np.ndarray) -> int:
    """Groups with rows in more than one split; rows without a split do not count."""
    known = split != ""
    pairs = np.unique(np.stack([group[known], np.unique(split[known], return_inverse=True)[1]], axis=1), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
