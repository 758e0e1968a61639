"""Prompt and reply of every row in token ids: what is kept where both are too long, and which tokens are learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count
from arena.data.source.examples import CONVERSATION
from arena.data.text.reply_layout import PromptScaffold, ReplyLayout, Shape
from arena.data.text.tokens import TurnTokens

FIELDS = len(CONVERSATION.texts)
SMALLEST_TURN = 32
"""Tokens of the user's last message that a long system message leaves room for."""
ROWS_AT_ONCE = 8192
Learn = Literal["last", "all"]


@dataclass(frozen=True)
class ReplyTruncationSettings:
    """How long a pair may be, and what is learned of it: the node `data.truncation` of replies; see `fit_replies`.

    Attributes:
        max_length: tokens of prompt and reply together at most; prompts lose their oldest tokens, replies their end.
        max_reply_length: tokens of a reply at most, with its end; None: what the prompt leaves, and half for sure.
        learn: the last message of the assistant, or all that are shown.
    """

    max_length: Count = 512
    max_reply_length: Count | None = None
    learn: Literal["last", "all"] = "last"

    def check(self) -> "ReplyTruncationSettings":
        """The room itself. Raises a `UsageError` where the reply may take all of it."""
        if self.max_reply_length is not None and self.max_reply_length >= self.max_length:
            raise UsageError(
                f"data.max_reply_length={self.max_reply_length} leaves no room for a prompt in "
                f"data.max_length={self.max_length}"
            )
        return self


@dataclass(frozen=True)
class ReplyTokens:
    """Prompts and replies of R rows, put together when asked for.

    Attributes:
        turns: the ids of every turn.
        frames: fixed ids of every shape that a row has.
        tail: ids behind a whole reply.
        first: the first round of each row that is shown, `[R]` int64.
        opened: whether the assistant opens the conversation as it is shown, `[R]` bool.
        system: tokens kept of the system message (its beginning), `[R]` int64.
        asked: tokens kept of the user's last message (its end), `[R]` int64.
        answered: tokens kept of the reply (its beginning), without `tail`, `[R]` int64.
        whole: whether the reply is whole and so has its `tail`, `[R]` bool.
        prompt_lengths: tokens of each prompt as it is shown, `[R]` int64.
        needed: tokens that prompt and reply would take if nothing were cut, `[R, 2]` int64.
        learn: whether the last message of the assistant is learned, or all that are shown.
    """

    turns: TurnTokens
    frames: dict[Shape, PromptScaffold]
    tail: np.ndarray
    first: np.ndarray
    opened: np.ndarray
    system: np.ndarray
    asked: np.ndarray
    answered: np.ndarray
    whole: np.ndarray
    prompt_lengths: np.ndarray
    needed: np.ndarray
    learn: Learn = "last"

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def reply_lengths(self) -> np.ndarray:
        """Tokens of each reply as it is, with what ends it, `[R]` int64."""
        return self.answered + len(self.tail) * self.whole

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair, `[R]` int64."""
        return self.prompt_lengths + self.reply_lengths

    tokens = lengths
    """The same: a row is read once."""

    @property
    def prompt_cut(self) -> np.ndarray:
        """Whether a prompt lost tokens, `[R]` bool."""
        return self.needed[:, 0] > self.prompt_lengths

    @property
    def reply_cut(self) -> np.ndarray:
        """Whether a reply lost tokens, and with them its end, `[R]` bool."""
        return ~self.whole

    @property
    def is_cut(self) -> np.ndarray:
        """Whether a row lost tokens, `[R]` bool."""
        return self.prompt_cut | self.reply_cut

    @property
    def invisible(self) -> np.ndarray:
        """Whether nothing is left of a reply: never, `[R]` bool."""
        return np.zeros(len(self), dtype=bool)

    def shape(self, row: int) -> Shape:
        """Which frame a row has."""
        rounds = int(self.turns.first[row + 1] - self.turns.first[row]) // FIELDS - int(self.first[row])
        system = int(self.turns.first[row]) + FIELDS - 1
        return rounds, bool(self.opened[row]), bool(self.turns.offsets[system + 1] > self.turns.offsets[system])

    def prompt(self, row: int) -> np.ndarray:
        """The prompt of a row up to where the reply begins, `[P]` int32."""
        return np.concatenate(list(self._prompt(row)))

    def reply(self, row: int) -> np.ndarray:
        """The reply of a row, with the ids that end it unless it was cut, `[A]` int32."""
        start = self.turns.offsets[self.turns.first[row + 1] - 2]
        kept = self.turns.ids[start : start + self.answered[row]]
        return np.concatenate([kept, self.tail]) if self.whole[row] else np.asarray(kept)

    def learned(self, row: int) -> np.ndarray:
        """Which tokens of prompt and reply are to be learned, `[P + A]` bool."""
        reply = np.ones(self.reply_lengths[row], dtype=bool)
        if self.learn == "last":
            return np.concatenate([np.zeros(self.prompt_lengths[row], dtype=bool), reply])
        frame = self.frames[self.shape(row)]
        parts: list[np.ndarray] = []
        for place, texts in enumerate(self._contents(row)):
            answer = place > 0 and frame.roles[place - 1] == "assistant"
            parts.append(np.arange(len(frame.pieces[place])) < (frame.ends[place] if answer else 0))
            parts.append(np.full(len(texts), frame.roles[place] == "assistant"))
        return np.concatenate([*parts, np.zeros(len(frame.pieces[-1]), dtype=bool), reply])

    def counts(self, rows: np.ndarray, size: int) -> np.ndarray:
        """How often each token is learned in some rows, `[size]` int64."""
        found = np.zeros(size, np.int64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            if self.learn == "all":
                ids = [np.concatenate([self.prompt(r), self.reply(r)])[self.learned(r)] for r in some.tolist()]
                found += np.bincount(np.concatenate(ids), minlength=size)
            else:
                begins = self.turns.offsets[self.turns.first[some + 1] - 2]
                found += np.bincount(self.turns.ids[spans(begins, self.answered[some])], minlength=size)
        if self.learn == "last":
            np.add.at(found, self.tail, int(self.whole[rows].sum()))
        return found

    def _prompt(self, row: int) -> Iterator[np.ndarray]:
        frame = self.frames[self.shape(row)]
        for piece, text in zip(frame.pieces[:-1], self._contents(row), strict=True):
            yield piece
            yield text
        yield frame.pieces[-1]

    def _contents(self, row: int) -> Iterator[np.ndarray]:
        """The ids of each message of the prompt as it is shown."""
        offsets, ids = self.turns.offsets, self.turns.ids
        start, stop = int(self.turns.first[row]), int(self.turns.first[row + 1])
        system = start + FIELDS - 1
        if offsets[system + 1] > offsets[system]:
            yield ids[offsets[system] : offsets[system] + self.system[row]]
        begin = start + FIELDS * int(self.first[row])
        for text in range(begin, stop - FIELDS, FIELDS):
            if text > begin or not self.opened[row]:
                yield ids[offsets[text] : offsets[text + 1]]
            yield ids[offsets[text + 1] : offsets[text + 2]]
        last = stop - FIELDS
        yield ids[offsets[last + 1] - self.asked[row] : offsets[last + 1]]


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers from `starts[i]` to `starts[i] + lengths[i] - 1` of each i, one after the other, int64."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def fit_replies(turns: TurnTokens, layout: ReplyLayout, room: ReplyTruncationSettings) -> ReplyTokens:
    """Decide what every row keeps.

    A prompt that is too long loses its oldest tokens: whole rounds (a message of the user and the answer to it), then
    the beginning of the user's last message; of a system message, what the last message cannot spare. A reply loses its
    end. Where `max_reply_length` is not given, a reply may take what the prompt leaves, and half of the room for sure.

    Args:
        turns: the ids of every turn; rows have prompts, answers with the reply as the last, and the system message in
            the third text of the first turn.
        layout: what stands around them.
        room: the limits.

    Raises:
        UsageError: `max_length` leaves no token for prompt or reply.
        InputOutputError: see `ReplyLayout.frame`.
    """
    counts, first, number = turns.counts, turns.first[:-1], turns.turns
    last, tail = turns.first[1:] - FIELDS, len(layout.tail)
    frames = _Frames(layout, counts[first + 2] > 0)
    shown, opened = number.copy(), (counts[first] == 0) & (number > 1)
    alone = frames.sizes(np.ones_like(number), np.zeros_like(opened))
    least = int(alone.max(initial=0)) + 1  # tokens of a prompt of one word
    _check_limits(room, layout, least)
    in_rounds = _before_last(counts, turns)
    system, asked, reply = counts[first + 2], counts[last], counts[last + 1] + tail
    prompt = frames.sizes(shown, opened) + system + asked + in_rounds
    needed = np.stack([prompt, reply], axis=1)
    limit = room.max_reply_length
    if limit is None:
        sure = np.minimum(reply, np.maximum(room.max_length - prompt, room.max_length // 2))
    else:
        sure = np.minimum(reply, limit)
    sure = np.minimum(sure, room.max_length - least)
    going = np.flatnonzero((prompt + sure > room.max_length) & (shown > 1))
    while len(going):
        dropped = first[going] + FIELDS * (number - shown)[going]
        in_rounds[going] -= counts[dropped] + counts[dropped + 1]
        shown[going] -= 1
        opened[going] = False
        prompt = frames.sizes(shown, opened) + system + asked + in_rounds
        going = going[(prompt + sure > room.max_length)[going] & (shown[going] > 1)]
    over = prompt + sure > room.max_length  # these have one round left
    free = room.max_length - sure - alone
    kept = np.minimum(asked, np.maximum(free - system, np.minimum(free, SMALLEST_TURN)))
    asked = np.where(over, kept, asked)
    system = np.where(over, np.minimum(system, free - asked), system)
    prompt = frames.sizes(shown, opened) + system + asked + in_rounds
    most = room.max_length - prompt if limit is None else np.minimum(limit, room.max_length - prompt)
    whole = reply <= most
    answered = np.where(whole, reply - tail, np.minimum(reply - tail, most))
    kept_from = number - shown
    return ReplyTokens(
        turns, frames.made, layout.tail, kept_from, opened, system, asked, answered, whole, prompt, needed, room.learn
    )


class _Frames:
    """The frames of R rows, each drawn once.

    Attributes:
        made: the frames so far.
    """

    def __init__(self, layout: ReplyLayout, has_system: np.ndarray) -> None:
        self.made: dict[Shape, PromptScaffold] = {}
        self._layout, self._has_system = layout, has_system

    def sizes(self, shown: np.ndarray, opened: np.ndarray) -> np.ndarray:
        """Fixed tokens of each prompt that shows so many rounds, `[R]` int64."""
        codes, index = np.unique(4 * shown + 2 * opened + self._has_system, return_inverse=True)
        keys = [(code // 4, code // 2 % 2 == 1, code % 2 == 1) for code in codes.tolist()]
        self.made |= {key: self._layout.frame(key) for key in keys if key not in self.made}
        return np.array([self.made[key].size for key in keys], np.int64)[index]


def _check_limits(room: ReplyTruncationSettings, layout: ReplyLayout, least: int) -> None:
    """Insist on a token of the prompt (`least` with its frame), one of the reply, and what ends it."""
    tail = len(layout.tail)
    needs = {"max_length": least + 1 + tail, "max_reply_length": 1 + tail}
    for name, number in needs.items():
        given = getattr(room, name)
        if given is not None and given < number:
            raise UsageError(
                f"data.{name}={given} is too small: data.template ({layout.name}) leaves no room for text; give "
                f"{number} or more"
            )


def _before_last(counts: np.ndarray, turns: TurnTokens) -> np.ndarray:
    """Tokens of prompt and answer in all rounds of each row but the last, `[R]` int64."""
    both = counts[0::FIELDS] + counts[1::FIELDS]
    ends = np.concatenate([[0], both.cumsum()])
    return ends[turns.first[1:] // FIELDS - 1] - ends[turns.first[:-1] // FIELDS]
