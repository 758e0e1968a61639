"""A transformer of the hub: found, checked, loaded or built, and what every model over one has in common."""

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arena.core import hub
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.model.adapter import Adapter, quantization

ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT = ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout")
"""The names that the architectures of the hub give to the two kinds of dropout."""
LEFT_OUT = {
    "transformers_version",
    "_name_or_path",
    "architectures",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
    "quantization_config",
}
"""Settings that say how weights were stored, and nothing of the architecture."""


@dataclass
class Backbone:
    """A loaded or built backbone.

    Attributes:
        module: gives token states `[N, L, H]`.
        source: where the weights come from, in words.
        ignored: weights of the folder that the backbone has no use for (heads of other tasks).
        fingerprint: of the folder's weights, 8 bytes; None for random ones.
    """

    module: Any
    source: str
    ignored: list[str]
    fingerprint: Tensor | None


def dropouts(config: Any, hidden: float | None, attention: float) -> None:
    """Set the two dropouts under the names that this architecture uses; None keeps what was published."""
    known = config.to_dict()
    for key in ATTENTION_DROPOUT:
        if key in known:
            setattr(config, key, attention)
    for key in HIDDEN_DROPOUT:
        if key in known and hidden is not None:
            setattr(config, key, hidden)


def build(
    architecture: dict[str, Any],
    hidden_dropout: float | None = None,
    attention_dropout: float = 0.0,
    causal: bool = False,
) -> Backbone:
    """The architecture with random weights; `causal` with the head of a language model."""
    config = _config(None, architecture)
    dropouts(config, hidden_dropout, attention_dropout)
    module = _maker(causal).from_config(config, dtype=torch.float32, **_options(config, causal))
    return Backbone(module, "random weights", [], None)


def load(
    folder: Path,
    name: str,
    hidden_dropout: float | None,
    attention_dropout: float,
    adapter: Adapter,
    causal: bool = False,
) -> Backbone:
    """Pretrained weights from a folder: safetensors only, no code from the folder, nothing silently missing.

    `causal` takes the head of the language model too.

    Raises:
        InputOutputError: no configuration, no safetensors, or weights of the backbone are missing.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # its load report complains of heads that are left out on purpose
    hub.check_folder(folder, name)
    config = _config(folder, {})
    dropouts(config, hidden_dropout, attention_dropout)
    options: dict[str, Any] = {"dtype": torch.float32}
    if adapter.method != "none":
        options["dtype"] = getattr(torch, adapter.base_precision)
    if adapter.method == "qlora":
        place = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        options |= {"quantization_config": quantization(adapter), "device_map": {"": place}}
    model, report = _maker(causal).from_pretrained(
        folder,
        config=config,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
        **_options(config, causal),
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputOutputError(
            f"model {name}: {folder} lacks {len(missing)} weights of {config.model_type} ({missing[0]})"
        )
    return Backbone(model, str(folder), sorted(report["unexpected_keys"]), fingerprint(folder))


def skeleton(folder: Path | None, architecture: dict[str, Any]) -> Any:
    """The backbone's modules without memory for their weights: enough to ask for names."""
    from transformers import AutoModel

    config = _config(folder, architecture)
    with torch.device("meta"):
        return AutoModel.from_config(config, **_without_pooler(config))


def fingerprint(folder: Path) -> Tensor:
    """Eight bytes `[8]` uint8 that change with the weights: of each file its size and its first and last 64 KiB."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "little") + file.read(65536))
            file.seek(max(0, size - 65536))
            digest.update(file.read())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def stored_rows(folder: Path, names: tuple[str, ...], rows: list[int] | None = None) -> Tensor | None:
    """The first tensor of these names in a folder's safetensors, or only some of its rows; float32; None without it."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in names:
                if name in file.keys():  # noqa: SIM118 - the object is no mapping
                    part = file.get_slice(name)
                    return (part[:] if rows is None else torch.cat([part[row : row + 1] for row in rows])).float()
    return None


def settings_of(config: Any) -> dict[str, Any]:
    """What `architecture` must be to build this backbone again, in plain values."""
    known = {k: v for k, v in config.to_diff_dict().items() if k not in LEFT_OUT and not k.startswith("_")}
    return {"model_type": config.model_type} | known


def start_anew(module: Any, number: int) -> None:
    """Give the top `number` layers random weights, as the architecture's own initialisation draws them.

    Raises:
        UsageError: there are fewer layers.
    """
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


def _config(folder: Path | None, architecture: dict[str, Any]) -> Any:
    """The configuration in a folder; without one, that of an architecture."""
    from transformers import AutoConfig

    if folder is not None:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return AutoConfig.for_model(**architecture)


def _maker(causal: bool) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    return AutoModelForCausalLM if causal else AutoModel


def _options(config: Any, causal: bool) -> dict[str, bool]:
    if not causal:
        return _without_pooler(config)
    from transformers import AutoModelForCausalLM

    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise UsageError(
            f"model.architecture.model_type={config.model_type}: transformers has no language model for it"
        )
    return {}


def _without_pooler(config: Any) -> dict[str, bool]:
    """BERT's pooler is never used here; left in, its parameters would get no gradient and stop DDP."""
    from transformers import AutoModel

    try:
        model_class = AutoModel._model_mapping[type(config)]
    except KeyError:
        raise UsageError(
            f"model.architecture.model_type={config.model_type}: transformers has no backbone for it"
        ) from None
    has_one = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if has_one else {}


class HubModel(nn.Module):
    """A model with a `backbone` of the hub, perhaps with adapters.

    Of a backbone with adapters only these are trained, saved and restored; the rest is found again where it was
    (`recoverable`), and a fingerprint insists that it is the same.

    Attributes:
        folder: where the pretrained weights lie; None for random ones.
        source: the same in words.
        adapter: see `arena.model.adapter`.
        config: of the backbone.
    """

    name: str
    folder: Path | None
    source: str
    adapter: Adapter
    config: Any

    @property
    def recoverable(self) -> set[str]:
        """Weights that are found again where they were, so no checkpoint needs them: the backbone beneath adapters."""
        if self.folder is None or self.adapter.method == "none":
            return set()
        names = [name for name in self.state_dict() if name.startswith("backbone.")]
        return {name for name in names if ".lora_" not in name}

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the backbone knows, V."""
        return self.config.vocab_size

    @property
    def architecture(self) -> dict[str, Any]:
        """What `architecture` must be to build this backbone again, in plain values."""
        return settings_of(self.config)

    def take(
        self,
        name: str,
        architecture: dict[str, Any],
        path: str | None,
        package: str | None,
        pretrained: bool,
        adapter: Adapter | None,
        dropout: tuple[float | None, float],
        gradient_checkpointing: bool,
        causal: bool = False,
    ) -> Backbone:
        """Find or build the backbone that the arguments of a constructor describe (`dropout`: hidden, attention).

        The caller attaches the adapters to its module. What lies beneath them is remembered by a fingerprint, and
        insisted on when weights are restored.
        """
        self.name, self.adapter = name, adapter or Adapter()
        self.folder = hub.locate(name, path, package) if pretrained else None
        if self.folder is None:
            loaded = build(architecture, *dropout, causal)
        else:
            loaded = load(self.folder, name, *dropout, self.adapter, causal)
        self.config, self.source = loaded.module.config, loaded.source
        if gradient_checkpointing:
            # Renamed in transformers 5.23. Its default is the form that needs no gradient of the input.
            new_name: Any = getattr(loaded.module, "activation_checkpointing_enable", None)
            (new_name or loaded.module.gradient_checkpointing_enable)()
        if self.adapter.method != "none" and loaded.fingerprint is not None:
            self.register_buffer("fingerprint", loaded.fingerprint)
            self.register_load_state_dict_pre_hook(_same_backbone)
        return loaded


def _same_backbone(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Raise a `DataError` where adapters were trained on other weights than those that lie beneath them here."""
    stored = state.get(f"{prefix}fingerprint")
    if stored is not None and not torch.equal(stored.cpu(), module.fingerprint.cpu()):
        raise DataError(
            f"model {module.name}: the adapters were trained on other weights than those found here (model.path)"
        )
