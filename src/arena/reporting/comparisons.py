"""Comparisons as arrays: outcomes, models, languages, lengths, and what the answers look like."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from arena.reporting.statistics import codes
from arena.reporting.text_features import TextFeatures

A, B, TIE, NONE = 0, 1, 2, -1
OUTCOMES = ("model_a", "model_b", "tie")


@dataclass(frozen=True)
class Comparisons:
    """The rows as arrays, all `[R]` unless another shape is given.

    Attributes:
        winner: `A`, `B`, `TIE`, or `NONE` where nobody has voted.
        model_a, model_b: positions in `models`, -1 for unknown.
        models: names, the most used first.
        language: position in `languages`, -1 for unknown.
        prompt_characters, turns: sizes of the prompt.
        characters: `[R, 2]`, of answers A and B.
        group: a number for each group of rows with equal prompts; None where groups are unknown.
        split: name of the split, None where rows are not split.
    """

    winner: np.ndarray
    model_a: np.ndarray
    model_b: np.ndarray
    models: list[str]
    language: np.ndarray
    languages: list[str]
    prompt_characters: np.ndarray
    turns: np.ndarray
    characters: np.ndarray
    group: np.ndarray | None
    split: np.ndarray | None
    features: TextFeatures

    @classmethod
    def from_table(cls, table: pa.Table, features: TextFeatures) -> "Comparisons":
        """The arrays of a table with the columns of `arena.reporting.exploration.write`."""
        number = {name: index for index, name in enumerate(OUTCOMES)}
        rows, names = table.num_rows, table.column_names
        both, models = codes([*table["model_a"].to_pylist(), *table["model_b"].to_pylist()])
        language, languages = codes(table["language"].to_pylist())
        return cls(
            np.array([number.get(name, NONE) for name in table["winner"].to_pylist()], np.int64),
            both[:rows], both[rows:], models, language, languages,
            prompt_characters=_integers(table, "prompt_characters"),
            turns=_integers(table, "turns"),
            characters=np.stack([_integers(table, f"response_{side}_characters") for side in "ab"], axis=1),
            group=codes([str(name) for name in table["group"].to_pylist()])[0] if "group" in names else None,
            split=np.array([name or "" for name in table["split"].to_pylist()]) if "split" in names else None,
            features=features,
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.winner)

    @property
    def labelled(self) -> np.ndarray:
        """Rows with a winner or a tie, `[R]` bool."""
        return self.winner != NONE

    @property
    def decided(self) -> np.ndarray:
        """Rows that A or B won, `[R]` bool."""
        return (self.winner == A) | (self.winner == B)

    def more_wins(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows that the answer with more of something `[R, 2]` won, and decided rows that differ; both `[R]` bool."""
        return (values[:, 0] > values[:, 1]) == (self.winner == A), self.decided & (values[:, 0] != values[:, 1])

    def games(self) -> tuple[np.ndarray, np.ndarray]:
        """Wins of row over column, and ties of row and column (symmetric), both `[M, M]`.

        Only labelled rows whose two models are known and different count.
        """
        wins, ties = np.zeros((2, len(self.models), len(self.models)), np.int64)
        known = (self.model_a >= 0) & (self.model_b >= 0) & (self.model_a != self.model_b)
        for outcome, first, second in ((A, self.model_a, self.model_b), (B, self.model_b, self.model_a)):
            rows = known & (self.winner == outcome)
            np.add.at(wins, (first[rows], second[rows]), 1)
        rows = known & (self.winner == TIE)
        np.add.at(ties, (self.model_a[rows], self.model_b[rows]), 1)
        return wins, ties + ties.T


def _integers(table: pa.Table, name: str) -> np.ndarray:
    """A column of whole numbers as `[R]` int64; null counts as 0."""
    return np.array([value or 0 for value in table[name].to_pylist()], np.int64)
