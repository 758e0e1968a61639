"""Files of rated answers: a prompt, one answer to it, and the score that it was given."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from arena.data.source import checks
from arena.data.source.codes import RowError
from arena.data.source.examples import Example
from arena.data.source.formats import Format
from arena.data.source.reader import FileReader

RATED = Example(("prompt", "response"), (pa.field("score", pa.float64()),))
"""A prompt and one answer. `score` is null where nobody has given one."""


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
        super().__init__()
        self.prompt, self.response, self.score, self.id = prompt, response, score, id
        self.low, self.high = low, high

    @property
    def settings(self) -> str:
        """See `FileReader.settings`."""
        return repr((self.prompt, self.response, self.score, self.id, self.low, self.high, self.labelled))

    def format_of(self, path: Path, columns: list[str]) -> Format:
        """See `FileReader.format_of`."""
        return Format(
            name=f"rated answers ({self.prompt}, {self.response}, {self.score})",
            example=RATED,
            read=self._read,
            needed=(self.prompt, self.response, *((self.score,) if self.labelled else ())),
            optional=(self.score,),
            id=self.id,
            hint="name the columns with data.prompt=COLUMN data.response=COLUMN data.score=COLUMN",
        )

    def _read(self, raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        """Texts and score of a record; a text is plain, or a list of turns (also as JSON)."""
        texts = {"prompt": self._turns(self.prompt, raw), "response": self._turns(self.response, raw)}
        return texts | {"score": self._score(raw.get(self.score))}

    def _turns(self, column: str, raw: dict[str, Any]) -> list[str | None]:
        cell = raw.get(column)
        listed = isinstance(cell, str) and cell.startswith('["') and cell.endswith('"]')
        return checks.check_turns(column, cell, not listed)

    def _score(self, cell: Any) -> float | None:
        if checks.is_missing(cell):
            return None
        try:
            score = float(cell)
        except (TypeError, ValueError):
            raise RowError("E_TYPE", self.score, f"{checks.format_cell(cell)} is no number") from None
        if not self.low <= score <= self.high:
            raise RowError("E_RANGE", self.score, f"{score:g} is not on the scale from {self.low:g} to {self.high:g}")
        return score
