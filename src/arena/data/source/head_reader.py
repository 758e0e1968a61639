"""Reads texts with several labels into the `Rows` of one data set."""

from arena.core.errors import UsageError
from arena.data.source.head_format import HeadFormat
from arena.data.source.reader import FileReader


class HeadReader(FileReader):
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
        columns = [text] if isinstance(text, str) else list(text)
        if not columns:
            raise UsageError("data.text: a value is needed; give the column with the text, data.text=COLUMN")
        for column in columns:
            if column in labels:
                raise UsageError(f"data.text={column}: it is one of data.heads too; a model would read its own answer")
        self.form = HeadFormat(tuple(columns), labels, id, group)
        super().__init__(self.form)
