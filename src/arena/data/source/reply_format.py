"""What the columns of a file of prompts and replies mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from arena.data.source import cells
from arena.data.source.cells import RowError, from_json, shown
from arena.data.source.conversations import content_of
from arena.data.source.examples import CONVERSATION, Example

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
"""Who speaks, by the names that chat files use."""
KEYS = (("role", "content"), ("from", "value"))
"""The two ways to write a message."""
CODES = {
    "E_EMPTY_REPLY": "a reply without any text",
    "W_EMPTY_PROMPT": "a reply to nothing: the prompt has no text",
    "W_AFTER_REPLY": "messages behind the assistant's last one, which were left out",
    "W_OPENED": "a conversation that the assistant opens",
}
"""Reason codes of this kind of file, besides `arena.data.source.cells.CODES`."""


class ParsedConversation(NamedTuple):
    """A conversation up to the last message of the user.

    Attributes:
        system: the system message, "" for none.
        asked: messages of the user; None in front where the assistant opens.
        answers: messages of the assistant between them, one less.
    """

    system: str
    asked: list[str | None]
    answers: list[str | None]


@dataclass(frozen=True)
class ReplyFormat:
    """Columns of prompts and replies; the counterpart of `arena.data.source.formats.Format`.

    Attributes:
        prompt: column with the prompt: a text, or a list (also as JSON) of turns, the last one the user's.
        reply: column with the reply.
        messages: column with a whole conversation, a list (also as JSON) of `{role, content}` or `{from, value}`,
            instead of the two; its last message of the assistant is the reply.
        id: column of the id; the number of the record where a file has none.
        group: column that names rows which belong together, or None.
        system: the system message of rows that bring none.
        answered: whether a reply is needed (not to generate one).
        chosen: whether `prompt` and `reply`, or `messages`, were named by somebody; else the columns of each file tell.
    """

    prompt: str = "prompt"
    reply: str = "reply"
    messages: str | None = None
    id: str = "id"
    group: str | None = None
    system: str = ""
    answered: bool = True
    chosen: bool = False

    @property
    def example(self) -> Example:
        """The kind of row that a record becomes."""
        return CONVERSATION

    def unlabelled(self) -> "ReplyFormat":
        """The same format, where a reply need not be there."""
        return replace(self, answered=False)

    def of(self, path: Path, columns: Sequence[str]) -> "ReplyFormat":
        """The format of a file with these columns: chat lists where it has no prompt and reply, but `messages` or
        `conversations`."""
        if self.chosen or {self.prompt, self.reply} <= set(columns):
            return self
        found = next((name for name in ("messages", "conversations") if name in columns), None)
        return self if found is None else replace(self, messages=found)

    @property
    def name(self) -> str:
        """For people."""
        if self.messages is not None:
            return f"conversations ({self.messages}: the assistant's last message is the reply)"
        return f"prompts and replies ({self.prompt}, {self.reply})" if self.answered else f"prompts ({self.prompt})"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        group = () if self.group is None else (self.group,)
        if self.messages is not None:
            return (self.messages, *group)
        return (self.prompt, *((self.reply,) if self.answered else ()), *group)

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are read where a file has them."""
        texts = (self.prompt, self.reply) if self.messages is None else ()
        return (*self.needed, *texts, self.id, "language", "source", "weight")

    @property
    def hint(self) -> str:
        """What to do about a missing column."""
        return "name the columns with data.prompt=COLUMN data.reply=COLUMN, or data.messages=COLUMN for chat lists"

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of `examples.CONVERSATION`.

        Args: as `arena.data.source.formats.check_row`.

        Raises:
            RowError: for the first column that cannot be used.
        """
        row: dict[str, Any] = self.example.blank()
        known = raw.get(self.id)
        row["id"] = str(number) if known is None else cells.check_id(self.id, known, repair)
        talk, reply = self._talk(raw, repair, notes)
        if self.answered and not reply.strip():
            raise RowError("E_EMPTY_REPLY", self.messages or self.reply, "the reply is empty")
        if not any(text and not text.isspace() for text in (*talk.asked, *talk.answers)):
            notes.append("W_EMPTY_PROMPT")
        elif talk.asked[0] is None:
            notes.append("W_OPENED")
        system = [talk.system or self.system]
        row |= {"prompt": talk.asked, "reply": [*talk.answers, reply], "system": system}
        for name in ("language", "source"):
            row[name] = cells.check_name(name, raw.get(name), repair)
        if self.group is not None and not cells.is_missing(raw.get(self.group)):
            row["session"] = cells.check_id(self.group, raw[self.group], repair)
        row["weight"] = cells.check_weight(raw.get("weight"))
        notes += cells.foreign_notes([*talk.asked, reply])
        return row

    def _talk(self, raw: dict[str, Any], repair: bool, notes: list[str]) -> tuple[ParsedConversation, str]:
        """What was said before the reply, and the reply."""
        if self.messages is not None:
            said = _messages(self.messages, raw.get(self.messages), repair)
            last = max((place for place, (role, _) in enumerate(said) if role == "assistant"), default=-1)
            if not self.answered and said[-1][0] == "user":
                return _before(self.messages, said), ""
            if last < 0:
                raise RowError("E_EMPTY_REPLY", self.messages, "there is no message of the assistant")
            if last < len(said) - 1:
                notes.append("W_AFTER_REPLY")
            return _before(self.messages, said[:last]), said[last][1]
        talk = _prompt(self.prompt, raw.get(self.prompt), repair)
        cell = raw.get(self.reply)
        if cell is None and not self.answered:
            return talk, ""
        if cell is not None and not isinstance(cell, str):
            raise RowError("E_TYPE", self.reply, f"{shown(cell)} is not text")
        return talk, cells.check_text(self.reply, cell or "", repair)


def _prompt(column: str, cell: Any, repair: bool) -> ParsedConversation:
    """A prompt: one text, a list of turns that ends with the user's, or a list of messages."""
    if isinstance(cell, str) and cell.startswith("[") and cell.rstrip().endswith("]"):
        cell = _turns(column, cell)
    if cell is None or isinstance(cell, str):
        return ParsedConversation("", [cells.check_text(column, cell or "", repair)], [])
    if not isinstance(cell, list):
        raise RowError("E_TYPE", column, f"{shown(cell)} is neither text nor a list of turns")
    if cell and all(isinstance(turn, dict) for turn in cell):
        return _before(column, _messages(column, cell, repair))
    turns = [cells.check_turn(column, turn, repair) for turn in cell]
    said = [("assistant" if place % 2 else "user", turn) for place, turn in enumerate(reversed(turns))]
    return _before(column, said[::-1] or [("user", "")])


def _turns(column: str, cell: str) -> Any:
    """The list that a cell writes as JSON; the cell itself where it only looks a little like one."""
    if not cell[1:].lstrip().startswith(('"', "{", "]")):
        return cell
    found = from_json(column, cell, "not a JSON list of turns")
    return found if isinstance(found, list) else cell


def _messages(column: str, cell: Any, repair: bool) -> list[tuple[str, str]]:
    """Role and text of each message."""
    if isinstance(cell, str):
        cell = from_json(column, cell, "not a JSON list of messages")
    if not isinstance(cell, list) or not cell:
        raise RowError("E_TYPE", column, f"{shown(cell)} is not a list of messages")
    said = []
    for place, message in enumerate(cell, start=1):
        keys = next((pair for pair in KEYS if isinstance(message, dict) and set(pair) <= set(message)), None)
        if keys is None:
            raise RowError("E_TYPE", column, f"{shown(message)} is not a message with role and content")
        name, text = (message[key] for key in keys)
        role = ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            told = f"message {place} is of {shown(name)}; known are {', '.join(ROLES)}"
            raise RowError("E_ROLES", column, told)
        said.append((role, cells.check_turn(column, content_of(column, text), repair)))
    return said


def _before(column: str, said: Sequence[tuple[str, str]]) -> ParsedConversation:
    """Messages that end with the user's as turns.

    Raises:
        RowError: user and assistant do not take turns, or the user's is not the last.
    """
    system = ""
    if said and said[0][0] == "system":
        system, said = said[0][1], said[1:]
    texts: list[str | None] = []
    expected: Literal["user", "assistant"] = "user"
    for place, (role, text) in enumerate(said, start=1):
        if role == "assistant" and not texts:
            texts.append(None)
            expected = "assistant"
        if role != expected:
            raise RowError("E_ROLES", column, f"message {place} is of {role}, expected {expected}")
        texts.append(text)
        expected = "assistant" if role == "user" else "user"
    if not texts:
        texts = [""]
    if len(texts) % 2 == 0:
        raise RowError("E_ROLES", column, "the last message of the prompt is the assistant's; it must be the user's")
    return ParsedConversation(system, texts[::2], texts[1::2])
