"""Fixed probabilities for rows with two identical answers or an empty one, where `rules=true` asks for them.

The 4th place of Kaggle's LMSYS competition overrode such rows with fixed probabilities (its README: identical answers
[.06, .06, .88], an empty one [.04, .88, .08]). Nobody can prefer one of two identical answers, so A and B get the same;
and few people prefer no answer to some answer.
"""

import numpy as np

from arena.data.source.rows import Rows

IDENTICAL = {"model_a": 0.06, "model_b": 0.06, "tie": 0.88}
A_EMPTY = {"model_a": 0.04, "model_b": 0.88, "tie": 0.08}
B_EMPTY = {"model_a": 0.88, "model_b": 0.04, "tie": 0.08}


def apply(probabilities: np.ndarray, labels: list[str], rows: Rows) -> tuple[int, int]:
    """Override the probabilities `[N, K]` of such rows in place; returns the rows with identical answers, and with one
    empty.

    Blanks around a turn do not count, and a null turn is an empty one. Two empty answers are identical. With fewer than
    three classes the numbers above are renormalised over those there are: .5 and .5, .043 and .957.
    """
    wanted = (np.array([values[label] for label in labels]) for values in (IDENTICAL, A_EMPTY, B_EMPTY))
    identical, a_empty, b_empty = (values / values.sum() for values in wanted)
    same, empty, position = 0, 0, 0
    for batch in rows.texts():
        answers = (batch.column(name).to_pylist() for name in ("response_a", "response_b"))
        for a, b in zip(*map(_stripped, answers), strict=True):
            if a == b:
                probabilities[position] = identical
                same += 1
            elif not a or not b:
                probabilities[position] = b_empty if a else a_empty
                empty += 1
            position += 1
    return same, empty


def _stripped(answers: list[list[str | None] | None]) -> list[list[str]]:
    """Return the turns of each answer without blanks around them and without empty turns at the end."""
    found = []
    for turns in answers:
        stripped = [(turn or "").strip() for turn in turns or []]
        while stripped and not stripped[-1]:
            stripped.pop()
        found.append(stripped)
    return found
