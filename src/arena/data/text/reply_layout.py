"""What stands around the texts of a conversation when a language model reads it, in token ids.

chat    the chat template of the model's own folder
plain   prompt, separator, reply; earlier turns with the separator between them
a text  with `{prompt}` and `{reply}`, such as "Q: {prompt}\\nA:{reply}"
"""

from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import closest
from arena.data.text.tokenizer import Tokenizer

NAMES = ("auto", "plain", "chat")
Shape = tuple[int, bool, bool]
"""Rounds shown (a message of the user each), whether the assistant opens, whether there is a system message."""


@dataclass(frozen=True)
class PromptScaffold:
    """The fixed ids of conversations of one shape with M messages in the prompt.

    Attributes:
        pieces: ids before each message of the prompt and before the reply, M + 1 arrays of int32.
        ends: how many ids of each piece belong to the message before it, M + 1; see
            `arena.data.text.tokenizer.Conversation`.
        roles: of the M messages.
        size: tokens of all pieces.
    """

    pieces: list[np.ndarray]
    ends: list[int]
    roles: list[str]
    size: int


@dataclass(frozen=True)
class ReplyLayout:
    """A way to write conversations.

    Attributes:
        name: for people.
        tail: ids behind a reply, the last of which ends it, int32.
        end_ids: ids that end a reply when it is generated.
        draw: roles of a prompt -> the pieces and ends of its frame.
    """

    name: str
    tail: np.ndarray
    end_ids: list[int]
    draw: Callable[[list[str]], tuple[list[list[int]], list[int]]]

    def frame(self, shape: Shape) -> PromptScaffold:
        """The frame of a shape. Raises an `InputOutputError` where the model's chat template refuses it."""
        rounds, opened, system = shape
        roles = ["system"] * system + ["user", "assistant"] * (rounds - 1) + ["user"]
        if opened:
            roles.remove("user")
        pieces, ends = self.draw(roles)
        arrays = [np.array(ids, np.int32) for ids in pieces]
        return PromptScaffold(arrays, ends, roles, sum(map(len, arrays)))


def check_template(template: str) -> str:
    """The template itself, if it is one of `NAMES` or a text with `{prompt}` and `{reply}`; else a `UsageError`."""
    if "{" in template:
        _parts(template)
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
    tail = tokenizer.conversation(["user", "assistant"]).pieces[-1]
    if not tail:
        raise UsageError("data.template=chat: neither the chat template nor the tokenizer ends a reply; choose plain")

    def draw(roles: list[str]) -> tuple[list[list[int]], list[int]]:
        made = tokenizer.conversation([*roles, "assistant"])
        return made.pieces[:-1], made.ends[:-1]

    ends = [tail[-1], tail[-1] if tokenizer.end is None else tokenizer.end]
    return ReplyLayout("chat", np.array(tail, np.int32), sorted(set(ends)), draw)


def _plain(template: str | None, separator: str, tokenizer: Tokenizer) -> ReplyLayout:
    end = tokenizer.end
    if end is None:
        raise UsageError("data.template: the tokenizer knows no id that ends a text; name it eos_token in its folder")
    before, between, after = ("", separator, "") if template is None else _parts(template)
    first = before.removesuffix(" ") if tokenizer.blank else before
    start = [*tokenizer.prefix, *tokenizer.encode([first])[0].tolist()]
    middle, turn = (_following(words, tokenizer) for words in (between, separator))
    # Something must stand before the first token of a reply, else nothing predicts it.
    start = start if start or middle else [end]
    tail = [*_following(after, tokenizer), end]

    def draw(roles: list[str]) -> tuple[list[list[int]], list[int]]:
        return [start, *[turn] * (len(roles) - 1), middle], [0] * (len(roles) + 1)

    return ReplyLayout("plain" if template is None else "text", np.array(tail, np.int32), [end], draw)


def _following(words: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of words between two texts. Where the tokenizer begins every text with a blank, it begins the next one
    so too, which stands for a blank at the end of the words."""
    words = words.removesuffix(" ") if tokenizer.blank else words
    known, both = (ids.tolist() for ids in tokenizer.encode(["a", "a" + words]))
    return both[len(known) :] if both[: len(known)] == known else tokenizer.encode([words])[0].tolist()


def _parts(template: str) -> tuple[str, str, str]:
    """The words before the prompt, between prompt and reply, and behind the reply."""
    usage = f"data.template={template[:40]}: it must hold {{prompt}} and then {{reply}}, once each"
    words, names = [""], []
    try:
        for text, name, form, conversion in Formatter().parse(template):
            words[-1] += text
            if name is not None:
                names.append(name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else ""))
                words.append("")
    except ValueError as error:
        raise UsageError(f"{usage} ({error}; write a brace in the text as two)") from error
    if names != ["prompt", "reply"]:
        raise UsageError(f"{usage}; found {', '.join('{' + name + '}' for name in names) or 'neither'}")
    return words[0], words[1], words[2]
