"""A very small transformer that learns to judge from scratch, in seconds and on a CPU: for tests and first runs."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arena.core.schema import Count, Share, WholeNumber
from arena.core.shapes import Bool, Float, Int
from arena.core.types import ClassPrior, TextBatch
from arena.model.formulation import TieModel, with_offset
from arena.model.heads import HeadSettings, MultiHeadClassifier, MultiHeadOutput, load_renamed_output, output_of


class TinyClassifier(nn.Module):
    """Bytes (or any ids) -> convolution -> pre-norm transformer -> pooled segments -> logits.

    The convolution sees the neighbours of every id; of each block of `stride` ids only the largest response stays, so
    that a phrase counts wherever it begins and attention has few positions, which are not told apart. Segments end with
    separators. The head reads each segment's part of the mean over the row side by side, so it can weigh answer A
    against answer B. Neither padding nor the other rows of the batch change a row.

    `input_dropout` is the share of ids that the convolution reads as padding in training: a model without pretrained
    weights otherwise learns the training rows by heart (Iyyer et al. 2015, word dropout). Attention has no dropout.
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
        self.separator, self.segments = separator, segments
        self.stem = Stem(vocabulary_size, width, stride, input_dropout)
        self.segment = nn.Embedding(segments, width)
        self.layers = nn.ModuleList([Layer(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.output: Any = output_of(labels, formulation, ties)
        self.register_load_state_dict_pre_hook(load_renamed_output)
        if isinstance(self.output, MultiHeadOutput):
            self.head = MultiHeadClassifier(self.output.heads, segments * width, head or HeadSettings())
            return
        self.head = nn.Linear(segments * width, self.output.outputs)
        # The first predictions are then uniform and the first loss is ln K.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def init_from_class_prior(self, class_prior: ClassPrior) -> None:
        """Let two equal answers tie as often as the training rows do; the bias of a single head stays at zero."""
        shares = self.output.init_from_class_prior(class_prior)
        if isinstance(self.head, MultiHeadClassifier):
            self.head.set_bias(shares.log())

    def forward(self, batch: TextBatch) -> Float[Tensor, "N K"]:
        """Compute logits, float32."""
        shares = self._shares(batch.input_ids, batch.attention_mask)
        hidden = self.stem(batch.input_ids, batch.attention_mask) + shares @ self.segment.weight
        visible = shares.sum(2) > 0
        visible[:, 0] = True  # attention over nothing would be NaN
        for layer in self.layers:
            hidden = layer(hidden, visible[:, None, None, :])
        return with_offset(self.output(self._classify(hidden, shares), len(batch)), batch)

    def _shares(self, input_ids: Int[Tensor, "S L"], mask: Int[Tensor, "S L"]) -> Float[Tensor, "S P G"]:
        """Compute the part of each of the P blocks that belongs to each of the G segments; padding to none."""
        ends = input_ids == (-1 if self.separator is None else self.separator)
        segment = (ends.cumsum(1) - ends.long()).clamp(max=self.segments - 1)
        member = functional.one_hot(segment, self.segments) * mask[..., None]
        return blocks(member.float(), self.stem.stride).mean(2)

    def _classify(self, hidden: Float[Tensor, "S P H"], shares: Float[Tensor, "S P G"]) -> Float[Tensor, "S C"]:
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = self.dropout(self.norm(hidden.float()))
            parts = torch.einsum("nps,nph->nsh", shares, hidden) * self.segments
            length = shares.sum((1, 2)).clamp(min=1e-6)
            return self.head(parts.flatten(1) / length[:, None])


def blocks(values: Float[Tensor, "S L X"], stride: int) -> Float[Tensor, "S P stride X"]:
    """Cut sequences into P = ceil(L / stride) blocks, with zeros after the end."""
    return functional.pad(values, (0, 0, 0, -values.shape[1] % stride)).unflatten(1, (-1, stride))


class Stem(nn.Module):
    """Embedding and convolution of ids, and their largest response in each block of `stride` of them."""

    def __init__(self, vocabulary_size: int, width: int, stride: int, dropout: float, kernel: int = 7) -> None:
        super().__init__()
        self.stride = stride
        self.dropout = dropout
        self.embedding = nn.Embedding(vocabulary_size, width // 2)
        self.convolution = nn.Conv2d(width // 2, width, (1, kernel), padding=(0, kernel // 2))
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, input_ids: Int[Tensor, "S L"], mask: Int[Tensor, "S L"]) -> Float[Tensor, "S P H"]:
        """Compute the states of the P blocks; padding is read as zeros, whatever the other rows need there."""
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

    def forward(self, hidden: Float[Tensor, "S P H"], visible: Bool[Tensor, "S 1 1 P"]) -> Float[Tensor, "S P H"]:
        """Compute the next states; blocks that are not `visible` are not attended to."""
        split = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        hidden = hidden + self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
