"""A very small transformer that learns to judge from scratch, in seconds and on a CPU: for tests and first runs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.schema import Count, Share, WholeNumber
from arena.types import TextBatch


class TinyClassifier(nn.Module):
    """Bytes (or any ids) -> convolution -> pre-norm transformer -> mean of each segment -> logits.

    A convolution reads the neighbourhood of each id and shortens the sequence `stride` times, so attention costs
    `stride` squared times less. A segment is what lies between two separators: its number is the running count of
    separator ids. The head reads the means of the segments side by side, so it can hold answer A against answer B.

    Nothing else tells positions apart: inside a segment the transformer sees a bag of short pieces of text.
    What lies behind a row's last token changes nothing, nor do the other rows of the batch.

    Args:
        labels: names of the classes; K of them.
        vocabulary_size: number of ids.
        separator: the id that ends a segment; None if there are none.
        segments: segments that the head tells apart; the last also takes all that follow it.
        width: hidden width H.
        layers: transformer layers.
        heads: attention heads.
        stride: ids per position of the transformer.
        dropout: share of hidden values set to 0 in training (none inside attention).
    """

    def __init__(
        self,
        labels: list[str],
        vocabulary_size: Count = 260,
        separator: WholeNumber | None = 258,
        segments: Count = 3,
        width: Count = 64,
        layers: Count = 2,
        heads: Count = 4,
        stride: Count = 4,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.labels = list(labels)
        self.separator = separator
        self.segments = segments
        self.stem = Stem(vocabulary_size, width, stride)
        self.segment = nn.Embedding(segments, width)
        self.layers = nn.ModuleList([Layer(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(segments * width, len(labels))
        # The first predictions are then uniform and the first loss is ln K.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: TextBatch) -> Tensor:
        """Logits `[N, K]` float32 of a batch of `[N, L]` ids."""
        mask = batch.attention_mask.bool()
        share = self._shares(batch.input_ids, mask)
        hidden = self.stem(batch.input_ids, mask) + share @ self.segment.weight
        visible = share.sum(-1) > 0
        visible[:, 0] = True  # attention over nothing would be NaN
        for layer in self.layers:
            hidden = layer(hidden, visible[:, None, None, :])
        return self._classify(hidden, share)

    def _shares(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """`[N, P, S]` float32: the part of each of the P positions that belongs to each segment; padding to none."""
        if self.separator is None:
            segment = torch.zeros_like(input_ids)
        else:
            is_separator = input_ids == self.separator
            segment = (is_separator.cumsum(1) - is_separator.long()).clamp(max=self.segments - 1)
        one_hot = functional.one_hot(segment, self.segments) * mask[..., None]
        return self.stem.blocks(one_hot.float()).mean(2)

    def _classify(self, hidden: Tensor, share: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = self.dropout(self.norm(hidden.float()))
            total = share.sum(1)[..., None].clamp(min=1e-6)
            means = torch.einsum("nps,nph->nsh", share, hidden) / total
            return self.head(means.flatten(1))


class Stem(nn.Module):
    """Embeds ids and joins each with its neighbours: `[N, L]` ids -> `[N, P, H]`, P = ceil(L / stride)."""

    def __init__(self, vocabulary_size: int, width: int, stride: int, kernel: int = 5) -> None:
        super().__init__()
        self.stride = stride
        self.embedding = nn.Embedding(vocabulary_size, width // 2)
        self.near = nn.Conv1d(width // 2, width, kernel, padding=kernel // 2)
        self.far = nn.Conv1d(width, width, stride + 2 * (stride // 2), stride=stride, padding=stride // 2)
        nn.init.normal_(self.embedding.weight, std=0.5)

    def blocks(self, values: Tensor) -> Tensor:
        """`[N, L, X]` -> `[N, P, stride, X]`, with zeros behind the end."""
        missing = -values.shape[1] % self.stride
        return functional.pad(values, (0, 0, 0, missing)).unflatten(1, (-1, self.stride))

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        present = mask[..., None].to(self.embedding.weight.dtype)
        values = self.blocks(self.embedding(input_ids) * present).flatten(1, 2)
        present = self.blocks(present).flatten(1, 2)
        values = functional.gelu(self.near(values.mT)) * present.mT
        return self.far(values).mT


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
