"""Learning rate and weight decay of each parameter, by its place in the model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from arena.core.errors import UsageError

HEAD = ("head.", "output.", "pool.")
"""Parts of a model without pretrained weights, by the beginning of their parameters' names."""
BACKBONE = "backbone."
"""Place of the backbone in models of the hub; their other parts (the norm before the head) are new."""
LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
"""Numbers of layers in backbones of the hub: `encoder.layer.3.`, `layers.3.`, `h.3.`, `encoder.block.3.`."""


@dataclass(frozen=True)
class ParameterInfo:
    """Place of a parameter.

    Attributes:
        above: Layers between it and the top: 0 in the top layer, L in the embeddings below L layers; 0 in a head too.
        head: It belongs to a part without pretrained weights (`HEAD`).
        embedding: It is the table of an embedding.
        hidden: It is a matrix inside a layer.
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


def parameter_groups(
    model: nn.Module,
    loss: nn.Module,
    lr: float,
    weight_decay: float,
    head_lr_multiplier: float,
    layer_decay: float = 1.0,
    options: Callable[[ParameterInfo], Mapping[str, Any]] = lambda info: {},
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate, decay and `options`, see `arena.optim.base.OptimizerFactory`.

    A parameter with n layers above it has the rate lr · layer_decay^n (Howard and Ruder, arXiv 1801.06146, section
    3.2; Clark et al., arXiv 2003.10555), the head and the parameters of the loss have lr · head_lr_multiplier. Only
    matrices (and larger) are decayed, none of the loss's: biases and the gains of norms have one dimension, and
    pulling them to zero only hurts.

    Raises:
        UsageError: A decay over layers of a model that has none.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}

    def add(parameter: nn.Parameter, rate: float, decay: float, info: ParameterInfo) -> None:
        if parameter.requires_grad:
            more = options(info)
            group = {"params": [], "lr": rate, "weight_decay": decay, **more}
            groups.setdefault((rate, decay, *more.items()), group)["params"].append(parameter)

    infos = parameter_infos(model)
    if layer_decay != 1 and not any(info.above for info in infos.values()):
        raise UsageError(f"optim.layer_decay={layer_decay}: this model has no layers that can be told by their names")
    for name, parameter in model.named_parameters():
        info = infos[name]
        rate = lr * (head_lr_multiplier if info.head else layer_decay**info.above)
        add(parameter, rate, weight_decay if parameter.ndim >= 2 else 0.0, info)
    for parameter in loss.parameters():
        add(parameter, lr * head_lr_multiplier, 0.0, ParameterInfo(0, True, False, False))
    return list(groups.values())
