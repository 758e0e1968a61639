"""Two conversations with the same user, as turns: what the user said, and what each side answered."""

import json
import re
from hashlib import blake2b
from typing import Any, NamedTuple

from arena.data.source.cells import RowError, check_turn, from_json, shown

_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


class Conversation(NamedTuple):
    """One side of a comparison.

    Attributes:
        system: the instruction in front, if there is one.
        user: what the user said, one element a turn.
        answers: the answers, as many as `user`; null where the last one is missing.
    """

    system: str | None
    user: list[str | None]
    answers: list[str | None]


def read(column: str, cell: Any, repair: bool = False) -> Conversation:
    """The conversation in one cell.

    Args:
        column: of the cell.
        cell: a list of `{role, content}` (also as JSON), or a transcript, `\\n\\nHuman: ...\\n\\nAssistant: ...`.
        repair: see `cells.check_text`.

    Raises:
        RowError: it is neither, or user and assistant do not take turns.
    """
    if isinstance(cell, str) and cell.startswith("\n\n"):
        messages = _transcript(column, cell)
    else:
        messages = _messages(column, cell)
    system = None
    if messages and messages[0][0] == "system":
        text = content_of(column, messages.pop(0)[1])
        system = check_turn(column, text, repair) if text else None
    for place, (role, _) in enumerate(messages):
        expected = "assistant" if place % 2 else "user"
        if role != expected:
            raise RowError("E_ROLES", column, f"message {place + 1} is of {shown(role)}, expected {expected}")
    if not messages:
        raise RowError("E_ROLES", column, "there is no message")
    turns = [content_of(column, content) for _, content in messages]
    texts = [None if turn is None else check_turn(column, turn, repair) for turn in turns]
    user, answers = texts[::2], texts[1::2]
    return Conversation(system, user, answers + [None] * (len(user) - len(answers)))


def join(
    columns: tuple[str, str], left: Conversation, right: Conversation, notes: list[str]
) -> dict[str, list[str | None]]:
    """The turns of both sides. The user must have said the same to both.

    A system message is left out, and noted, where both sides got the same; otherwise the sides had different tasks.
    """
    if left.user != right.user:
        reason = f"the user's turns differ from those of {columns[0]}"
        raise RowError("E_TURNS_MISMATCH", columns[1], reason)
    if left.system != right.system:
        raise RowError("E_TURNS_MISMATCH", columns[1], f"the system message differs from that of {columns[0]}")
    if left.system is not None:
        notes.append("W_SYSTEM")
    return {"prompt": left.user, "response_a": left.answers, "response_b": right.answers}


def chosen_is_b(chosen: Conversation, rejected: Conversation) -> bool:
    """A bit of a hash of both texts: which place the better answer gets. It never changes, and half of all are b."""
    said = json.dumps([chosen, rejected]).encode()
    return bool(blake2b(said, digest_size=1).digest()[0] & 1)


def _transcript(column: str, text: str) -> list[tuple[str, Any]]:
    """Role and text of each turn. One blank behind the colon belongs to the mark, all others to the text."""
    before, *parts = _SPEAKER.split(text)
    if before or not parts:
        raise RowError("E_ROLES", column, f"{shown(text)} does not begin with '\\n\\nHuman:'")
    roles = {"Human": "user", "Assistant": "assistant"}
    return [(roles[who], said.removeprefix(" ")) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _messages(column: str, cell: Any) -> list[tuple[Any, Any]]:
    if isinstance(cell, str):
        wrong = "neither a transcript ('\\n\\nHuman: ...') nor a JSON list of messages"
        cell = from_json(column, cell, wrong)
    if not isinstance(cell, list):
        raise RowError("E_TYPE", column, f"{shown(cell)} is not a list of messages")
    for message in cell:
        if not isinstance(message, dict) or "role" not in message or "content" not in message:
            raise RowError("E_TYPE", column, f"{shown(message)} is not a message with role and content")
    return [(message["role"], message["content"]) for message in cell]


def content_of(column: str, content: Any) -> Any:
    """The text of one message: as it is, or its text parts on lines of their own."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict):
            raise RowError("E_TYPE", column, f"{shown(part)} is not a part of a message")
        if part.get("type", "text") != "text" or part.get("image") is not None:
            raise RowError("E_IMAGE", column, f"a part of type {shown(part.get('type'))} is not text")
        if part.get("text") is not None:
            if not isinstance(part["text"], str):
                raise RowError("E_TYPE", column, f"{shown(part['text'])} is not text")
            texts.append(part["text"])
    return "\n".join(texts) if texts else None
