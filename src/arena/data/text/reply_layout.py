"""The fixed token ids around the texts of a conversation when a language model reads it.

chat    the chat template of the model's own folder
plain   prompt, separator, reply; earlier turns with the separator between them
a text  with `{prompt}` and `{reply}`, such as "Q: {prompt}\\nA:{reply}"
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.data.text.template import ids_after, words_and_fields
from arena.data.text.tokenizer import Tokenizer

NAMES = ("auto", "plain", "chat")
Shape = tuple[int, bool, bool]
"""Rounds kept (a message of the user each); the assistant opens; there is a system message."""


@dataclass(frozen=True)
class PromptScaffold:
    """The fixed ids of conversations of one shape with M messages in the prompt.

    Attributes:
        pieces: ids before each message of the prompt and before the reply, M + 1 arrays of int32.
        ends: how many ids of each piece belong to the message before it, M + 1; see
            `arena.data.text.tokenizer.Conversation`.
        roles: of the M messages.
    """

    pieces: list[np.ndarray]
    ends: list[int]
    roles: list[str]

    @property
    def size(self) -> int:
        """Tokens of all pieces."""
        return sum(map(len, self.pieces))


@dataclass(frozen=True)
class ReplyLayout:
    """A way to write conversations.

    Attributes:
        name: for people.
        eos_ids: ids after a reply, the last of which ends it, int32.
        end_ids: ids that end a reply when it is generated.
        draw: roles of a prompt -> the pieces and ends of its scaffold.
    """

    name: str
    eos_ids: np.ndarray
    end_ids: list[int]
    draw: Callable[[list[str]], tuple[list[list[int]], list[int]]]

    def scaffold(self, shape: Shape) -> PromptScaffold:
        """The scaffold of a shape. Raises an `InputOutputError` where the model's chat template refuses it."""
        rounds, opened, system = shape
        roles = ["system"] * system + ["user", "assistant"] * (rounds - 1) + ["user"]
        if opened:
            roles.remove("user")
        pieces, ends = self.draw(roles)
        return PromptScaffold([np.array(ids, np.int32) for ids in pieces], ends, roles)


def check_template(template: str) -> str:
    """The template itself, if it is one of `NAMES` or a text with `{prompt}` and `{reply}`; else a `UsageError`."""
    if "{" in template:
        _words(template)
    elif template not in NAMES:
        raise UsageError(
            f"data.template={template[:40]}: it is none of {', '.join(NAMES)}{closest(template, NAMES)}, and a text "
            "needs {prompt} and {reply}"
        )
    return template


def layout_of(template: str, separator: str, tokenizer: Tokenizer) -> ReplyLayout:
    """The layout that `data.template` means for this tokenizer.

    Raises:
        UsageError: no such template, a chat template where the tokenizer has none, or no id that ends a text.
        InputOutputError: the chat template cannot be rendered.
    """
    check_template(template)
    if template in ("auto", "chat"):
        try:
            return _chat(tokenizer)
        except UsageError:
            if template == "chat":
                raise
    return _plain(template if "{" in template else None, separator, tokenizer)


def _chat(tokenizer: Tokenizer) -> ReplyLayout:
    eos_ids = tokenizer.conversation(["user", "assistant"]).pieces[-1]
    if not eos_ids:
        raise UsageError("data.template=chat: neither the chat template nor the tokenizer ends a reply; choose plain")

    def draw(roles: list[str]) -> tuple[list[list[int]], list[int]]:
        made = tokenizer.conversation([*roles, "assistant"])
        return made.pieces[:-1], made.ends[:-1]

    ends = {eos_ids[-1], eos_ids[-1] if tokenizer.end is None else tokenizer.end}
    return ReplyLayout("chat", np.array(eos_ids, np.int32), sorted(ends), draw)


def _plain(template: str | None, separator: str, tokenizer: Tokenizer) -> ReplyLayout:
    end = tokenizer.end
    if end is None:
        raise UsageError("data.template: the tokenizer knows no id that ends a text; name it eos_token in its folder")
    # Where the tokenizer begins every text with a blank, that stands for a blank at the end of the words before it.
    stripped = [
        words.removesuffix(" ") if tokenizer.blank else words
        for words in (("", separator, "") if template is None else _words(template))
    ]
    turn = ids_after(tokenizer, "a", separator.removesuffix(" ") if tokenizer.blank else separator)
    start = [*tokenizer.prefix, *tokenizer.encode([stripped[0]])[0].tolist()]
    middle, after = (ids_after(tokenizer, "a", words) for words in stripped[1:])
    # Something must stand before the first token of a reply, else nothing predicts it.
    start = start if start or middle else [end]

    def draw(roles: list[str]) -> tuple[list[list[int]], list[int]]:
        return [start, *[turn] * (len(roles) - 1), middle], [0] * (len(roles) + 1)

    return ReplyLayout("plain" if template is None else "text", np.array([*after, end], np.int32), [end], draw)


def _words(template: str) -> list[str]:
    """The words before the prompt, between prompt and reply, and after the reply."""
    usage = f"data.template={template[:40]}: it must hold {{prompt}} and then {{reply}}, once each"
    found = words_and_fields(template, usage)
    names = [name for _, name in found[:-1]]
    if names != ["prompt", "reply"]:
        raise UsageError(f"{usage}; found {', '.join('{' + name + '}' for name in names) or 'neither'}")
    return [words for words, _ in found]
