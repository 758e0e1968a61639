"""Files of rated answers: a prompt, one answer to it, and the score that it was given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from arena.data.source import cells
from arena.data.source.cells import RowError
from arena.data.source.examples import Example
from arena.data.source.reader import FileReader

RATED = Example(("prompt", "response"), (pa.field("score", pa.float64()),))
"""A prompt and one answer. `score` is null where nobody has given one."""


@dataclass(frozen=True)
class RatedFormat:
    """What the columns of a file mean; see `arena.data.source.ingest.Form` and `Layout`.

    Attributes:
        prompt, response, score, id: names of the columns; a text is plain, or a list of turns (also as JSON).
        low, high: ends of the scale.
        labelled: whether the column of the score is needed (not to predict).
    """

    prompt: str = "prompt"
    response: str = "response"
    score: str = "score"
    id: str = "id"
    low: float = 1.0
    high: float = 10.0
    labelled: bool = True

    @property
    def example(self) -> Example:
        """The kind of row that a record becomes."""
        return RATED

    @property
    def name(self) -> str:
        """For people."""
        return f"rated answers ({self.prompt}, {self.response}, {self.score})"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return (self.prompt, self.response, *((self.score,) if self.labelled else ()))

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are read where a file has them."""
        return (*self.needed, self.score, self.id, "language", "source", "weight")

    @property
    def hint(self) -> str:
        """What to do about a missing column."""
        return "name the columns with data.prompt=COLUMN data.response=COLUMN data.score=COLUMN"

    def of(self, path: Path, columns: Sequence[str]) -> "RatedFormat":
        """The format of a file: this one."""
        return self

    def unlabelled(self) -> "RatedFormat":
        """The same, where the score need not be there."""
        return replace(self, labelled=False)

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of `RATED`. Raises a `RowError` for the first column that cannot be used."""
        row = RATED.blank()
        known = raw.get(self.id)
        row["id"] = str(number) if known is None else cells.check_id(self.id, known, repair)
        row["prompt"], row["response"] = (self._turns(name, raw.get(name), repair) for name in self.needed[:2])
        row["score"] = self._score(raw.get(self.score))
        for name in ("language", "source"):
            row[name] = cells.check_name(name, raw.get(name), repair)
        row["weight"] = cells.check_weight(raw.get("weight"))
        return row

    def _turns(self, column: str, cell: Any, repair: bool) -> list[str | None]:
        listed = isinstance(cell, str) and cell.startswith('["') and cell.endswith('"]')
        return cells.check_turns(column, cell, not listed, repair)

    def _score(self, cell: Any) -> float | None:
        if cells.is_missing(cell):
            return None
        try:
            score = float(cell)
        except (TypeError, ValueError):
            raise RowError("E_TYPE", self.score, f"{cells.shown(cell)} is no number") from None
        if not self.low <= score <= self.high:
            raise RowError("E_RANGE", self.score, f"{score:g} is not on the scale from {self.low:g} to {self.high:g}")
        return score


class RatedReader(FileReader):
    """Reads files of rated answers: csv, tsv, jsonl (each may end in .gz) or parquet.

    Args:
        prompt, response, score, id: names of the columns.
        low, high: ends of the scale.
    """

    unit = "rated answers"

    def __init__(
        self,
        prompt: str = "prompt",
        response: str = "response",
        score: str = "score",
        id: str = "id",
        low: float = 1.0,
        high: float = 10.0,
    ) -> None:
        self.form = RatedFormat(prompt, response, score, id, low, high)
        super().__init__(self.form)
