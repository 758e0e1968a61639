"""A transformer of the hub without its head: found, checked, loaded or built, adapted."""

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
) -> Any:
    """The architecture with random weights; `causal` with the head of a language model."""
    from transformers import AutoConfig

    settings = {key: value for key, value in architecture.items() if key != "model_type"}
    config = AutoConfig.for_model(architecture["model_type"], **settings)
    dropouts(config, hidden_dropout, attention_dropout)
    return _maker(causal).from_config(config, dtype=torch.float32, **_options(config, causal))


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
    from transformers import AutoConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # its load report complains of heads that are left out on purpose
    hub.check_folder(folder, name)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
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
    from transformers import AutoConfig, AutoModel

    if folder is not None:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    else:
        settings = {key: value for key, value in architecture.items() if key != "model_type"}
        config = AutoConfig.for_model(architecture["model_type"], **settings)
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


def check_same(stored: Tensor, here: Tensor, name: str) -> None:
    """Raise a `DataError` where adapters were trained on other weights than these."""
    if not torch.equal(stored.cpu(), here.cpu()):
        raise DataError(f"model {name}: the adapters were trained on other weights than those found here (model.path)")


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


def checkpoint_activations(module: nn.Module) -> None:
    """Recompute activations in the backward pass."""
    # Renamed in transformers 5.23. Its default is the form that needs no gradient of the input.
    new_name: Any = getattr(module, "activation_checkpointing_enable", None)
    (new_name or module.gradient_checkpointing_enable)()  # pyright: ignore[reportCallIssue]


def same_backbone(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """A hook before weights are restored: what lies beneath the adapters must be what it was (`check_same`)."""
    stored = state.get(f"{prefix}fingerprint")
    if stored is not None:
        check_same(stored, module.fingerprint, module.name)


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
