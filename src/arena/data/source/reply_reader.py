"""Reads prompts and replies into the `Rows` of one data set."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from arena.core.errors import UsageError
from arena.data.source.examples import Example
from arena.data.source.reader import FileReader
from arena.data.source.reply_format import ReplyFormat
from arena.data.source.rows import Rows


class ReplyReader(FileReader):
    """Reads files of prompts and replies: csv, tsv, jsonl (each may end in .gz) or parquet.

    The names of the columns tell what a file holds: `prompt` and `reply`, or chat lists in `messages` or
    `conversations`; other names are given.

    Args:
        prompt: column with the prompt: a text, or a list of turns of which the last is the user's.
        reply: column with the reply.
        messages: column with whole conversations, instead of both.
        id: column of the id; the number of the record where a file has none.
        group: column of what belongs together and is never divided (a conversation, a user); none by default.
        system: the system message of rows that bring none.
        repo, file, split: a data set on the hub, used when no path is given; see `FileReader`.
    """

    unit = "prompts and replies"

    def __init__(
        self,
        prompt: str | None = None,
        reply: str | None = None,
        messages: str | None = None,
        id: str = "id",
        group: str | None = None,
        system: str | None = None,
        repo: str | None = None,
        file: str | None = None,
        split: str | None = None,
    ) -> None:
        if messages is not None and (prompt is not None or reply is not None):
            raise UsageError("data.messages: it holds prompt and reply; leave data.prompt and data.reply out")
        names = (prompt or "prompt", reply or "reply")
        if names[0] == names[1]:
            raise UsageError(f"data.reply={names[1]}: it is data.prompt too; a model would read its own answer")
        chosen = any(name is not None for name in (prompt, reply, messages))
        self.form = ReplyFormat(*names, messages, id, group, system or "", chosen=chosen)
        super().__init__(self.form, repo, file, split)


WHOLE = Example(("prompt", "reply"))


class WholePrompts(Rows):
    """The same rows for `arena.data.split.groups`: all that was said before the reply is one prompt, the reply the
    answer.

    So prompts are equal where the whole conversation is, not where it begins alike ("Hi!").
    """

    def __init__(self, rows: Rows) -> None:
        fingerprint = f"{rows.fingerprint} whole prompts"
        super().__init__(rows.facts, [rows], rows.account, fingerprint, rows.rejects, WHOLE)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """See `Rows.texts`."""
        for batch in super().texts(positions):
            asked, answers = (batch.column(name).to_pylist() for name in ("prompt", "reply"))
            prompts = [[said_before(*row)] for row in zip(asked, answers, strict=True)]
            replies = [[row[-1]] for row in answers]
            columns = [pa.array(values, WHOLE.text_schema.types[0]) for values in (prompts, replies)]
            yield pa.RecordBatch.from_arrays(columns, schema=WHOLE.text_schema)


def said_before(asked: list[str | None], answers: list[str | None]) -> str:
    """All turns before the reply, a line for each; the system message is not among them."""
    turns = [text for pair in zip(asked, [*answers[:-1], None], strict=True) for text in pair]
    return "\n".join(text for text in turns if text)
