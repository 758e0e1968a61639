"""The metrics of conf/metric as objects, without hydra."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from arena.metric.collection import Metrics

CONF = Path(__file__).parents[2] / "conf" / "metric"
LABELS = ["model_a", "model_b", "tie"]


def instantiate(node: Any) -> Any:
    """What hydra would build from plain containers."""
    if not isinstance(node, dict):
        return node
    arguments = {key: instantiate(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


@pytest.fixture
def build() -> Callable[[str, int], Metrics]:
    """`build("pairwise", 3)`: the metrics of that file for the first 3 labels."""

    def from_file(name: str, classes: int) -> Metrics:
        root = {"data": {"labels": LABELS[:classes]}, "num_classes": classes}
        config = OmegaConf.merge(root, {"metric": OmegaConf.load(CONF / f"{name}.yaml")})
        return instantiate(OmegaConf.to_container(config.metric, resolve=True))

    return from_file
