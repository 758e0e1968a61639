"""Sections about the models that answered: how often each was used and how often it won."""

from functools import partial

import numpy as np

from arena.reporting import figures, matrices
from arena.reporting.outcomes import NO_DECISION, series
from arena.reporting.sections import (
    RATE_HEADER,
    TIE,
    A,
    B,
    Comparisons,
    Picture,
    Section,
    Share,
    Sheet,
    percent,
    plural,
    rate_cells,
)
from arena.reporting.statistics import rate

SHOWN = 30
HEAT = 12
LEAST = 5
"""Decided games of two models from which on the heat map shows their rate."""
NO_MODELS = "No row names its models, so there is nothing to show here."


def tournament(data: Comparisons) -> tuple[np.ndarray, np.ndarray]:
    """Wins of row over column, and ties of row and column (symmetric), both `[M, M]`.

    Only labelled rows whose two models are known and different count.
    """
    size = len(data.models)
    wins, ties = np.zeros((size, size), np.int64), np.zeros((size, size), np.int64)
    known = (data.model_a >= 0) & (data.model_b >= 0) & (data.model_a != data.model_b)
    for outcome, first, second in ((A, data.model_a, data.model_b), (B, data.model_b, data.model_a)):
        rows = known & (data.winner == outcome)
        np.add.at(wins, (first[rows], second[rows]), 1)
    rows = known & (data.winner == TIE)
    np.add.at(ties, (data.model_a[rows], data.model_b[rows]), 1)
    return wins, ties + ties.T


def usage(data: Comparisons) -> Section:
    """How often each model answered."""
    title = "Models used"
    if not data.models:
        return Section("models", title, NO_MODELS)
    size = len(data.models)
    as_a = np.bincount(data.model_a[data.model_a >= 0], minlength=size)
    as_b = np.bincount(data.model_b[data.model_b >= 0], minlength=size)
    total = as_a + as_b
    unknown = int((data.model_a < 0).sum() + (data.model_b < 0).sum())
    finding = (
        f"{plural(size, 'model')} gave {plural(int(total.sum()), 'answer')}; {data.models[0]} gave the most, "
        f"{int(total[0]):,} ({percent(total[0] / total.sum())})."
    )
    notes = [f"{plural(unknown, 'answer')} of unknown models left out."] if unknown else []
    same = int(((data.model_a == data.model_b) & (data.model_a >= 0)).sum())
    notes += [f"In {plural(same, 'row')} a model meets itself; both answers count."] if same else []
    notes += [f"The picture shows the {SHOWN} most used."] if size > SHOWN else []
    order = range(min(size, SHOWN))
    draw = partial(
        figures.bars, labels=[data.models[i] for i in order], counts=[int(total[i]) for i in order], unit="answers"
    )
    share = [rate(int(total[i]), int(total.sum())) for i in range(size)]
    uses = zip(data.models, as_a, as_b, share, strict=True)
    lines = [[name, int(a), int(b), *found[:2], *rate_cells(found)] for name, a, b, found in uses]
    sheet = Sheet("models", "Answers of each model", [["model", "as A", "as B", "answers", "of", *RATE_HEADER], *lines])
    return Section("models", title, finding, notes, [Picture("models", "Answers of each model", draw)], [sheet])


def win_rates(data: Comparisons) -> Section:
    """How often each model won its decided games."""
    title = "Win rates of the models"
    if not data.models:
        return Section("win_rates", title, NO_MODELS)
    wins, ties = tournament(data)
    won, lost, tied = wins.sum(axis=1), wins.sum(axis=0), ties.sum(axis=1)
    if not won.sum():
        return Section("win_rates", title, NO_DECISION)
    rates = [rate(int(w), int(w + x)) for w, x in zip(won, lost, strict=True)]
    tie_rates = [rate(int(t), int(w + x + t)) for w, x, t in zip(won, lost, tied, strict=True)]
    halves = [(w + t / 2) / (w + x + t) if w + x + t else float("nan") for w, x, t in zip(won, lost, tied, strict=True)]
    played = [i for i in range(len(rates)) if rates[i].total]
    shown = sorted(played[:SHOWN], key=lambda i: (-rates[i].value, -rates[i].total))
    sure = [i for i in played if rates[i].low > 0.5]
    finding = f"{len(sure)} of {len(played)} models won more than half of their decided games beyond chance"
    best = max(played, key=lambda i: rates[i].low)
    finding += f"; {data.models[best]} is surest, with {percent(rates[best].value)} of {rates[best].total:,} "
    finding += f"({percent(rates[best].low)} to {percent(rates[best].high)})."
    notes = [
        "The rate is wins among decided games against other models. Ties are left out of it and shown beside it; the "
        "table also has the score with a tie as half a win. Opponents differ, so this is no ranking of strength.",
        *([f"The picture shows the {SHOWN} most used models."] if len(played) > SHOWN else []),
    ]
    panels = [("wins among decided games", [series("wins", [rates[i] for i in shown])])]
    if tied.any():
        panels.append(("ties among all games", [series("ties", [tie_rates[i] for i in shown])]))
    draw = partial(figures.dots, labels=[data.models[i] for i in shown], panels=panels, reference=(0.5, None))
    header = ["model", "wins", "losses", "decided", *RATE_HEADER, "ties", "games", *(f"tie {x}" for x in RATE_HEADER)]
    lines = [
        [
            data.models[i], rates[i].count, int(lost[i]), rates[i].total, *rate_cells(rates[i]),
            *tie_rates[i][:2], *rate_cells(tie_rates[i]), Share(halves[i]),
        ]
        for i in sorted(played, key=lambda i: (-rates[i].value, -rates[i].total))
    ]  # fmt: skip
    sheet = Sheet("win_rates", "Win rates", [[*header, "score, tie as half"], *lines])
    return Section("win_rates", title, finding, notes, [Picture("win_rates", "Win rates of the models", draw)], [sheet])


def pairs(data: Comparisons) -> Section:
    """Who beat whom."""
    title = "Model against model"
    if not data.models:
        return Section("pairs", title, NO_MODELS)
    wins, ties = tournament(data)
    games = wins + wins.T
    if not games.any():
        return Section("pairs", title, NO_DECISION)
    lines = []
    for i, j in np.argwhere(np.triu(games + ties)):
        found = rate(int(wins[i, j]), int(games[i, j]))
        lines.append([data.models[i], data.models[j], *found[:2], *rate_cells(found), int(ties[i, j])])
    lines.sort(key=lambda line: -line[3])
    met = int((np.triu(games + ties) > 0).sum())
    possible = len(data.models) * (len(data.models) - 1) // 2
    header = ["model", "opponent", "wins", "decided", *RATE_HEADER, "ties"]
    sheet = Sheet("pairs", "Games of each pair", [header, *lines])
    finding = f"{met:,} of {possible:,} possible pairs of models met; "
    finding += f"the pair that met most often was decided {plural(lines[0][3], 'time')}."
    notes = [
        f"Rate of the row against the column among decided games, the number of these below it. Pairs with fewer than "
        f"{LEAST} decided games show the number only; the intervals are in the table."
    ]
    top = np.arange(min(len(data.models), HEAT))
    part = games[np.ix_(top, top)]
    if part.max() < LEAST:
        notes = [f"No two of the {len(top)} most used models have {LEAST} decided games: too few for a picture."]
        return Section("pairs", title, finding, notes, [], [sheet])
    strength = wins[np.ix_(top, top)].sum(axis=1) / np.maximum(part.sum(axis=1), 1)
    top = top[np.argsort(-strength, kind="stable")]
    part = games[np.ix_(top, top)]
    rates = wins[np.ix_(top, top)] / np.maximum(part, 1)
    draw = partial(matrices.heat, names=[data.models[i] for i in top], rates=rates, counts=part, least=LEAST)
    return Section("pairs", title, finding, notes, [Picture("pairs", "Win rates of pairs of models", draw)], [sheet])
