"""Reads texts with several labels into the `Rows` of one data set; see `arena.data.source.pairs` for comparisons."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

from arena.core.errors import UsageError
from arena.data.source.head_format import HeadFormat
from arena.data.source.ingest import Rules
from arena.data.source.pairs import PairReader
from arena.data.source.rows import Rows


class HeadReader(PairReader):
    """Reads files of texts with one label column for each head: csv, tsv, jsonl (each may end in .gz) or parquet.

    Args:
        labels: classes of each head (`arena.core.heads`); the label columns have the names of the heads.
        text: column with the text; or several, of which the first is what is judged (equal ones are never divided
            between training and test) and the others give it context.
        id: column of the id; the number of the record where a file has none.
        group: column of what belongs together and is never divided (a user, a document); none by default.
    """

    def __init__(
        self, labels: dict[str, list[str]], text: str | list[str], id: str = "id", group: str | None = None
    ) -> None:
        super().__init__()
        columns = [text] if isinstance(text, str) else list(text)
        if not columns:
            raise UsageError("data.text: a value is needed; give the column with the text, data.text=COLUMN")
        for column in columns:
            if column in labels:
                raise UsageError(f"data.text={column}: it is one of data.heads too; a model would read its own answer")
        self.form = self.layout = HeadFormat(tuple(columns), labels, id, group)

    def unlabelled(self, path: str | Sequence[str] | None, rules: Rules, cache: Path | None) -> Rows:
        """The rows of files to predict, with labels or without."""
        other = copy(self)
        other.layout = replace(self.form, labelled=False)
        return other(path, rules, cache, None)
