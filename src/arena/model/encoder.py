"""A transformer backbone of the hub with arena's own pooling and head."""

import inspect
import logging
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from arena import hub
from arena.errors import InputOutputError, UsageError
from arena.model.pooling import pool
from arena.schema import Share, WholeNumber
from arena.types import TextBatch

log = logging.getLogger("arena")

ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT = ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout")
"""The names that the architectures of the hub give to the two kinds of dropout."""


class SequenceClassifier(nn.Module):
    """Backbone states -> pooled state `[N, H]` -> logits `[N, K]`.

    The head is float32 and its weights start at zero: the first loss is known exactly (ln K, or the entropy of the
    training classes), and a wrong start cannot hide. The backbone never keeps a cache of keys and values.

    Args:
        labels: names of the K classes.
        name: hub id of the backbone.
        path: a local folder that is used instead of the hub.
        package: an installed Python package that carries the model.
        pretrained: false builds the same architecture with random weights and needs no file.
        architecture: the published architecture (`model_type` and sizes), used where `pretrained` is false.
        pooling: see `arena.model.pooling.pool`.
        hidden_dropout: dropout of the backbone's hidden states; null keeps what the backbone was published with.
        attention_dropout: dropout of attention probabilities. 0 by default: on a CPU it leaves the flash kernel and
            doubles the cost of a step, and hidden dropout regularises as well.
        head_dropout: dropout before the head.
        start: `prior` starts the head's bias at the log shares of the training classes (Lin et al., arXiv 1708.02002,
            section 3.3), so no step is spent on learning them; `uniform` starts it at zero.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more time.

        separator: id of the separator between prompt, A and B, for backbones with two token types (BERT): what follows
            the second one (answer B) gets type 1, as BERT's own second texts do. Null gives every token type 0.

    Raises:
        InputOutputError: the weights cannot be found or do not fill the backbone.
    """

    def __init__(
        self,
        labels: list[str],
        name: str,
        architecture: dict,
        path: str | None = None,
        package: str | None = None,
        pretrained: bool = True,
        pooling: Literal["first", "last", "mean"] = "last",
        hidden_dropout: Share | None = None,
        attention_dropout: Share = 0.0,
        head_dropout: Share = 0.1,
        gradient_checkpointing: bool = False,
        start: Literal["uniform", "prior"] = "prior",
        separator: WholeNumber | None = None,
    ) -> None:
        super().__init__()
        self.start = start
        self.separator = separator
        self.pooling = pooling
        changes = _dropouts(architecture["model_type"], hidden_dropout, attention_dropout)
        if pretrained:
            backbone, source = _load(hub.locate(name, path, package), name, changes)
        else:
            backbone, source = _build(architecture, changes), "random weights"
        self.backbone: Any = backbone
        if gradient_checkpointing:
            # Renamed in transformers 5.23. Its default is the form that needs no gradient of the input.
            new_name = getattr(self.backbone, "activation_checkpointing_enable", None)
            (new_name or self.backbone.gradient_checkpointing_enable)()
        width = self.backbone.config.hidden_size
        self.dropout = nn.Dropout(head_dropout)
        self.head = nn.Linear(width, len(labels))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        count = sum(p.numel() for p in self.backbone.parameters())
        new = sum(p.numel() for p in self.head.parameters())
        log.info(
            "model %s: %.1fM parameters of the backbone from %s; new: the head (%d)", name, count / 1e6, source, new
        )

    def start_at(self, class_counts: Tensor) -> None:
        """Tell the head how many training rows each class has, `[K]`; one is added to each, so none is impossible."""
        if self.start == "prior":
            shares = (class_counts.double() + 1) / (class_counts.double() + 1).sum()
            with torch.no_grad():
                self.head.bias.copy_(shares.log())

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the backbone knows."""
        return self.backbone.config.vocab_size

    @property
    def architecture(self) -> dict[str, Any]:
        """What `architecture` must be to build this backbone again, in plain values."""
        settings = self.backbone.config.to_diff_dict()
        left_out = {
            "transformers_version",
            "_name_or_path",
            "architectures",
            "dtype",
            "torch_dtype",
            "id2label",
            "label2id",
        }
        return {"model_type": self.backbone.config.model_type} | {
            key: value for key, value in settings.items() if key not in left_out and not key.startswith("_")
        }

    def forward(self, batch: TextBatch) -> Tensor:
        """Logits `[N, K]` in float32."""
        # No mask at all where nothing is padded: attention then takes its fastest kernel. The shape of the batch and
        # its mask live on the host only on a CPU, so only there is the question free.
        mask = batch.attention_mask
        unpadded = mask.device.type == "cpu" and bool(mask.all())
        types = token_types(batch.input_ids, self.separator)
        options = self._options if types is None else self._options | {"token_type_ids": types}
        output = self.backbone(input_ids=batch.input_ids, attention_mask=None if unpadded else mask, **options)
        pooled = pool(output.last_hidden_state, mask, self.pooling)
        with torch.autocast(pooled.device.type, enabled=False):
            return self.head(self.dropout(pooled.float()))

    @property
    def _options(self) -> dict[str, Any]:
        return {"use_cache": False} if getattr(self.backbone.config, "use_cache", None) is not None else {}


def token_types(input_ids: Tensor, separator: int | None) -> Tensor | None:
    """1 for what follows the second separator of a row, else 0, `[N, L]`; None without a separator."""
    if separator is None:
        return None
    is_separator = (input_ids == separator).long()
    return (is_separator.cumsum(1) - is_separator >= 2).long()


def _dropouts(model_type: str, hidden: float | None, attention: float) -> dict[str, float]:
    """The two dropouts under the names that this architecture uses."""
    from transformers import AutoConfig

    known = AutoConfig.for_model(model_type).to_dict()
    changes = {key: attention for key in ATTENTION_DROPOUT if key in known}
    if hidden is not None:
        changes |= {key: hidden for key in HIDDEN_DROPOUT if key in known}
    return changes


def _build(architecture: dict[str, Any], changes: dict[str, float]) -> nn.Module:
    """The architecture with random weights."""
    from transformers import AutoConfig, AutoModel

    settings = {key: value for key, value in architecture.items() if key != "model_type"}
    config = AutoConfig.for_model(architecture["model_type"], **(settings | changes))
    return AutoModel.from_config(config, dtype=torch.float32, **_without_pooler(config))


def _load(folder: Path, name: str, changes: dict[str, float]) -> tuple[Any, str]:
    """Pretrained weights from a folder: safetensors only, no code from the folder, nothing silently missing."""
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # its load report says "unexpected" of the pooler that is left out below
    if not (folder / "config.json").is_file():
        raise InputOutputError(f"model {name}: {folder} has no config.json; is it a model folder?")
    if not any(folder.glob("*.safetensors")):
        raise InputOutputError(f"model {name}: {folder} has no *.safetensors; arena reads no pickled weights")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    for key, value in changes.items():
        setattr(config, key, value)
    model, report = AutoModel.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        **_without_pooler(config),
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputOutputError(
            f"model {name}: {folder} lacks {len(missing)} weights of {config.model_type} ({missing[0]})"
        )
    return model, str(folder)


def _without_pooler(config: Any) -> dict[str, bool]:
    """BERT's pooler is never used here; left in, its parameters would get no gradient and stop DDP."""
    from transformers import AutoModel

    try:
        model_class = AutoModel._model_mapping[type(config)]
    except KeyError:
        raise UsageError(
            f"model.architecture.model_type={config.model_type}: transformers has no backbone for it"
        ) from None
    return (
        {"add_pooling_layer": False}
        if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
        else {}
    )
