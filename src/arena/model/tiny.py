"""A very small transformer that learns to judge from scratch, in seconds and on a CPU: for tests and first runs."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.core.schema import Count, Share, WholeNumber
from arena.core.types import ClassPrior, TextBatch
from arena.model.formulation import TieModel, with_offset
from arena.model.heads import HeadSettings, MultiHeadClassifier, MultiHeadOutput, pairing_of


class TinyClassifier(nn.Module):
    """Bytes (or any ids) -> convolution -> pre-norm transformer -> pooled segments -> logits.

    The convolution sees the neighbours of every id; of each block of `stride` ids only the largest response stays, so
    that a phrase counts wherever it begins and attention has few positions. Positions themselves are not told apart.

    A segment is what lies between two separators; its number is the running count of separator ids. The head reads
    each segment's part of the mean over the row side by side, so it can weigh answer A against answer B.

    What lies behind a row's last token changes nothing, nor do the other rows of the batch.

    Args:
        labels: names of the classes; K of them. Or the classes of each of several heads.
        formulation: joint, symmetric or score, see `arena.model.formulation`.
        ties: how two scores make a tie (score only).
        vocabulary_size: number of ids.
        separator: the id that ends a segment; None if there are none.
        segments: segments that the head tells apart; the last also takes all that follow it.
        width: hidden width H.
        layers: transformer layers.
        heads: attention heads.
        stride: ids per position of the transformer.
        dropout: share of hidden values set to 0 in training (none inside attention).
        input_dropout: share of ids that the convolution does not see in training, as if they were padding: a model
            that starts from nothing otherwise learns the training rows by heart (Iyyer et al. 2015, word dropout).
        head: how each of several heads is built.
    """

    head: Any

    def __init__(
        self,
        labels: list[str] | dict[str, list[str]],
        formulation: Literal["joint", "symmetric", "score"] = "joint",
        ties: TieModel = "davidson",
        vocabulary_size: Count = 260,
        separator: WholeNumber | None = 258,
        segments: Count = 3,
        width: Count = 32,
        layers: Count = 1,
        heads: Count = 4,
        stride: Count = 8,
        dropout: Share = 0.1,
        input_dropout: Share = 0.3,
        head: HeadSettings | None = None,
    ) -> None:
        super().__init__()
        self.separator = separator
        self.segments = segments
        self.stem = Stem(vocabulary_size, width, stride, input_dropout)
        self.segment = nn.Embedding(segments, width)
        self.layers = nn.ModuleList([Layer(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.pairing: Any = pairing_of(labels, formulation, ties)
        if isinstance(self.pairing, MultiHeadOutput):
            self.head = MultiHeadClassifier(self.pairing.heads, segments * width, head or HeadSettings())
            return
        self.head = nn.Linear(segments * width, self.pairing.outputs)
        # The first predictions are then uniform and the first loss is ln K.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def init_from_class_prior(self, start: ClassPrior) -> None:
        """Let two equal answers tie as often as the training rows do; the bias of a single head stays at zero."""
        shares = self.pairing.init_from_class_prior(start)
        if isinstance(self.head, MultiHeadClassifier):
            self.head.set_bias(shares.log())

    def forward(self, batch: TextBatch) -> Tensor:
        """Logits `[N, K]` float32 of a batch of `[V * N, L]` ids."""
        shares = self._shares(batch.input_ids, batch.attention_mask)
        hidden = self.stem(batch.input_ids, batch.attention_mask) + shares @ self.segment.weight
        visible = shares.sum(2) > 0
        visible[:, 0] = True  # attention over nothing would be NaN
        for layer in self.layers:
            hidden = layer(hidden, visible[:, None, None, :])
        return with_offset(self.pairing(self._classify(hidden, shares), len(batch)), batch)

    def _shares(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """`[N, P, S]` float32: the part of each of the P blocks that belongs to each segment; padding to none."""
        ends = input_ids == (-1 if self.separator is None else self.separator)
        segment = (ends.cumsum(1) - ends.long()).clamp(max=self.segments - 1)
        member = functional.one_hot(segment, self.segments) * mask[..., None]
        return blocks(member.float(), self.stem.stride).mean(2)

    def _classify(self, hidden: Tensor, shares: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = self.dropout(self.norm(hidden.float()))
            parts = torch.einsum("nps,nph->nsh", shares, hidden) * self.segments
            length = shares.sum((1, 2)).clamp(min=1e-6)
            return self.head(parts.flatten(1) / length[:, None])


def blocks(values: Tensor, stride: int) -> Tensor:
    """`[N, L, X]` -> `[N, P, stride, X]` with P = ceil(L / stride), and zeros behind the end."""
    return functional.pad(values, (0, 0, 0, -values.shape[1] % stride)).unflatten(1, (-1, stride))


class Stem(nn.Module):
    """Embeds ids and describes each block of `stride` of them: `[N, L]` ids -> `[N, P, H]`, P = ceil(L / stride)."""

    def __init__(self, vocabulary_size: int, width: int, stride: int, dropout: float, kernel: int = 7) -> None:
        super().__init__()
        self.stride = stride
        self.dropout = dropout
        self.embedding = nn.Embedding(vocabulary_size, width // 2)
        self.convolution = nn.Conv2d(width // 2, width, (1, kernel), padding=(0, kernel // 2))
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """`mask` is 1 where there is an id; everything else is read as zeros, whatever the other rows need there."""
        if self.training and self.dropout:
            mask = mask * (torch.rand(mask.shape, device=mask.device) >= self.dropout)
        values = blocks(self.embedding(input_ids) * mask[..., None], self.stride).flatten(1, 2)
        # As an image one pixel high whose channels lie last: twice as fast as Conv1d, which must copy to transpose.
        values = self.convolution(values[:, None].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)[:, 0]
        return functional.gelu(blocks(values, self.stride).amax(2))


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, visible: Tensor) -> Tensor:
        """`[N, P, H]` -> `[N, P, H]`; `visible` `[N, 1, 1, P]` is True where there is something to attend to."""
        split = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        hidden = hidden + self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
