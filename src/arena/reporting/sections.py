"""The parts that a report is made of, and how their numbers are written."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from arena.core import tables
from arena.reporting.statistics import Rate, codes, rate
from arena.reporting.text_features import TextFeatures

A, B, TIE, NONE = 0, 1, 2, -1
OUTCOMES = ("model_a", "model_b", "tie")
OUTCOME_LABELS = ("A wins", "B wins", "tie")
RATE_HEADER = ["rate", "low", "high"]


class Share(float):
    """A number between 0 and 1 that is shown as a percentage and written to CSV as it is."""


class Digits(float):
    """A number that is shown with five digits, whatever its size, and written to CSV as it is."""


class Link(str):
    """Text that leads somewhere."""

    href: str

    def __new__(cls, text: str, href: str) -> "Link":
        """The text with its address, which is relative to the page."""
        made = super().__new__(cls, text)
        made.href = href
        return made


@dataclass(frozen=True)
class Sheet:
    """A table: its file name (without .csv), its caption, and its lines with the header first.

    `most`: lines on the page at most; `file`: where all of them are, if not in tables/<name>.csv.
    """

    name: str
    caption: str
    lines: list[list[Any]]
    most: int = 60
    file: str | None = None

    def write(self, folder: Path) -> None:
        """Write `folder/name.csv`: numbers unrounded up to six digits, NaN as an empty cell."""
        made = tables.text_of([plain_cell(cell) for cell in line] for line in self.lines)
        (folder / f"{self.name}.csv").write_text(made, encoding="utf-8", newline="")


@dataclass(frozen=True)
class Picture:
    """A picture: its file name (without .png), what it shows in words, and the function that draws it to a file."""

    name: str
    description: str
    draw: Callable[[IO[bytes]], None]


@dataclass
class Section:
    """One heading of the page.

    Attributes:
        key: its anchor, also a prefix for no other section.
        title: the heading.
        finding: the sentence above the picture that states the finding with its number.
        notes: what is counted, and how far to trust it.
        pictures: none where there is nothing to show.
        sheets: the numbers.
        commands: what each is for, and the command, to be copied.
    """

    key: str
    title: str
    finding: str
    notes: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparisons:
    """The rows as arrays, all `[R]` unless said otherwise.

    Attributes:
        winner: `A`, `B`, `TIE`, or `NONE` where nobody has voted.
        model_a, model_b: positions in `models`, -1 for unknown.
        models: names, the most used first.
        language, source: positions in `languages` and `sources`, -1 for unknown.
        prompt_characters, turns: sizes of the prompt.
        characters: `[R, 2]`, of answers A and B.
        group: a number for each group of rows with equal prompts; None where groups are unknown.
        split: name of the split, None where rows are not split.
        features: what the answers look like.
    """

    winner: np.ndarray
    model_a: np.ndarray
    model_b: np.ndarray
    models: list[str]
    language: np.ndarray
    languages: list[str]
    source: np.ndarray
    sources: list[str]
    prompt_characters: np.ndarray
    turns: np.ndarray
    characters: np.ndarray
    group: np.ndarray | None
    split: np.ndarray | None
    features: TextFeatures

    @classmethod
    def from_facts(cls, facts: pa.Table, features: TextFeatures) -> "Comparisons":
        """The arrays of a table of facts (columns as in `arena.reporting.exploration.write`)."""
        number = {name: index for index, name in enumerate(OUTCOMES)}
        winner = np.array([number.get(name, NONE) for name in facts["winner"].to_pylist()], np.int64)
        rows = facts.num_rows
        both, models = codes([*facts["model_a"].to_pylist(), *facts["model_b"].to_pylist()])
        language, languages = codes(facts["language"].to_pylist())
        source, sources = codes(facts["source"].to_pylist())
        names = facts.column_names
        return cls(
            winner, both[:rows], both[rows:], models, language, languages, source, sources,
            prompt_characters=whole(facts, "prompt_characters"),
            turns=whole(facts, "turns"),
            characters=np.stack([whole(facts, f"response_{side}_characters") for side in "ab"], axis=1),
            group=codes([str(name) for name in facts["group"].to_pylist()])[0] if "group" in names else None,
            split=np.array([name or "" for name in facts["split"].to_pylist()]) if "split" in names else None,
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

    def more_wins(self, values: np.ndarray, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Whether the answer with more of something won, and the rows for which that is a question; both `[R]` bool.

        Args:
            values: `[R, 2]`, of answers A and B.
            among: rows to look at; all by default. Ties and equal values never count.
        """
        asked = self.decided & (values[:, 0] != values[:, 1])
        if among is not None:
            asked &= among
        return (values[:, 0] > values[:, 1]) == (self.winner == A), asked


def whole(facts: pa.Table, name: str) -> np.ndarray:
    """A column of whole numbers as `[R]` int64; null counts as 0."""
    return np.array([value or 0 for value in facts[name].to_pylist()], np.int64)


def rate_cells(found: Rate) -> list[Any]:
    """Value and interval for the columns of `RATE_HEADER`."""
    return [Share(found.value), Share(found.low), Share(found.high)]


def percent(value: float) -> str:
    """`0.4766` as "47.7%", a dash for NaN."""
    return "\u2013" if math.isnan(value) else f"{100 * value:.1f}%"


def spoken(found: Rate, what: str) -> str:
    """A rate with its count and interval for a sentence: "47.7% of 128 decided pairs (95% interval 39.2% to 56.3%)"."""
    interval = f" (95% interval {percent(found.low)} to {percent(found.high)})" if found.total else ""
    return f"{percent(found.value)} of {found.total:,} {what}{interval}"


def against_half(found: Rate) -> str:
    """What the interval says about one half."""
    if found.low > 0.5:
        return "more than chance would give"
    return "less than chance would give" if found.high < 0.5 else "which chance alone could give"


def plural(number: int, word: str) -> str:
    """The number and the word: 1 row, 2,000 rows."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def plain_cell(cell: Any) -> str:
    """A cell as it stands in a CSV file."""
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.6g}"
    return "" if cell is None else str(cell)


def shown_cell(cell: Any) -> str:
    """A cell as people read it."""
    if isinstance(cell, Share):
        return percent(cell)
    if isinstance(cell, Digits):
        return "\u2013" if math.isnan(cell) else f"{cell:.5g}"
    if isinstance(cell, float):
        return "\u2013" if math.isnan(cell) else f"{cell:,.2f}"
    if isinstance(cell, int | np.integer):
        return f"{cell:,}"
    return "" if cell is None else str(cell)


def outcome_line(winners: np.ndarray) -> list[Any]:
    """Rows, and for each outcome its count, share and interval."""
    labelled = int((winners != NONE).sum())
    cells: list[Any] = [labelled]
    for outcome in (A, B, TIE):
        found = rate(int((winners == outcome).sum()), labelled)
        cells += [found.count, *rate_cells(found)]
    return cells


OUTCOME_HEADER = [
    "labelled",
    *(f"{label} {part}" for label in OUTCOME_LABELS for part in ("count", "share", "low", "high")),
]
