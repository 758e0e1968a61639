"""Conversations in one cell: lists of messages or transcripts, as the turns of user and assistant."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from arena.data.source.checks import check_turn, format_cell, from_json
from arena.data.source.codes import RowError

_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
ROLES = {
    **{"system": "system", "user": "user", "human": "user"},
    **{"assistant": "assistant", "gpt": "assistant", "model": "assistant"},
}
"""The speakers, by the names that chat files use."""
KEYS = (("role", "content"), ("from", "value"))
"""The two ways to write a message."""
Message = tuple[str, str | None]
"""Role and text; null where the text is missing."""


class ParsedConversation(NamedTuple):
    """A conversation as turns.

    Attributes:
        system: the system message, None for none.
        user: messages of the user; None in front where the assistant opens.
        assistant: messages of the assistant, as many, or one less where the user has the last word.
    """

    system: str | None
    user: list[str | None]
    assistant: list[str | None]


def read_messages(column: str, cell: Any) -> list[Message]:
    """The messages in one cell: a list of `{role, content}` or `{from, value}` (also as JSON), or a transcript,
    `\\n\\nHuman: ...\\n\\nAssistant: ...`.

    Raises:
        RowError: it is neither, or a message is of nobody that is known or no text.
    """
    if isinstance(cell, str) and cell.startswith("\n\n"):
        cell = _transcript(column, cell)
    elif isinstance(cell, str):
        cell = from_json(column, cell, "neither a transcript ('\\n\\nHuman: ...') nor a JSON list of messages")
    if not isinstance(cell, list):
        raise RowError("E_TYPE", column, f"{format_cell(cell)} is not a list of messages")
    if not cell:
        raise RowError("E_ROLES", column, "there is no message")
    found = []
    for place, message in enumerate(cell, start=1):
        keys = next((pair for pair in KEYS if isinstance(message, dict) and set(pair) <= set(message)), None)
        if keys is None:
            raise RowError("E_TYPE", column, f"{format_cell(message)} is not a message with role and content")
        name, content = (message[key] for key in keys)
        role = ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise RowError(
                "E_ROLES", column, f"message {place} is of {format_cell(name)}; known are {', '.join(ROLES)}"
            )
        text = _text_of(column, content)
        found.append((role, None if text is None else check_turn(column, text)))
    return found


def as_turns(column: str, messages: Sequence[Message], may_open: bool = False) -> ParsedConversation:
    """Messages as turns. `may_open`: the assistant may have the first word.

    Raises:
        RowError: user and assistant do not take turns.
    """
    system = None
    if messages and messages[0][0] == "system":
        system, messages = messages[0][1], messages[1:]
    opened = may_open and bool(messages) and messages[0][0] == "assistant"
    for place, (role, _) in enumerate(messages):
        expected = "assistant" if (place + opened) % 2 else "user"
        if role != expected:
            raise RowError("E_ROLES", column, f"message {place + 1} is of {role}, expected {expected}")
    texts = [None] * opened + [text for _, text in messages]
    return ParsedConversation(system or None, texts[::2], texts[1::2])


def _transcript(column: str, text: str) -> list[dict[str, str]]:
    """The messages of a transcript. One blank after the colon belongs to the mark, all others to the text."""
    before, *parts = _SPEAKER.split(text)
    if before or not parts:
        raise RowError("E_ROLES", column, f"{format_cell(text)} does not begin with '\\n\\nHuman:'")
    return [
        {"role": who.lower(), "content": said.removeprefix(" ")}
        for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]


def _text_of(column: str, content: Any) -> Any:
    """The text of one message: as it is, or its text parts on lines of their own."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict):
            raise RowError("E_TYPE", column, f"{format_cell(part)} is not a part of a message")
        if part.get("type", "text") != "text" or part.get("image") is not None:
            raise RowError("E_IMAGE", column, f"a part of type {format_cell(part.get('type'))} is not text")
        if part.get("text") is not None:
            texts.append(check_turn(column, part["text"]))
    return "\n".join(texts) if texts else None
