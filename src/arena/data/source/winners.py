"""Labels of comparisons: winners, votes of several annotators and probabilities, as files write them."""

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from arena.data.source.checks import format_cell, from_json, is_missing, number, truth_value
from arena.data.source.codes import RowError
from arena.data.source.examples import WINNERS

TIES = ("tie", "tie (bothbad)", "both_bad")
"""How the arena's own files spell a tie."""
ROUNDING = 1e-6
"""Tolerance on the sum of probabilities, which should be 1."""
ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
ANNOTATORS = tuple(f"annotator{i}" for i in range(1, 101))
"""One column for each of several annotators, numbered without a gap: 0 for a tie, 1 for response A, 2 for response B,
empty for no vote. Where a file has no `probability`, the shares of their votes are it; where it has no `winner`, the
class with most votes is, and a tie where several have most."""


def read_label(raw: dict[str, Any], one_hot: bool) -> tuple[str | None, list[float] | None]:
    """Winner and probabilities of `WINNERS`, each None where unknown. Where only probabilities are known, the most
    probable class is the winner.

    Args:
        raw: cells by column.
        one_hot: the label is in the three columns of `ONE_HOT`, not in `winner`, `probability` and `ANNOTATORS`.
    """
    if one_hot:
        return check_shares([raw.get(name) for name in ONE_HOT])
    probability = check_probability("probability", raw.get("probability"))
    winner = check_winner(raw.get("winner"))
    if probability is None:
        voted, probability = check_votes({name: raw[name] for name in takewhile(raw.__contains__, ANNOTATORS)})
        winner = winner or voted
    if winner is None and probability is not None:
        winner = WINNERS[probability.index(max(probability))]
    return winner, probability


def check_winner(cell: Any) -> str | None:
    """The winner from one column; empty or null where nobody has voted."""
    if is_missing(cell):
        return None
    if cell in TIES:
        return "tie"
    if cell not in WINNERS:
        raise RowError("E_LABEL", "winner", f"{format_cell(cell)} is none of {', '.join(WINNERS)}")
    return cell


def check_shares(cells: Sequence[Any]) -> tuple[str, list[float] | None]:
    """The winner from Kaggle's three columns, and the probabilities where they are not 0 and 1.

    The winner is then the most probable class, the first of equals.
    """
    truth = [truth_value(cell) for cell in cells]
    shares = [number(cell if flag is None else flag) for cell, flag in zip(cells, truth, strict=True)]
    reason = f"expected one 1 and two 0, or probabilities that sum to 1, found {', '.join(map(format_cell, cells))}"
    known = [share for share in shares if share is not None and share <= 1]
    if len(known) < len(cells):
        raise RowError("E_LABEL", "winner_*", reason)
    if abs(math.fsum(known) - 1) > ROUNDING:
        raise RowError("E_LABEL_SUM", "winner_*", reason)
    return WINNERS[known.index(max(known))], None if set(known) == {0, 1} else known


def check_votes(votes: dict[str, Any]) -> tuple[str | None, list[float] | None]:
    """The winner of several votes, a tie where several classes have most; and the shares of `WINNERS`.

    Both are None without a vote, the shares also with one alone.

    Args:
        votes: 0 (tie), 1 (response A), 2 (response B) or nothing, by column.
    """
    counts = dict.fromkeys(WINNERS, 0)
    for column, cell in votes.items():
        if is_missing(cell):
            continue
        vote = number(cell)
        if vote not in (0, 1, 2):
            raise RowError("E_LABEL", column, f"{format_cell(cell)} is none of 0 (tie), 1 (response A), 2 (response B)")
        counts[WINNERS[int(vote) - 1]] += 1
    total = sum(counts.values())
    if not total:
        return None, None
    first = [name for name, count in counts.items() if count == max(counts.values())]
    shares = [count / total for count in counts.values()] if total > 1 else None
    return first[0] if len(first) == 1 else "tie", shares


def check_probability(column: str, cell: Any) -> list[float] | None:
    """The probabilities of `WINNERS`: a list, a JSON list, or nothing."""
    if is_missing(cell):
        return None
    if isinstance(cell, str):
        cell = from_json(column, cell, "not a JSON list of numbers")
    shares = [number(share) for share in cell] if isinstance(cell, list) else []
    known = [share for share in shares if share is not None and share <= 1]
    if len(shares) != len(WINNERS) or len(known) < len(shares):
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is not a list of {len(WINNERS)} numbers from 0 to 1")
    if abs(math.fsum(known) - 1) > ROUNDING:
        raise RowError("E_LABEL_SUM", column, f"{format_cell(cell)} do not sum to 1")
    return known
