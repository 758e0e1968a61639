"""What can be wrong with a model's settings, found before its weights are loaded; torch only where adapters are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena import hub
from arena.errors import UsageError

TINY = "arena.model.tiny."
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "deberta", "deberta-v2", "modernbert", "electra", "albert")
"""Architectures that read in both directions: they have no logits of a next token."""


def check_labels(formulation: str, labels: list[str]) -> None:
    """Whether a formulation can speak of these classes.

    Raises:
        UsageError: it needs both answers as classes, and they are not.
    """
    if formulation in ("symmetric", "score") and not {"model_a", "model_b"} <= set(labels):
        raise UsageError(
            f"model.formulation={formulation}: data.labels={labels} must hold both model_a and model_b; "
            "joint takes any classes"
        )
    if formulation == "score" and not set(labels) <= {"model_a", "model_b", "tie"}:
        raise UsageError(f"model.formulation=score: data.labels={labels} may hold model_a, model_b and tie only")


def check_heads(formulation: str, model: Mapping[str, Any]) -> None:
    """Whether a model can have several heads.

    Raises:
        UsageError: it cannot as it is set.
    """
    if model.get("head") is None:
        raise UsageError("data=heads needs head=multi, which brings a head for each column, their loss and metrics")
    if formulation != "joint":
        raise UsageError(f"model.formulation={formulation}: with head=multi a text is read once; take joint")
    for key, wrong in (("length_features", True), ("start", "pretrained")):
        if model.get(key) == wrong:
            raise UsageError(f"model.{key}={str(wrong).lower()}: head=multi has no such thing; leave it out")


def check(model: Mapping[str, Any], adapter: Mapping[str, Any]) -> None:
    """Hold the nodes `model` and `adapter` of a configuration against what will be asked of them; find the weights.

    Raises:
        UsageError: classes that do not fit the formulation, a formulation or adapter that the backbone cannot have,
            an adapter for modules that do not exist, 4-bit weights where they do not work.
        InputOutputError: the weights are not here and the hub cannot be reached.
    """
    formulation, labels = model.get("formulation", "joint"), model.get("labels", [])
    if isinstance(labels, Mapping):
        check_heads(formulation, model)
    else:
        check_labels(formulation, list(labels))
    if model["_target_"].startswith(TINY):
        if formulation == "verbalizer":
            raise UsageError("model.formulation=verbalizer needs a language model; model=tiny has no words")
        if adapter["method"] != "none":
            raise UsageError(f"adapter={adapter['method']}: model=tiny is trained whole; take a model of the hub")
        return
    folder = hub.locate(model["name"], model["path"], model["package"]) if model["pretrained"] else None
    if folder is not None:
        hub.check_folder(folder, model["name"])
    if formulation == "verbalizer":
        _check_causal(folder, model)
    if adapter["method"] != "none":
        _check_adapter(adapter, folder, model)


def _check_causal(folder: Path | None, model: Mapping[str, Any]) -> None:
    import json

    settings = model["architecture"]
    if folder is not None and (folder / "config.json").is_file():
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = settings.get("model_type")
    if kind in ENCODERS:
        raise UsageError(
            f"model.formulation=verbalizer needs a causal language model; {model['name']} is of the type {kind}, which "
            "has no next token; take joint, symmetric or score"
        )


def _check_adapter(adapter: Mapping[str, Any], folder: Path | None, model: Mapping[str, Any]) -> None:
    from arena.model.adapter import Adapter, check_quantization
    from arena.model.backbone import skeleton

    settings = Adapter(**{name: value for name, value in adapter.items() if name != "_target_"})
    if settings.method == "qlora":
        if folder is None:
            raise UsageError("adapter=qlora needs model.pretrained=true: random weights are not worth quantising")
        check_quantization()
    settings.chosen(skeleton(folder, model["architecture"]))
