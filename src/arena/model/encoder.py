"""A transformer backbone of the hub with arena's own pooling and head."""

import inspect
import logging
from typing import Any, Literal

import torch
from torch import Tensor, nn

from arena.core.errors import InputOutputError, UsageError
from arena.core.schema import Share, WholeNumber
from arena.core.types import ClassPrior, TextBatch
from arena.model.adapter import Adapter
from arena.model.backbone import Backbone, HubModel, start_anew, stored_rows
from arena.model.formulation import Formulation, TieModel, with_offset
from arena.model.heads import HeadSettings, MultiHeadClassifier, MultiHeadOutput, pairing_of
from arena.model.pooling import Pool, Pooling

log = logging.getLogger("arena")
SCORE_HEADS = ("score.weight", "classifier.weight", "v_head.weight")
WORD_HEADS = ("lm_head.weight", "output.weight")
"""The names under which folders of the hub keep the head of a classifier and that of a language model."""


class SequenceClassifier(HubModel):
    """Backbone states -> pooled state `[V * N, H]` -> head `[V * N, C]` -> logits `[N, K]` (`arena.model.formulation`).

    The head is float32, outside of any adapter, and its weights start at zero: the first loss is known exactly (ln K,
    or the entropy of the training classes), and a wrong start cannot hide. The backbone never keeps a cache of keys and
    values. Of a backbone with adapters only these are trained, saved and restored; the rest is found again where it was
    (`recoverable`), and a fingerprint insists that it is the same.

    Args:
        labels: names of the K classes, or of the classes of each head.
        name: hub id of the backbone.
        architecture: the published architecture (`model_type` and sizes), used where `pretrained` is false.
        path: a local folder that is used instead of the hub.
        package: an installed Python package that carries the model.
        pretrained: false builds the same architecture with random weights and needs no file.
        formulation: joint, symmetric, score or verbalizer, see `PairwiseOutput`. A verbalizer's head is the language
            model's own, for the answer words of the template only: it works without training.
        ties: how two scores make a tie (score only).
        adapter: see `arena.model.adapter`; None trains the whole backbone.
        pooling: see `arena.model.pooling`.
        hidden_dropout: dropout of the backbone's hidden states; null keeps what the backbone was published with.
        attention_dropout: dropout of attention probabilities. 0 by default: on a CPU it leaves the flash kernel and
            doubles the cost of a step, and hidden dropout regularises as well.
        head_dropout: dropout before the head.
        head_bias: whether the head has a bias. The hub's classifiers over causal models have none.
        head_norm: a layer norm (without offset) before the head, as the hub's ModernBERT classifiers have.
        length_features: give the head the logarithms of the answers' lengths as well: a pooled state knows them badly,
            and people do prefer longer answers (or not; the head learns which).
        start: `prior` starts the head's bias at the log shares of the training classes (Lin et al., arXiv 1708.02002,
            section 3.3), so no step is spent on learning them; `uniform` starts it at zero; `pretrained` takes the
            head of the folder (a reward model's, say).
        tune_words: whether a verbalizer's head is trained too.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more time.
        reinit_layers: the top n layers of pretrained weights start anew (Zhang et al., arXiv 2006.05987): they know
            most about the task of before. It helped with few rows and short training.
        separator: id of the separator between prompt, A and B, for backbones with two token types (BERT): what follows
            the second one (answer B) gets type 1, as BERT's own second texts do. Null gives every token type 0.
        head: how each of several heads is built (`task=multihead`); its `dropout` stands for `head_dropout`.

    Raises:
        InputOutputError: the weights cannot be found or do not fill the backbone.
        UsageError: the classes do not fit the formulation, an adapter's target does not exist, or layers that start
            anew are more than there are, or frozen.
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
        super().__init__()
        self.start, self.separator = start, separator
        if reinit_layers and adapter is not None and adapter.method != "none":
            raise UsageError(f"model.reinit_layers={reinit_layers}: adapters freeze the layers; take adapter=none")
        self.pairing: Any = pairing_of(labels, formulation, ties)
        many = isinstance(self.pairing, MultiHeadOutput)
        dropout = hidden_dropout, attention_dropout
        loaded = self.take(name, architecture, path, package, pretrained, adapter, dropout, gradient_checkpointing)
        self.reinit_layers = reinit_layers if self.folder is not None else 0
        if self.reinit_layers:
            start_anew(loaded.module, reinit_layers)
        self._knows = set(inspect.signature(type(loaded.module).forward).parameters)
        self.backbone: Any = self.adapter.attach(loaded.module)
        self._add_head(pooling, 0.0 if many else head_dropout, head_norm, length_features)
        self._add_logits(head or HeadSettings(), head_bias, tune_words)
        if start == "pretrained" and formulation != "verbalizer":
            self._take_head()
        # transformers hands out pretrained modules switched to evaluation, and Lightning leaves them so: without this
        # line the backbone would train without dropout.
        self.train()
        log.info("%s", self._story(loaded))

    def _add_head(self, pooling: Pooling, dropout: float, norm: bool, length_features: bool) -> None:
        """What stands between the backbone's states and the head."""
        width = self.config.hidden_size
        words = self.pairing.formulation == "verbalizer"
        self.pool = Pool("last" if words else pooling, width)
        self.norm = nn.LayerNorm(width, bias=False) if norm and not words else nn.Identity()
        self.dropout = nn.Dropout(0.0 if words else dropout)
        self.lengths = (1 if self.pairing.formulation == "score" else 2) if length_features and not words else 0

    def _add_logits(self, settings: HeadSettings, bias: bool, tune_words: bool) -> None:
        """One head for each of several classifications, or the linear one of a single; they start at zero."""
        if isinstance(self.pairing, MultiHeadOutput):
            self.head = MultiHeadClassifier(self.pairing.heads, self.config.hidden_size, settings)
            return
        words = self.pairing.formulation == "verbalizer"
        bias = bias and self.pairing.formulation in ("joint", "symmetric")
        self.head = nn.Linear(self.config.hidden_size + self.lengths, self.pairing.outputs, bias=bias)
        nn.init.zeros_(self.head.weight)
        if bias:
            nn.init.zeros_(self.head.bias)
        self.head.requires_grad_(tune_words or not words)
        if words:
            self.register_buffer("word_ids", torch.zeros(self.pairing.outputs, dtype=torch.long))

    def init_from_class_prior(self, start: ClassPrior) -> None:
        """Give the head what is known before the first step: class shares, or the language model's answer words."""
        shares = self.pairing.init_from_class_prior(start)
        if self.pairing.formulation == "verbalizer":
            assert start.words is not None, "the template has no words"
            with torch.no_grad():
                self.word_ids.copy_(start.words)
                self.head.weight.copy_(self._word_rows(start.words))
        elif self.start == "prior" and isinstance(self.head, MultiHeadClassifier):
            self.head.set_bias(shares.log())
        elif self.start == "prior" and self.head.bias is not None:
            with torch.no_grad():
                self.head.bias.copy_(shares.log())

    def forward(self, batch: TextBatch) -> Tensor:
        """Logits `[N, K]` in float32."""
        outputs = self.read(batch)
        with torch.autocast(outputs.device.type, enabled=False):
            return with_offset(self.pairing(outputs, len(batch)), batch)

    def read(self, batch: TextBatch) -> Tensor:
        """What the head says of each sequence, `[V * N, C]` in float32."""
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
        output = self.backbone(input_ids=batch.input_ids, **options)
        with torch.autocast(mask.device.type, enabled=False):
            pooled = self.pool(output.last_hidden_state, getattr(output, "hidden_states", None), mask)
            features = self.dropout(self.norm(pooled.float()))
            if self.lengths:
                features = torch.cat([features, lengths_of(batch, len(pooled), self.lengths)], dim=1)
            outputs = self.head(features)
            cap = getattr(self.config, "final_logit_softcapping", None)
            if cap and self.pairing.formulation == "verbalizer":
                outputs = cap * torch.tanh(outputs / cap)
            return outputs

    def _positions(self, mask: Tensor) -> dict[str, Tensor]:
        """Positions that count real tokens, for rows that are padded on the left; nothing to say otherwise."""
        on_host_and_right = mask.device.type == "cpu" and bool(mask[:, 0].all())
        if on_host_and_right or "position_ids" not in self._knows:
            return {}
        return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}

    def _word_rows(self, words: Tensor) -> Tensor:
        """The language model's output weights for some tokens, `[K, H]`."""
        rows = None
        if self.folder is not None and not getattr(self.config, "tie_word_embeddings", False):
            rows = stored_rows(self.folder, WORD_HEADS, words.tolist())
        return self.backbone.get_input_embeddings().weight[words].detach().float() if rows is None else rows

    def _take_head(self) -> None:
        """The head that lies in the folder.

        Raises:
            UsageError: random weights have none.
            InputOutputError: the folder has none of this shape.
        """
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

    def _story(self, loaded: Backbone) -> str:
        """What was loaded, what is new and what of the folder is not used, in one line."""
        total = sum(p.numel() for p in loaded.module.parameters()) / 1e6
        words = self.pairing.formulation == "verbalizer"
        head = "the language model's rows for the answer words" if words else f"the head ({_size(self.head)})"
        kind = "from the folder" if self.start == "pretrained" and not words else "new"
        size = f"{self.config.model_type}, {total:.1f}M parameters of the backbone"
        parts = [f"model {self.name}: {size} from {loaded.source}"]
        parts.append(f"the head: {head}" if words else f"{kind}: {head}")
        if self.adapter.method != "none":
            trained = sum(p.numel() for p in self.backbone.parameters() if p.requires_grad)
            parts.append(f"new: {self.adapter.method} adapters ({trained}), the backbone is frozen")
        if self.reinit_layers:
            parts.append(f"new: the top {self.reinit_layers} of {self.config.num_hidden_layers} layers")
        if loaded.ignored:
            parts.append(f"not used: {', '.join(loaded.ignored[:4])}{' ...' if len(loaded.ignored) > 4 else ''}")
        return "; ".join(parts)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


def lengths_of(batch: TextBatch, sequences: int, number: int) -> Tensor:
    """Logarithms of the lengths of the answers that each sequence shows, `[V * N, number]`, about 0 for 128 tokens.

    Args:
        batch: with `answer_tokens`.
        sequences: V * N.
        number: 1 where a sequence shows one answer (the first half A, the second B), 2 where it shows both in order.

    Raises:
        UsageError: the batch does not say how long the answers are.
    """
    if batch.answer_tokens is None:
        raise UsageError("model.length_features=true: the data do not say how long the answers are")
    logarithms = ((batch.answer_tokens + 1).float() / 128).log()
    if number == 1:
        return torch.cat([logarithms[:, :1], logarithms[:, 1:]])
    return logarithms if sequences == len(batch) else torch.cat([logarithms, logarithms.flip(1)])


def token_types(input_ids: Tensor, separator: int | None) -> Tensor | None:
    """1 for what follows the second separator of a row, else 0, `[N, L]`; None without a separator."""
    if separator is None:
        return None
    is_separator = (input_ids == separator).long()
    return (is_separator.cumsum(1) - is_separator >= 2).long()
