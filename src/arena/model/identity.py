"""Description of a built model, and a check that it can be exported."""

from collections.abc import Mapping
from typing import Any

from arena.core import signatures
from arena.core.heads import several

ENCODER = "arena.model.encoder.SequenceClassifier"
"""The model that transformers has classes for."""


def identity(model: Any) -> dict[str, Any]:
    """Describe a model for `result.json`: name, architecture, number of parameters, source of its weights."""
    kind = getattr(getattr(model, "config", None), "model_type", None) or type(model).__name__
    # Two weights of 4 bits are stored as one byte.
    sizes = [(p.numel() * (2 if type(p).__name__ == "Params4bit" else 1), p.requires_grad) for p in model.parameters()]
    return {
        "name": getattr(model, "name", kind),
        "architecture": kind,
        "parameters": sum(size for size, _ in sizes),
        "trained": sum(size for size, trains in sizes if trains),
        "source": getattr(model, "source", "random weights"),
    }


def reason_against_export(model: Any, settings: Mapping[str, Any]) -> str | None:
    """Return why `arena.export` would refuse a model of the hub; None where it would not, or for other models."""
    if ENCODER not in signatures.ancestors(settings["model"]["_target_"]):
        return None
    if several(settings["data"]["labels"]):
        return "no class of transformers holds several heads; arena.predict gives their probabilities"
    if (settings["data"].get("target") or {}).get("offset") is not None:
        return "no class of transformers adds data.offset"
    from arena.model.hub_classes import reason_against

    return reason_against(model)
