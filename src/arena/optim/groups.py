"""The place of each parameter in its model, which decides about its learning rate."""

import re
from dataclasses import dataclass

from torch import nn

HEAD = ("head.", "output.", "pool.")
"""Parts of a model without pretrained weights, by the beginning of their parameters' names."""
BACKBONE = "backbone."
"""Place of the backbone in models of the hub; their other parts (the norm before the head) are new."""
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
"""Numbers of layers in backbones of the hub: `encoder.layer.3.`, `layers.3.`, `h.3.`, `encoder.block.3.`."""


@dataclass(frozen=True)
class ParameterInfo:
    """Place of a parameter.

    `above` counts the layers between it and the top: 0 in the top layer and in a head, L in the embeddings below L
    layers. `head` is a part without pretrained weights (`HEAD`), `hidden` a matrix inside a layer.
    """

    above: int
    head: bool
    embedding: bool
    hidden: bool


def parameter_infos(model: nn.Module) -> dict[str, ParameterInfo]:
    """Find the place of every parameter of a model, by its name.

    Everything before the first layer counts as the embeddings (their norm is part of them), and so does every table of
    an embedding outside of the layers (DeBERTa's relative positions, with their norm); everything else after the last
    layer (a final norm) belongs to the top. A model without layers is all top.
    """
    tables = {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        for own, _ in module.named_parameters(recurse=False)
    }
    # DeBERTa normalises its relative positions after the layers: encoder.rel_embeddings, encoder.LayerNorm.
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
    """Return the number of a parameter's layer, from 0 at the bottom; None outside of the layers."""
    found = None if name.startswith(HEAD) else LAYER.search(name)
    return int(found[1]) if found else None
