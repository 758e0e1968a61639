"""Files of prompts and replies, and their reader."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from arena.core.errors import UsageError
from arena.data.source.checks import check_optional_text, check_turn, format_cell, from_json
from arena.data.source.codes import RowError
from arena.data.source.conversations import ParsedConversation, as_turns, read_messages
from arena.data.source.examples import CONVERSATION, Example
from arena.data.source.formats import Format
from arena.data.source.reader import FileReader
from arena.data.source.rows import Rows


def _prompt(column: str, cell: Any) -> ParsedConversation:
    """A prompt: one text, a list of turns that ends with the user's, or a list of messages."""
    # A text may begin with a bracket too ("[sic]"); a JSON list of turns goes on with a quote, a brace or its end.
    looks_listed = isinstance(cell, str) and cell.startswith("[") and cell.rstrip().endswith("]")
    if looks_listed and cell[1:].lstrip().startswith(('"', "{", "]")):
        cell = from_json(column, cell, "not a JSON list of turns")
    if not isinstance(cell, str | list | None):
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is neither text nor a list of turns")
    if not isinstance(cell, list):
        return ParsedConversation(None, [check_optional_text(column, cell) or ""], [])
    if cell and all(isinstance(turn, dict) for turn in cell):
        return _ends_with_user(column, read_messages(column, cell))
    turns: list[tuple[str, str | None]] = [
        ("assistant" if place % 2 else "user", check_turn(column, turn)) for place, turn in enumerate(reversed(cell))
    ]
    return _ends_with_user(column, turns[::-1])


def _ends_with_user(column: str, messages: list[tuple[str, str | None]]) -> ParsedConversation:
    found = as_turns(column, messages or [("user", "")], may_open=True)
    found = found if found.user else found._replace(user=[""])  # a system message alone
    if len(found.assistant) == len(found.user):
        raise RowError("E_ROLES", column, "the last message of the prompt is the assistant's; it must be the user's")
    return found


class ReplyReader(FileReader):
    """Reads files of prompts and replies: csv, tsv, jsonl (each may end in .gz) or parquet.

    By default the columns are `prompt` and `reply`, or chat lists in `messages` or `conversations`, whichever a file
    has.

    Args:
        prompt: column with the prompt: a text, or a list of turns of which the last is the user's.
        reply: column with the reply.
        messages: column with whole conversations, instead of both.
        id: column of the id; the number of the record where a file has none.
        group: column of what belongs together and is never divided (a conversation, a user); none by default.
        system: the system message of rows that bring none.
        repo, file, split: see `FileReader`.
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
        super().__init__(repo, file, split)
        if messages is not None and (prompt is not None or reply is not None):
            raise UsageError("data.messages: it holds prompt and reply; leave data.prompt and data.reply out")
        self.prompt, self.reply, self.messages = prompt or "prompt", reply or "reply", messages
        if self.prompt == self.reply:
            raise UsageError(f"data.reply={self.reply}: it is data.prompt too; a model would read its own answer")
        self.chosen = any(name is not None for name in (prompt, reply, messages))
        self.id, self.group, self.system = id, group, system or ""

    @property
    def settings(self) -> str:
        """See `FileReader.settings`."""
        names = ("prompt", "reply", "messages", "id", "group", "system")
        columns = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"ReplyFormat({columns}, answered={self.labelled!r}, chosen={self.chosen!r})"

    def format_of(self, path: Path, columns: list[str]) -> Format:
        """See `FileReader.format_of`."""
        messages = self.messages
        if not self.chosen and not {self.prompt, self.reply} <= set(columns):
            messages = next((name for name in ("messages", "conversations") if name in columns), None)
        groups = () if self.group is None else (self.group,)
        if messages is not None:
            name, needed = f"conversations ({messages}: the assistant's last message is the reply)", (messages,)
        elif self.labelled:
            name, needed = f"prompts and replies ({self.prompt}, {self.reply})", (self.prompt, self.reply)
        else:
            name, needed = f"prompts ({self.prompt})", (self.prompt,)
        return Format(
            name=name,
            example=CONVERSATION,
            read=partial(self._read, messages),
            needed=(*needed, *groups),
            optional=() if messages else (self.reply,),
            id=self.id,
            groups=groups,
            hint="name the columns with data.prompt=COLUMN data.reply=COLUMN, or data.messages=COLUMN for chat lists",
        )

    def _read(self, messages: str | None, raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        """The texts of a row, from the column `messages` where there is one."""
        if messages is None:
            prompt = _prompt(self.prompt, raw.get(self.prompt))
            reply = check_optional_text(self.reply, raw.get(self.reply)) or ""
        else:
            prompt, reply = self._conversation(messages, raw.get(messages), notes)
        if self.labelled and not reply.strip():
            raise RowError("E_EMPTY_REPLY", messages or self.reply, "the reply is empty")
        if not any(text and not text.isspace() for text in (*prompt.user, *prompt.assistant)):
            notes.append("W_EMPTY_PROMPT")
        elif prompt.user[0] is None:
            notes.append("W_OPENED")
        system = [prompt.system or self.system]
        return {"prompt": prompt.user, "reply": [*prompt.assistant, reply], "system": system}

    def _conversation(self, column: str, cell: Any, notes: list[str]) -> tuple[ParsedConversation, str]:
        """The messages before the last one of the assistant, and that one."""
        messages = read_messages(column, cell)
        if any(text is None for _, text in messages):
            raise RowError("E_TYPE", column, "a message has no text")
        last = max((place for place, (role, _) in enumerate(messages) if role == "assistant"), default=-1)
        if not self.labelled and messages[-1][0] == "user":
            return _ends_with_user(column, messages), ""
        if last < 0:
            raise RowError("E_EMPTY_REPLY", column, "there is no message of the assistant")
        if last < len(messages) - 1:
            notes.append("W_AFTER_REPLY")
        return _ends_with_user(column, messages[:last]), messages[last][1] or ""


class WholePrompts(Rows):
    """The same rows with everything before the reply as one prompt, and the reply as the answer.

    So prompts are equal where the whole conversation is, not where it begins alike ("Hi!").
    """

    schema = Example(("prompt", "reply"))

    def __init__(self, rows: Rows) -> None:
        fingerprint = f"{rows.fingerprint} whole prompts"
        super().__init__(rows.metadata, [rows], rows.statistics, fingerprint, rows.rejects, self.schema)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """See `Rows.texts`."""
        for batch in super().texts(positions):
            users, assistants = (batch.column(name).to_pylist() for name in ("prompt", "reply"))
            prompts = [[conversation_text(*turns)] for turns in zip(users, assistants, strict=True)]
            replies = [turns[-1:] for turns in assistants]
            yield pa.RecordBatch.from_pydict({"prompt": prompts, "reply": replies}, schema=self.schema.text_schema)


def conversation_text(user: list[str | None], assistant: list[str | None]) -> str:
    """All turns before the reply, a line for each; the system message is not among them."""
    turns = [text for pair in zip(user, [*assistant[:-1], None], strict=True) for text in pair]
    return "\n".join(text for text in turns if text)
