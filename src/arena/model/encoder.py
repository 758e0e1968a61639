"""A transformer backbone of the hub with arena's own pooling and head."""

import inspect
import logging
from typing import Any, Literal

import torch
from torch import Tensor, nn

from arena.core.errors import InputOutputError, UsageError
from arena.core.schema import Share, WholeNumber
from arena.core.shapes import Float, Int
from arena.core.types import ClassPrior, TextBatch
from arena.model.adapter import Adapter
from arena.model.backbone import HubModel, reinitialize, stored_rows
from arena.model.formulation import Formulation, TieModel, with_offset
from arena.model.heads import HeadSettings, MultiHeadClassifier, MultiHeadOutput, load_renamed_output, output_of
from arena.model.pooling import Pool, Pooling

log = logging.getLogger("arena")
SCORE_HEADS = ("score.weight", "classifier.weight", "v_head.weight")
WORD_HEADS = ("lm_head.weight", "output.weight")
"""The names under which folders of the hub keep the head of a classifier and that of a language model."""


class SequenceClassifier(HubModel):
    """Backbone states -> pooled state `[S, H]` -> head `[S, C]` -> logits `[N, K]` (`arena.model.formulation`).

    The head is float32, outside of any adapter, and its weights start at zero: the first loss is known exactly (ln K,
    or the entropy of the training classes), and a wrong start cannot hide. The backbone never keeps a cache of keys and
    values. A verbalizer's head is the language model's own, for the answer words of the template only: it works without
    training. Options: conf/model/_encoder.yaml. The head's bias starts at the log shares of the training classes (Lin
    et al., arXiv 1708.02002, section 3.3), so no step is spent on learning them. With a `separator` (BERT's two token
    types) the text after the second one, answer B, gets type 1. Top layers that start again at random helped with few
    rows and short training (Zhang et al., arXiv 2006.05987).
    """

    word_ids: Tensor
    head: Any

    def __init__(
        self,
        labels: list[str] | dict[str, list[str]],
        name: str,
        architecture: dict,
        path: str | None = None,
        package: str | None = None,
        pretrained: bool = True,
        formulation: Formulation = "joint",
        ties: TieModel = "davidson",
        adapter: Adapter | None = None,
        pooling: Pooling = "last",
        hidden_dropout: Share | None = None,
        attention_dropout: Share = 0.0,
        head_dropout: Share = 0.1,
        head_bias: bool = True,
        head_norm: bool = False,
        length_features: bool = False,
        start: Literal["uniform", "prior", "pretrained"] = "prior",
        tune_words: bool = False,
        gradient_checkpointing: bool = False,
        separator: WholeNumber | None = None,
        reinit_layers: WholeNumber = 0,
        head: HeadSettings | None = None,
    ) -> None:
        if reinit_layers and adapter is not None and adapter.method != "none":
            raise UsageError(f"model.reinit_layers={reinit_layers}: adapters freeze the layers; take adapter=none")
        output = output_of(labels, formulation, ties)
        super().__init__(
            name, architecture, path, package, pretrained, adapter, hidden_dropout, attention_dropout,
            gradient_checkpointing,
        )  # fmt: skip
        self.output: Any = output
        self.register_load_state_dict_pre_hook(load_renamed_output)
        self.start, self.separator = start, separator
        self.words, width = formulation == "verbalizer", self.config.hidden_size
        many = isinstance(output, MultiHeadOutput)
        if reinit_layers and self.folder is not None:
            reinitialize(self.backbone, reinit_layers)
            log.info("new: the top %d of %d layers", reinit_layers, self.config.num_hidden_layers)
        self._knows = set(inspect.signature(type(self.bare).forward).parameters)
        self.pool = Pool("last" if self.words else pooling, width)
        self.norm = nn.LayerNorm(width, bias=False) if head_norm and not self.words else nn.Identity()
        self.dropout = nn.Dropout(0.0 if self.words or many else head_dropout)
        self.lengths = (1 if formulation == "score" else 2) if length_features and not self.words else 0
        if many:
            self.head = MultiHeadClassifier(output.heads, width, head or HeadSettings())
        else:
            bias = head_bias and formulation in ("joint", "symmetric")
            self.head = nn.Linear(width + self.lengths, output.outputs, bias=bias)
            for parameter in self.head.parameters():
                nn.init.zeros_(parameter)
            self.head.requires_grad_(tune_words or not self.words)
        if self.words:
            self.register_buffer("word_ids", torch.zeros(output.outputs, dtype=torch.long))
        elif start == "pretrained":
            self._load_head()
        origin = "the language model's" if self.words else "the folder's" if start == "pretrained" else "new"
        weights = sum(parameter.numel() for parameter in self.head.parameters() if parameter.ndim > 1)
        log.info("head: %s, %d weights", origin, weights)

    def init_from_class_prior(self, class_prior: ClassPrior) -> None:
        """Start the head at the class shares, or at the language model's rows for the answer words."""
        shares = self.output.init_from_class_prior(class_prior)
        with torch.no_grad():
            if self.words:
                assert class_prior.words is not None, "the template has no words"
                self.word_ids.copy_(class_prior.words)
                self.head.weight.copy_(self._word_rows(class_prior.words))
            elif self.start == "prior" and isinstance(self.head, MultiHeadClassifier):
                self.head.set_bias(shares.log())
            elif self.start == "prior" and self.head.bias is not None:
                self.head.bias.copy_(shares.log())

    def forward(self, batch: TextBatch) -> Float[Tensor, "N K"]:
        """Compute logits in float32."""
        outputs = self.read(batch)
        with torch.autocast(outputs.device.type, enabled=False):
            return with_offset(self.output(outputs, len(batch)), batch)

    def read(self, batch: TextBatch) -> Float[Tensor, "S C"]:
        """Compute the outputs of the head for each sequence in float32."""
        # No mask at all where nothing is padded: attention then takes its fastest kernel. The shape of the batch and
        # its mask live on the host only on a CPU, so only there is the question free.
        mask = batch.attention_mask
        unpadded = mask.device.type == "cpu" and bool(mask.all())
        options: dict[str, Any] = {} if unpadded else {"attention_mask": mask} | self._positions(mask)
        types = token_types(batch.input_ids, self.separator)
        if types is not None:
            options["token_type_ids"] = types
        if getattr(self.config, "use_cache", None) is not None:
            options["use_cache"] = False
        if self.pool.needs_all_layers:
            options["output_hidden_states"] = True
        states = self.backbone(input_ids=batch.input_ids, **options)
        with torch.autocast(mask.device.type, enabled=False):
            pooled = self.pool(states.last_hidden_state, getattr(states, "hidden_states", None), mask)
            features = self.dropout(self.norm(pooled.float()))
            if self.lengths:
                features = torch.cat([features, lengths_of(batch, len(pooled), self.lengths)], dim=1)
            outputs = self.head(features)
            cap = getattr(self.config, "final_logit_softcapping", None)
            return cap * torch.tanh(outputs / cap) if cap and self.words else outputs

    def _positions(self, mask: Int[Tensor, "S L"]) -> dict[str, Tensor]:
        """Make positions that count real tokens, for rows that are padded on the left; none otherwise."""
        on_host_and_right = mask.device.type == "cpu" and bool(mask[:, 0].all())
        if on_host_and_right or "position_ids" not in self._knows:
            return {}
        return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}

    def _word_rows(self, words: Int[Tensor, " K"]) -> Float[Tensor, "K H"]:
        """Read the language model's output weights for some tokens."""
        rows = None
        if self.folder is not None and not getattr(self.config, "tie_word_embeddings", False):
            rows = stored_rows(self.folder, WORD_HEADS, words.tolist())
        return self.backbone.get_input_embeddings().weight[words].detach().float() if rows is None else rows

    def _load_head(self) -> None:
        """Load the head of the folder."""
        if self.folder is None:
            raise UsageError("model.start=pretrained needs model.pretrained=true: random weights have no head")
        found = stored_rows(self.folder, SCORE_HEADS)
        if found is None or found.shape != self.head.weight.shape:
            shape = "none" if found is None else list(found.shape)
            raise InputOutputError(
                f"model.start=pretrained: {self.folder} has no head of shape {list(self.head.weight.shape)} "
                f"(found: {shape}); take model.start=uniform"
            )
        with torch.no_grad():
            self.head.weight.copy_(found)


def lengths_of(batch: TextBatch, sequences: int, number: int) -> Float[Tensor, "S number"]:
    """Compute the log lengths of the answers that each sequence shows, about 0 for 128 tokens.

    `number` is 1 where a sequence shows one answer (the first half A, the second B), 2 where it shows both in order.
    """
    if batch.answer_tokens is None:
        raise UsageError("model.length_features=true: the data do not say how long the answers are")
    logarithms = ((batch.answer_tokens + 1).float() / 128).log()
    if number == 1:
        return torch.cat([logarithms[:, :1], logarithms[:, 1:]])
    return logarithms if sequences == len(batch) else torch.cat([logarithms, logarithms.flip(1)])


def token_types(input_ids: Int[Tensor, "S L"], separator: int | None) -> Int[Tensor, "S L"] | None:
    """Make token types: 1 after the second separator of a row, else 0; None without a separator."""
    if separator is None:
        return None
    is_separator = (input_ids == separator).long()
    return (is_separator.cumsum(1) - is_separator >= 2).long()
