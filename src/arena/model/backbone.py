"""Backbones of the hub: found, checked, loaded or built."""

import hashlib
import inspect
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arena.core import hub
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.schema import Share
from arena.model.adapter import Adapter, quantization

log = logging.getLogger("arena")
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT = ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout")
"""Names of the two kinds of dropout in the architectures of the hub."""
LEFT_OUT = (
    *("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype"),
    *("id2label", "label2id", "quantization_config"),
)
"""Settings about how weights were stored, and not about the architecture."""


class HubModel(nn.Module):
    """A model with a `backbone` of the hub, perhaps with adapters. Options: conf/model/_hub.yaml.

    Of a backbone with adapters only these are trained, saved and restored; the rest is found again where it was
    (`recoverable`), and a fingerprint ensures that it is the same. `folder` is that of the pretrained weights, None for
    random ones, `config` is transformers', and `ignored` are weights of the folder without a use (other heads).
    """

    causal = False
    """True for a backbone with the head of a language model, which gets no adapter."""

    def __init__(
        self,
        name: str,
        architecture: dict,
        path: str | None = None,
        package: str | None = None,
        pretrained: bool = True,
        adapter: Adapter | None = None,
        hidden_dropout: Share | None = None,
        attention_dropout: Share = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.adapter = name, adapter or Adapter()
        self.folder = hub.locate(name, path, package) if pretrained else None
        self.source = "random weights" if self.folder is None else str(self.folder)
        self.ignored: list[str] = []
        dropout = hidden_dropout, attention_dropout
        if self.folder is None:
            module = build(architecture, dropout, self.causal)
        else:
            module, self.ignored = load(self.folder, name, self.adapter, dropout, self.causal)
            if self.adapter.method != "none":
                self.register_buffer("fingerprint", fingerprint(self.folder))
                self.register_load_state_dict_pre_hook(_same_backbone)
        self.config, size = module.config, sum(p.numel() for p in module.parameters()) / 1e6
        if gradient_checkpointing:
            # Renamed in transformers 5.23. Its default is the form that needs no gradient of the input.
            new_name: Any = getattr(module, "activation_checkpointing_enable", None)
            (new_name or module.gradient_checkpointing_enable)()
        self.backbone: Any = self.adapter.attach(module, _head_name(module) if self.causal else None)
        # transformers hands out pretrained modules switched to evaluation, and Lightning leaves them so: without this
        # line the backbone would train without dropout.
        self.train()
        trained = sum(p.numel() for p in self.backbone.parameters() if p.requires_grad) / 1e6
        kind, unused = self.config.model_type, f"; not used: {', '.join(self.ignored[:4])}" if self.ignored else ""
        unused += " ..." if len(self.ignored) > 4 else ""
        text = "model %s: %s, %.1fM parameters from %s; %.2fM are trained%s"
        log.info(text, name, kind, size, self.source, trained, unused)

    @property
    def recoverable(self) -> set[str]:
        """Weights that no checkpoint needs: the pretrained backbone beneath adapters."""
        if self.folder is None or self.adapter.method == "none":
            return set()
        return {name for name in self.state_dict() if name.startswith("backbone.") and ".lora_" not in name}

    @property
    def bare(self) -> Any:
        """The model of transformers, with adapters inside its layers where there are some."""
        return self.backbone.get_base_model() if hasattr(self.backbone, "get_base_model") else self.backbone

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids of the backbone, V."""
        return self.config.vocab_size

    @property
    def architecture(self) -> dict[str, Any]:
        """The `architecture` that builds this backbone again, in plain values."""
        return settings_of(self.config)


Dropout = tuple[float | None, float]
"""Of hidden states, None as published; and of attention probabilities."""


def build(architecture: dict[str, Any], dropout: Dropout = (None, 0.0), causal: bool = False) -> Any:
    """Build an architecture with random weights; `causal` with the head of a language model."""
    config = _config(None, architecture, dropout)
    family, options = _family(config, causal)
    return family.from_config(config, dtype=torch.float32, **options)


def load(
    folder: Path, name: str, adapter: Adapter, dropout: Dropout = (None, 0.0), causal: bool = False
) -> tuple[Any, list[str]]:
    """Load pretrained weights from a folder: safetensors only, no code from the folder, nothing silently missing.

    Returns the module, which gives token states `[S, L, H]` (with the head of a language model where `causal`), and the
    names of the weights that it does not use. Raises an `InputOutputError` for what is missing.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # its load report complains of heads that are left out on purpose
    hub.check_folder(folder, name)
    config = _config(folder, {}, dropout)
    family, options = _family(config, causal)
    options["dtype"] = torch.float32 if adapter.method == "none" else getattr(torch, adapter.base_precision)
    if adapter.method == "qlora":
        place = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        options |= {"quantization_config": quantization(adapter), "device_map": {"": place}}
    safe = {"use_safetensors": True, "output_loading_info": True}
    module, report = family.from_pretrained(folder, config=config, trust_remote_code=False, **safe, **options)
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputOutputError(
            f"model {name}: {folder} lacks {len(missing)} weights of {config.model_type} ({missing[0]})"
        )
    return module, sorted(report["unexpected_keys"])


def skeleton(folder: Path | None, architecture: dict[str, Any]) -> Any:
    """Build a backbone's modules without memory for their weights: enough to find names."""
    config = _config(folder, architecture, (None, 0.0))
    family, options = _family(config, causal=False)
    with torch.device("meta"):
        return family.from_config(config, **options)


def fingerprint(folder: Path) -> Tensor:
    """Hash a folder's weights to eight bytes `[8]` uint8: of each file its size and its first and last 64 KiB."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "little") + file.read(65536))
            file.seek(max(0, size - 65536))
            digest.update(file.read())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def stored_rows(folder: Path, names: tuple[str, ...], rows: list[int] | None = None) -> Tensor | None:
    """Read the first tensor of these names in a folder's safetensors, or some of its rows; float32; None without it."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in names:
                if name in file.keys():  # noqa: SIM118 - the object is no mapping
                    part = file.get_slice(name)
                    return (part[:] if rows is None else torch.cat([part[row : row + 1] for row in rows])).float()
    return None


def settings_of(config: Any) -> dict[str, Any]:
    """Convert transformers' configuration to the `architecture` that builds the same backbone, in plain values."""
    known = {k: v for k, v in config.to_diff_dict().items() if k not in LEFT_OUT and not k.startswith("_")}
    return {"model_type": config.model_type} | known


def reinitialize(module: Any, number: int) -> None:
    """Give the top `number` layers random weights, as the architecture's own initialisation draws them."""
    total = getattr(module.config, "num_hidden_layers", 0)
    stacks = (part for part in module.modules() if isinstance(part, nn.ModuleList) and len(part) == total)
    layers = list(next(stacks, []))
    if number > len(layers):
        raise UsageError(f"model.reinit_layers={number}: {module.config.model_type} has {len(layers)} layers here")
    for layer in layers[len(layers) - number :]:
        for tensor in (*layer.parameters(), *layer.buffers()):
            # transformers marks what it loaded, and would leave it alone.
            tensor._is_hf_initialized = False  # pyright: ignore[reportAttributeAccessIssue]
        for part in layer.modules():
            module._init_weights(part)


def _config(folder: Path | None, architecture: dict[str, Any], dropout: Dropout) -> Any:
    from transformers import AutoConfig

    if folder is None:
        config = AutoConfig.for_model(**architecture)
    else:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    for names, value in zip((HIDDEN_DROPOUT, ATTENTION_DROPOUT), dropout, strict=True):
        for name in names:
            if value is not None and name in config.to_dict():
                setattr(config, name, value)
    return config


def _family(config: Any, causal: bool) -> tuple[Any, dict[str, Any]]:
    """Find transformers' factory of an architecture and its options.

    BERT's pooler is never used here; left in, its parameters would get no gradient and stop DDP.
    """
    from transformers import AutoModel, AutoModelForCausalLM

    family = AutoModelForCausalLM if causal else AutoModel
    if type(config) not in family._model_mapping:
        kind = "language model" if causal else "backbone"
        raise UsageError(f"model.architecture.model_type={config.model_type}: transformers has no {kind} for it")
    made = family._model_mapping[type(config)]
    pools = not causal and "add_pooling_layer" in inspect.signature(made.__init__).parameters
    return family, {"add_pooling_layer": False} if pools else {}


def _head_name(module: Any) -> str:
    """Find the name of the language-model head in its model."""
    head = module.get_output_embeddings()
    found = next((name for name, part in module.named_modules() if part is head), None)
    if head is None or found is None:
        raise InputOutputError(f"{module.config.model_type}: this model has no language-model head")
    return found


def _same_backbone(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Raise a `DataError` for adapters that were trained on other weights than those beneath them here."""
    stored = state.get(f"{prefix}fingerprint")
    if stored is not None and not torch.equal(stored.cpu(), module.fingerprint.cpu()):
        raise DataError(
            f"model {module.name}: the adapters were trained on other weights than those found here (model.path)"
        )
