"""Prompt and reply of every row in token ids: what is kept where both are too long, and the loss mask."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from arena.core.errors import UsageError
from arena.core.schema import Count
from arena.data.source.examples import CONVERSATION
from arena.data.text.reply_layout import PromptScaffold, ReplyLayout, Shape
from arena.data.text.tokens import TurnTokens

TEXTS = len(CONVERSATION.texts)
"""Texts of each turn: prompt, reply, and the system message (of the first turn)."""
SMALLEST_TURN = 32
"""Tokens that a long system message leaves to the user's last message."""
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ReplyTruncationSettings:
    """How long a pair may be, and which tokens have a loss: the node `data.truncation` of replies.

    A prompt that is too long loses its oldest tokens: whole rounds (a message of the user and the answer to it), then
    the beginning of the user's last message; of a system message, what the last message cannot spare. A reply loses its
    end.

    Attributes:
        max_length: tokens of prompt and reply together at most.
        max_reply_length: tokens of a reply at most, with its EOS ids; None: what the prompt leaves, and half of
            `max_length` for sure.
        learn: the last message of the assistant, or all that are kept.
    """

    max_length: Count = 512
    max_reply_length: Count | None = None
    learn: Literal["last", "all"] = "last"

    def check(self) -> "ReplyTruncationSettings":
        """The settings themselves. Raises a `UsageError` where the reply may take everything."""
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
        scaffolds: fixed ids of every shape that a row has.
        eos_ids: ids after a whole reply.
        first: the first round of each row that is kept, `[R]` int64.
        opened: rows whose conversation, as it is kept, the assistant opens, `[R]` bool.
        system_length: tokens kept of the system message (its beginning), `[R]` int64.
        user_length: tokens kept of the user's last message (its end), `[R]` int64.
        text_length: tokens kept of the reply (its beginning), without `eos_ids`, `[R]` int64.
        whole: rows whose reply is whole and so has its `eos_ids`, `[R]` bool.
        prompt_lengths: tokens of each prompt as it is kept, `[R]` int64.
        needed: tokens that prompt and reply would take without truncation, `[R, 2]` int64.
        learn: see `ReplyTruncationSettings`.
    """

    turns: TurnTokens
    scaffolds: dict[Shape, PromptScaffold]
    eos_ids: np.ndarray
    first: np.ndarray
    opened: np.ndarray
    system_length: np.ndarray
    user_length: np.ndarray
    text_length: np.ndarray
    whole: np.ndarray
    prompt_lengths: np.ndarray
    needed: np.ndarray
    learn: Literal["last", "all"] = "last"

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def reply_lengths(self) -> np.ndarray:
        """Tokens of each reply as it is kept, with its EOS ids, `[R]` int64."""
        return self.text_length + len(self.eos_ids) * self.whole

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair, `[R]` int64."""
        return self.prompt_lengths + self.reply_lengths

    tokens = lengths
    """The same: a row is read once."""

    @property
    def prompt_cut(self) -> np.ndarray:
        """Tell whether a prompt lost tokens, `[R]` bool."""
        return self.needed[:, 0] > self.prompt_lengths

    @property
    def reply_cut(self) -> np.ndarray:
        """Tell whether a reply lost tokens, and with them its end, `[R]` bool."""
        return ~self.whole

    @property
    def is_cut(self) -> np.ndarray:
        """Tell whether a row lost tokens, `[R]` bool."""
        return self.prompt_cut | self.reply_cut

    @property
    def invisible(self) -> np.ndarray:
        """Tell whether nothing is left of a reply: never, `[R]` bool."""
        return np.zeros(len(self), dtype=bool)

    def shape(self, row: int) -> Shape:
        """The shape of a row's scaffold."""
        rounds = int(self.turns.first[row + 1] - self.turns.first[row]) // TEXTS - int(self.first[row])
        system = int(self.turns.first[row]) + TEXTS - 1
        return rounds, bool(self.opened[row]), bool(self.turns.offsets[system + 1] > self.turns.offsets[system])

    def prompt(self, row: int) -> np.ndarray:
        """The prompt of a row up to where the reply begins, `[P]` int32."""
        scaffold = self.scaffolds[self.shape(row)]
        parts: list[np.ndarray] = []
        for piece, text in zip(scaffold.pieces[:-1], self._messages(row), strict=True):
            parts += [piece, text]
        return np.concatenate([*parts, scaffold.pieces[-1]])

    def reply(self, row: int) -> np.ndarray:
        """The reply of a row, with its EOS ids unless it was truncated, `[A]` int32."""
        start = self.turns.offsets[self.turns.first[row + 1] - 2]
        kept = self.turns.ids[start : start + self.text_length[row]]
        return np.concatenate([kept, self.eos_ids]) if self.whole[row] else np.asarray(kept)

    def loss_mask(self, row: int) -> np.ndarray:
        """The tokens of prompt and reply that have a loss, `[P + A]` bool."""
        reply = np.ones(self.reply_lengths[row], dtype=bool)
        if self.learn == "last":
            return np.concatenate([np.zeros(self.prompt_lengths[row], dtype=bool), reply])
        scaffold = self.scaffolds[self.shape(row)]
        parts: list[np.ndarray] = []
        for place, text in enumerate(self._messages(row)):
            follows_answer = place > 0 and scaffold.roles[place - 1] == "assistant"
            parts.append(np.arange(len(scaffold.pieces[place])) < (scaffold.ends[place] if follows_answer else 0))
            parts.append(np.full(len(text), scaffold.roles[place] == "assistant"))
        return np.concatenate([*parts, np.zeros(len(scaffold.pieces[-1]), dtype=bool), reply])

    def supervised_ids(self, row: int) -> np.ndarray:
        """The ids of a row that have a loss, int32."""
        return np.concatenate([self.prompt(row), self.reply(row)])[self.loss_mask(row)]

    def counts(self, rows: np.ndarray, size: int) -> np.ndarray:
        """How often each token has a loss in some rows, `[size]` int64."""
        found = np.zeros(size, np.int64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            if self.learn == "all":
                ids = np.concatenate([self.supervised_ids(row) for row in some.tolist()])
            else:
                begins = self.turns.offsets[self.turns.first[some + 1] - 2]
                ids = self.turns.ids[spans(begins, self.text_length[some])]
            found += np.bincount(ids, minlength=size)
        if self.learn == "last":
            np.add.at(found, self.eos_ids, int(self.whole[rows].sum()))
        return found

    def _messages(self, row: int) -> Iterator[np.ndarray]:
        """The ids of each message of the prompt as it is kept."""
        offsets, ids = self.turns.offsets, self.turns.ids
        start, stop = int(self.turns.first[row]), int(self.turns.first[row + 1])
        system = start + TEXTS - 1
        if offsets[system + 1] > offsets[system]:
            yield ids[offsets[system] : offsets[system] + self.system_length[row]]
        begin = start + TEXTS * int(self.first[row])
        for text in range(begin, stop - TEXTS, TEXTS):
            if text > begin or not self.opened[row]:
                yield ids[offsets[text] : offsets[text + 1]]
            yield ids[offsets[text + 1] : offsets[text + 2]]
        last = stop - TEXTS
        yield ids[offsets[last + 1] - self.user_length[row] : offsets[last + 1]]


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers from `starts[i]` to `starts[i] + lengths[i] - 1` of each i, one after the other, int64."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def truncate_replies(turns: TurnTokens, layout: ReplyLayout, settings: ReplyTruncationSettings) -> ReplyTokens:
    """Decide what every row keeps; see `ReplyTruncationSettings`.

    Args:
        turns: the ids of every turn; rows have prompts, answers with the reply as the last, and the system message in
            the third text of the first turn.
        layout: the ids around them.
        settings: the limits.

    Raises:
        UsageError: `max_length` leaves no token for prompt or reply.
        InputOutputError: see `ReplyLayout.scaffold`.
    """
    counts, first, number = turns.counts, turns.first[:-1], turns.turns
    last, eos, max_length = turns.first[1:] - TEXTS, len(layout.eos_ids), settings.max_length
    has_system, scaffolds = counts[first + 2] > 0, dict[Shape, PromptScaffold]()

    def fixed(rounds: np.ndarray, opened: np.ndarray) -> np.ndarray:
        """Tokens of the scaffold of each prompt with so many rounds, `[R]` int64."""
        codes, index = np.unique(4 * rounds + 2 * opened + has_system, return_inverse=True)
        shapes = [(code // 4, code // 2 % 2 == 1, code % 2 == 1) for code in codes.tolist()]
        scaffolds.update({shape: layout.scaffold(shape) for shape in shapes if shape not in scaffolds})
        return np.array([scaffolds[shape].size for shape in shapes], np.int64)[index]

    kept, opened = number.copy(), (counts[first] == 0) & (number > 1)
    alone = fixed(np.ones_like(number), np.zeros_like(opened))
    smallest = int(alone.max(initial=0)) + 1  # tokens of a prompt of one token
    _check_limits(settings, layout, smallest)
    earlier = _before_last(counts, turns)
    system, user, reply = counts[first + 2], counts[last], counts[last + 1] + eos
    prompt = fixed(kept, opened) + system + user + earlier
    needed = np.stack([prompt, reply], axis=1)
    limit = settings.max_reply_length
    sure = np.maximum(max_length - prompt, max_length // 2) if limit is None else np.full_like(prompt, limit)
    sure = np.minimum(np.minimum(reply, sure), max_length - smallest)
    going = np.flatnonzero((prompt + sure > max_length) & (kept > 1))
    while len(going):
        dropped = first[going] + TEXTS * (number - kept)[going]
        earlier[going] -= counts[dropped] + counts[dropped + 1]
        kept[going] -= 1
        opened[going] = False
        prompt = fixed(kept, opened) + system + user + earlier
        going = going[(prompt + sure > max_length)[going] & (kept[going] > 1)]
    over = prompt + sure > max_length  # these have one round left
    free = max_length - sure - alone
    shortened = np.minimum(user, np.maximum(free - system, np.minimum(free, SMALLEST_TURN)))
    user = np.where(over, shortened, user)
    system = np.where(over, np.minimum(system, free - user), system)
    prompt = fixed(kept, opened) + system + user + earlier
    left = max_length - prompt if limit is None else np.minimum(limit, max_length - prompt)
    whole = reply <= left
    text = np.where(whole, reply - eos, np.minimum(reply - eos, left))
    return ReplyTokens(
        turns, scaffolds, layout.eos_ids, number - kept, opened, system, user, text, whole, prompt, needed,
        settings.learn,
    )  # fmt: skip


def _check_limits(settings: ReplyTruncationSettings, layout: ReplyLayout, smallest: int) -> None:
    """Require a token of the prompt (`smallest` with its scaffold), one of the reply, and its EOS ids."""
    eos = len(layout.eos_ids)
    needs = {"max_length": smallest + 1 + eos, "max_reply_length": 1 + eos}
    for name, number in needs.items():
        given = getattr(settings, name)
        if given is not None and given < number:
            raise UsageError(
                f"data.{name}={given} is too small: data.template ({layout.name}) leaves no room for text; give "
                f"{number} or more"
            )


def _before_last(counts: np.ndarray, turns: TurnTokens) -> np.ndarray:
    """Tokens of prompt and answer in all rounds of each row but the last, `[R]` int64."""
    both = counts[0::TEXTS] + counts[1::TEXTS]
    ends = np.concatenate([[0], both.cumsum()])
    return ends[turns.first[1:] // TEXTS - 1] - ends[turns.first[:-1] // TEXTS]
