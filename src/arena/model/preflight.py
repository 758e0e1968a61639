"""Checks of a model's settings before its weights are loaded; torch only where adapters are."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.core import hub, signatures
from arena.core.errors import UsageError
from arena.core.files import read_json

log = logging.getLogger("arena")
TINY = "arena.model.tiny.TinyClassifier"
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "deberta", "deberta-v2", "modernbert", "electra", "albert")
"""Bidirectional architectures: they have no logits of a next token."""
LEARNED = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "albert", "mpnet", "gpt2")
"""Architectures with a learned vector for each position."""
RESERVED = {name: 2 for name in ("roberta", "xlm-roberta", "camembert", "mpnet")}
"""Positions without a token: theirs are counted from the id of padding, 1, on."""
IDENTITY = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads")
"""Keys that differ between two architectures."""


def check_labels(formulation: str, labels: list[str]) -> None:
    """Raise a `UsageError` for a formulation that these classes do not fit."""
    if formulation in ("symmetric", "score") and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(
            f"model.formulation={formulation}: data.labels={labels} must hold both model_a and model_b; "
            "joint takes any classes"
        )
    if formulation == "score" and not set(labels) <= {"model_a", "model_b", "tie"}:
        raise UsageError(f"model.formulation=score: data.labels={labels} may hold model_a, model_b and tie only")


def check_heads(formulation: str, model: Mapping[str, Any]) -> None:
    """Raise a `UsageError` for settings of a model that several heads do not fit."""
    if model.get("head") is None:
        raise UsageError(
            "model.head: several heads need their settings, which task=multihead brings (model.head=${head})"
        )
    if formulation != "joint":
        raise UsageError(f"model.formulation={formulation}: with task=multihead a text is read once; take joint")
    for key, wrong in (("length_features", True), ("start", "pretrained")):
        if model.get(key) == wrong:
            raise UsageError(f"model.{key}={str(wrong).lower()}: task=multihead has no such thing; leave it out")


def check(model: Mapping[str, Any], adapter: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Check the nodes `model`, `adapter` and `data` of a configuration against each other, and find the weights.

    Raises a `UsageError` for what does not fit, an `InputOutputError` for weights that are not here and cannot be
    fetched.
    """
    formulation = model.get("formulation", "joint")
    if TINY in signatures.ancestors(model["_target_"]):
        if formulation == "verbalizer":
            raise UsageError("model.formulation=verbalizer needs a language model; model=tiny has no words")
        if adapter["method"] != "none":
            raise UsageError(f"adapter={adapter['method']}: model=tiny is trained whole; take a model of the hub")
        _check_parts("model.width", model["width"], "model.heads", model.get("heads", 4))
        return
    folder = hub.locate(model["name"], model["path"], model["package"]) if model["pretrained"] else None
    if folder is not None:
        hub.check_folder(folder, model["name"])
    architecture = architecture_of(model, folder)
    if folder is None:
        _check_architecture(architecture)
    check_length(model["name"], architecture, data)
    if formulation == "verbalizer" and architecture.get("model_type") in ENCODERS:
        raise UsageError(
            f"model.formulation=verbalizer needs a causal language model; {model['name']} is of the type "
            f"{architecture['model_type']}, which has no next token; take joint, symmetric or score"
        )
    if adapter["method"] != "none":
        _check_adapter(adapter, folder, model)


def architecture_of(model: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Read the architecture from a model's folder; without a folder, that of the node `model`."""
    return dict(model["architecture"] if folder is None else read_json(folder / "config.json"))


def name_of(model: Mapping[str, Any]) -> str:
    """Return the name of a model, or that of the folder `path` where that holds another architecture."""
    if not (model.get("path") and model.get("pretrained")):
        return model["name"]
    folder = hub.locate(model["name"], model["path"])
    hub.check_folder(folder, model["name"])
    found, described = architecture_of(model, folder), model["architecture"]
    same = described and all(found[key] == described[key] for key in IDENTITY if key in found and key in described)
    return model["name"] if same else folder.resolve().name


def check_length(name: str, architecture: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Check the length of a row against the positions of a model.

    Learned positions end somewhere; rotary ones do not, but were trained up to a length only: a warning.
    """
    kind, longest = str(architecture.get("model_type")), data["truncation"]["max_length"]
    positions = (architecture.get("max_position_embeddings") or math.inf) - RESERVED.get(kind, 0)
    if longest <= positions:
        return
    if kind in LEARNED or (kind.startswith("deberta") and architecture.get("position_biased_input", True)):
        raise UsageError(
            f"data.max_length={longest}: {name} has {positions} positions; give data.max_length={positions}, which "
            "cuts longer rows, or a model that reads more (model=modernbert, qwen05b)"
        )
    log.warning("data.max_length=%d: %s was made for %d positions", longest, name, positions)


def _check_architecture(architecture: Mapping[str, Any]) -> None:
    """Raise a `UsageError` for sizes that random weights cannot have."""
    if "model_type" not in architecture:
        raise UsageError(
            "model.pretrained=false: random weights need an architecture; give model.architecture={model_type: bert, "
            "hidden_size: 64, ...}, or choose a model that has one (model=minilm)"
        )
    key = "model.architecture.num_attention_heads"
    heads, width = architecture.get("num_attention_heads"), architecture.get("hidden_size")
    if heads and width and not architecture.get("head_dim"):
        _check_parts("model.architecture.hidden_size", width, key, heads)
    if heads and (shared := architecture.get("num_key_value_heads")):
        _check_parts(key, heads, "model.architecture.num_key_value_heads", shared)


def _check_parts(key: str, whole: int, by: str, parts: int) -> None:
    if parts < 1 or whole % parts:
        raise UsageError(f"{key}={whole}: it must be a multiple of {by}={parts}")


def _check_adapter(adapter: Mapping[str, Any], folder: Path | None, model: Mapping[str, Any]) -> None:
    from arena.model.adapter import Adapter, check_quantization
    from arena.model.backbone import skeleton

    settings = Adapter(**{name: value for name, value in adapter.items() if name != "_target_"})
    if settings.method == "qlora":
        if folder is None:
            raise UsageError("adapter=qlora needs model.pretrained=true: random weights are not worth quantising")
        check_quantization()
    settings.chosen(skeleton(folder, model["architecture"]))
