"""The contracts between the rooms of the house.

Shape legend, used everywhere: N rows of a batch, V sequences of a row, L tokens of the longest sequence in the batch, K
classes, T heads with C classes together (`arena.core.heads`), H hidden width, B sequences that hold N pairs of prompt
and reply.
Units: losses and log losses in nats, lengths in tokens, sizes in rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from torch import Tensor

UNLABELLED = -100
"""Class index of a row without a target (torch's own `ignore_index`)."""


@dataclass
class TextBatch:
    """Rows of text, right-padded to one length.

    A row has one sequence, or two that the model weighs against each other (`arena.data.text.input_views`): then the
    first sequences of all rows come before all second ones.

    A plain (not frozen) dataclass: Lightning moves anything that has `.to`, but its half precision plugins refuse
    frozen ones.

    Attributes:
        input_ids: token ids, `[V * N, L]` int64.
        attention_mask: 1 where there is a token, 0 where there is padding, `[V * N, L]` int64.
        target: class indices `[N]` int64 (`UNLABELLED` where unknown), or class probabilities `[N, K]` float32; with
            several heads the class index of each, `[N, T]` int64, counted from 0 in every head.
        weight: weight of each row in the loss, `[N]` float32; 0 for rows without a target.
        row: position of each row in the table that the batch was cut from, `[N]` int64. It joins predictions to text.
        supervised: number of rows with a target (of any head), counted on the host so that logging needs no device
            sync.
        answer_tokens: tokens of answers A and B before truncation, `[N, 2]` int64; None where not known.
        teacher: what another model says of the classes, `[N, K]` float32 probabilities, NaN in rows where it is not
            asked; only in training, and only for a loss that learns from it.
        offset: log probabilities of another model that are added to the logits, `[N, K]` float32; None for nothing.
        copies: how often each row is in the batch, all rows once before any comes again: for losses that compare what
            a model says of the same row under different dropout.
    """

    input_ids: Tensor
    attention_mask: Tensor
    target: Tensor
    weight: Tensor
    row: Tensor
    supervised: int
    teacher: Tensor | None = None
    answer_tokens: Tensor | None = None
    offset: Tensor | None = None
    copies: int = 1

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """A copy with every tensor moved by `Tensor.to(*args, **kwargs)`."""
        return moved(self, lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> Self:
        """A copy in page-locked memory, called by torch's DataLoader."""
        return moved(self, lambda tensor: tensor.pin_memory())

    def __len__(self) -> int:
        return self.row.shape[0]


@dataclass
class ReplyBatch:
    """Pairs of prompt and reply as a language model reads them: B sequences of L tokens that hold N pairs.

    Unpacked, B = N and each sequence is one pair. Packed, a sequence holds several, one behind the other;
    `position_ids` start anew with each, and attention must not cross from one to another.

    Attributes:
        input_ids: token ids, `[B, L]` int64, right-padded.
        attention_mask: 1 where there is a token, `[B, L]` int64.
        position_ids: place of each token in its own pair, `[B, L]` int64.
        segment: which of the N pairs each token belongs to, `[B, L]` int64; -1 for padding.
        target: the id of each token that is to be learned (those of replies), `UNLABELLED` elsewhere, `[B, L]` int64.
            Not shifted: what the model says at t - 1 is held against the target at t.
        weight: weight of each pair in the loss, `[N]` float32.
        row: position of each pair in the table, `[N]` int64.
        supervised: number of target tokens, counted on the host so that logging needs no device sync.
        packed: whether a sequence may hold more than one pair.
        prompts: ids and mask of the N prompts alone, padded on the left, `[N, P]` each; None where nothing samples.
    """

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    segment: Tensor
    target: Tensor
    weight: Tensor
    row: Tensor
    supervised: int
    packed: bool = False
    prompts: tuple[Tensor, Tensor] | None = None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """A copy with every tensor moved by `Tensor.to(*args, **kwargs)`."""
        return moved(self, lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> Self:
        """A copy in page-locked memory, called by torch's DataLoader."""
        return moved(self, lambda tensor: tensor.pin_memory())

    def __len__(self) -> int:
        return self.row.shape[0]


def moved(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a batch with `function` applied to every tensor, also to those in tuples."""

    def apply(value: Any) -> Any:
        if isinstance(value, Tensor):
            return function(value)
        return tuple(apply(each) for each in value) if isinstance(value, tuple) else value

    return replace(batch, **{f.name: apply(getattr(batch, f.name)) for f in fields(batch)})


@dataclass(frozen=True)
class ClassPrior:
    """What a model may know before its first step; see `arena.model.heads`.

    Attributes:
        shares: shares of the classes that its first predictions should have, `[K]` float64; with several heads the
            shares of each head's classes side by side, `[C]`.
        words: token ids of the answer word of each class, `[K]` int64; None where the template has none.
    """

    shares: Tensor
    words: Tensor | None = None


@dataclass
class TokenLogits:
    """What a language model says of the M target tokens of a batch, before the vocabulary's width is paid for.

    A row of logits has 150 thousand numbers in the vocabularies of today, a state a thousand: whoever needs logits
    takes them a chunk at a time from `head`.

    Attributes:
        states: hidden state from which each token is predicted, `[M, H]`.
        target: id of each token, `[M]` int64.
        pair: which of the N pairs of the batch it belongs to, `[M]` int64.
        head: states `[m, H]` -> logits `[m, V]`.
        vocabulary: V.
    """

    states: Tensor
    target: Tensor
    pair: Tensor
    head: Callable[[Tensor], Tensor]
    vocabulary: int


@dataclass
class LossOutput:
    """What a loss returns.

    Attributes:
        loss: scalar in nats, the mean over `n` supervised items, so that epoch means weighted by `n` are exact.
        n: number of supervised items (rows, labels or tokens).
        parts: named scalars worth logging beside the loss, detached.
    """

    loss: Tensor
    n: int
    parts: dict[str, Tensor]


def precise(logits: Tensor) -> Tensor:
    """The logits as float64, float32 on a device without it: of a very sure model a softmax in float32 is 1 and 0."""
    return logits.float() if logits.device.type == "mps" else logits.double()
