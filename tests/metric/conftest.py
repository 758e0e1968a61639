"""The metrics of conf/metric as objects, without hydra."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from arena.metric.collection import Metrics
from arena.metric.heads import HeadMetrics

CONF = Path(__file__).parents[2] / "conf" / "metric"
LABELS = ["model_a", "model_b", "tie"]


def instantiate(node: Any) -> Any:
    """What hydra would build from plain containers."""
    if not isinstance(node, dict):
        return node
    arguments = {key: instantiate(value) for key, value in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    made = getattr(importlib.import_module(module), name)
    return partial(made, **arguments) if node.get("_partial_") else made(**arguments)


@pytest.fixture
def build() -> Callable[[str, int], Metrics]:
    """`build("pairwise", 3)`: the metrics of that file for the first 3 labels."""

    def from_file(name: str, classes: int) -> Metrics:
        root = {"data": {"labels": LABELS[:classes]}, "num_classes": classes}
        config = OmegaConf.merge(root, {"metric": OmegaConf.load(CONF / f"{name}.yaml")})
        return instantiate(OmegaConf.to_container(config.metric, resolve=True))

    return from_file


@pytest.fixture
def heads() -> Callable[[dict[str, list[str]]], HeadMetrics]:
    """`heads({"stance": ["for", "against"], ...})`: the metrics of multi_head.yaml for these heads."""

    def from_file(labels: dict[str, list[str]]) -> HeadMetrics:
        config = OmegaConf.merge({"data": {"labels": labels}}, {"metric": OmegaConf.load(CONF / "multi_head.yaml")})
        return instantiate(OmegaConf.to_container(config.metric, resolve=True))

    return from_file
