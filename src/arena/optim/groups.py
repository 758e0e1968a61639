"""Which learning rate and which weight decay each parameter gets: by where it stands in the model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from arena.core.errors import UsageError

HEAD = ("head.", "pairing.", "pool.")
"""Parts of a model that start from nothing, by the beginning of their parameters' names."""
BACKBONE = "backbone."
"""Where models over a backbone of the hub keep it; their other parts (the norm before the head) start from nothing."""
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
"""How the backbones of the hub number their layers: `encoder.layer.3.`, `layers.3.`, `h.3.`, `encoder.block.3.`."""


@dataclass(frozen=True)
class ParameterInfo:
    """Where a parameter stands.

    Attributes:
        above: layers between it and the top: 0 in the top layer, L in the embeddings below L layers; 0 in a head too.
        head: it belongs to what starts from nothing (`HEAD`).
        embedding: it is the table of an embedding.
        hidden: it is a matrix inside a layer.
    """

    above: int
    head: bool
    embedding: bool
    hidden: bool


def places(model: nn.Module) -> dict[str, ParameterInfo]:
    """The place of every parameter of a model, by its name.

    What comes before the first layer counts as the embeddings (their norm is part of them), and so does every table of
    an embedding outside of the layers (DeBERTa's relative positions, with their norm); what else comes after the last
    layer (a final norm) belongs to the top. A model without layers is all top.
    """
    tables = {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        for own, _ in module.named_parameters(recurse=False)
    }
    # DeBERTa normalises its relative positions behind the layers: encoder.rel_embeddings, encoder.LayerNorm.
    norms = tuple(f"{name.removesuffix('rel_embeddings.weight')}LayerNorm." for name in tables if "rel_emb" in name)
    numbers = {name: layer_of(name) for name, _ in model.named_parameters()}
    over_backbone = any(name.startswith(BACKBONE) for name in numbers)
    layers = 1 + max((number for number in numbers.values() if number is not None), default=-1)
    found: dict[str, ParameterInfo] = {}
    below = layers > 0
    for name, parameter in model.named_parameters():
        head = name.startswith(HEAD) or (over_backbone and not name.startswith(BACKBONE))
        number, table = numbers[name], name in tables
        below = below and number is None
        lowest = below or table or name.startswith(norms)
        above = layers - 1 - number if number is not None else (layers if lowest else 0)
        matrix = parameter.ndim == 2 and number is not None and not table
        found[name] = ParameterInfo(0 if head else above, head, table, matrix and not head)
    return found


def layer_of(name: str) -> int | None:
    """The number of the layer that a parameter belongs to, from 0 at the bottom; None outside of the layers."""
    found = None if name.startswith(HEAD) else LAYER.search(name)
    return int(found[1]) if found else None


def parameter_groups(
    model: nn.Module,
    loss: nn.Module,
    lr: float,
    weight_decay: float,
    head_lr_multiplier: float,
    layer_decay: float = 1.0,
    options: Callable[[ParameterInfo], Mapping[str, Any]] = lambda place: {},
) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate, decay and `options`; empty groups are left out.

    A parameter with n layers above it has the rate lr · layer_decay^n (Howard and Ruder, arXiv 1801.06146, section
    3.2; Clark et al., arXiv 2003.10555), the head and the parameters of the loss have lr · head_lr_multiplier. Only
    matrices (and larger) are decayed, none of the loss's: biases and the gains of norms have one dimension, and
    pulling them to zero only hurts.

    Args:
        model: its trainable parameters.
        loss: its trainable parameters (tie strength, head weights).
        lr: learning rate of the top layer.
        weight_decay: of what is decayed.
        head_lr_multiplier: learning rate of what starts from nothing, relative to `lr`.
        layer_decay: learning rate of a layer relative to the one above it.
        options: what else the optimiser wants to be told of a parameter; part of its group.

    Raises:
        UsageError: a decay over layers of a model that has none.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}

    def add(parameter: nn.Parameter, rate: float, decay: float, more: Mapping[str, Any]) -> None:
        group = {"params": [], "lr": rate, "weight_decay": decay, **more}
        groups.setdefault((rate, decay, *more.items()), group)["params"].append(parameter)

    where = places(model)
    if layer_decay != 1 and not any(place.above for place in where.values()):
        raise UsageError(f"optim.layer_decay={layer_decay}: this model has no layers that can be told by their names")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            place = where[name]
            rate = lr * (head_lr_multiplier if place.head else layer_decay**place.above)
            add(parameter, rate, weight_decay if parameter.ndim >= 2 else 0.0, options(place))
    for parameter in loss.parameters():
        if parameter.requires_grad:
            add(parameter, lr * head_lr_multiplier, 0.0, options(ParameterInfo(0, True, False, False)))
    return list(groups.values())
