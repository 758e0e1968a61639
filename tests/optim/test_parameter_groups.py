"""Which learning rate and decay each parameter gets, on every architecture that the tests know."""

import pytest
from support import KINDS, compose, small_folder
from torch import nn

from arena.config import build
from arena.config import compose as config
from arena.core.errors import UsageError
from arena.optim.adamw import AdamW
from arena.optim.groups import parameter_infos

NONE = nn.Identity()


class Backbone(nn.Module):
    """Names as BERT has them, and a head: 12 layers of one matrix each."""

    def __init__(self, layers: int = 12) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(5, 2)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList([nn.Linear(2, 2) for _ in range(layers)])
        self.norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 2)


def rate_of(model: nn.Module, **options) -> dict[str, float]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = AdamW(1.0, 0.1, options.pop("head", 1.0), **options).groups(model, NONE)
    found = {names[p]: group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found), "each parameter once"
    return found


def decayed(model: nn.Module) -> set[str]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = AdamW(1.0, 0.1).groups(model, NONE)
    return {names[p] for group in groups if group["weight_decay"] for p in group["params"]}


def test_twelve_layers_at_nine_tenths():
    """The powers of .9, written out: 1 at the top to .9^11 in the lowest layer, .9^12 in the embeddings."""
    found = rate_of(Backbone(), layer_decay=0.9, head=10.0)
    rates = [found[f"encoder.layer.{11 - k}.weight"] for k in range(12)]
    powers = [1, 0.9, 0.81, 0.729, 0.6561, 0.59049, 0.53144, 0.4783, 0.43047, 0.38742, 0.34868, 0.31381]
    assert rates == pytest.approx(powers, abs=5e-6)
    assert found["embeddings.weight"] == pytest.approx(0.28243, abs=5e-6)
    assert found["norm.weight"] == 1.0
    assert found["head.weight"] == 10.0


def test_no_layer_decay_makes_the_groups_there_were():
    """lr of head or not, decayed or not: four groups, whatever the number of layers."""
    groups = AdamW(1e-3, 0.1, 10.0).groups(Backbone(), NONE)
    assert {(g["lr"], g["weight_decay"]): len(g["params"]) for g in groups} == {
        (1e-3, 0.1): 13, (1e-3, 0.0): 14, (1e-2, 0.1): 1, (1e-2, 0.0): 1,
    }  # fmt: skip


def test_a_model_without_layers_cannot_decay_over_them():
    with pytest.raises(UsageError, match="no layers"):
        AdamW(1.0, layer_decay=0.9).groups(nn.Linear(2, 2), NONE)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("backbone.encoder.layer.3.attention.self.query.weight", 3),
        ("backbone.layers.10.mlp.Wo.weight", 10),
        ("backbone.h.2.attn.c_attn.weight", 2),
        ("backbone.transformer.layer.4.ffn.lin1.weight", 4),
        ("backbone.encoder.block.5.layer.0.SelfAttention.q.weight", 5),
        ("backbone.base_model.model.layers.7.self_attn.q_proj.lora_A.default.weight", 7),
        ("backbone.embeddings.word_embeddings.weight", None),
        ("backbone.encoder.LayerNorm.weight", None),
        ("head.layers.1.weight", None),
    ],
)
def test_layers_are_known_by_their_names(name, number):
    from arena.optim.groups import layer_of

    assert layer_of(name) == number


def classifier(folder, *overrides: str) -> nn.Module:
    settings = config.resolved(compose("model=minilm", f"model.path={folder}", *overrides, "run_dir=out"))
    return build.instantiate(settings["model"])


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["none", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture(kind, adapter, tmp_path):
    """Two layers, d = .5: 1 in the upper, .5 in the lower, .25 in the embeddings, head times 4; what transformers'
    own trainer decays is decayed."""
    model = classifier(small_folder(kind, tmp_path / kind), f"adapter={adapter}")
    found = rate_of(model, layer_decay=0.5, head=4.0)
    upper = {name: rate for name, rate in found.items() if "layer.1." in name or "layers.1." in name}
    lower = {name: rate for name, rate in found.items() if "layer.0." in name or "layers.0." in name}
    tables = {name: rate for name, rate in found.items() if "embed" in name}
    assert set(upper.values()) == {1.0}
    assert set(lower.values()) == {0.5}
    assert len(upper) >= len(lower) > 3 * (adapter == "none"), "ModernBERT's first layer lacks a norm"
    assert {rate for name, rate in found.items() if name.startswith("head.")} == {4.0}
    rest = {name for name in found if not name.startswith("head.")} - set(upper) - set(lower) - set(tables)
    if adapter == "none":
        assert set(tables.values()) == {0.25}
        relative = {name for name in rest if name.startswith("backbone.encoder.LayerNorm.") and kind == "deberta-v2"}
        assert {found[name] for name in relative} <= {0.25}
        assert all(("norm" in name.lower()) and found[name] == 1.0 for name in rest - relative)
    else:
        assert not tables
        assert not rest
    from transformers import Trainer

    theirs = set(Trainer.get_decay_parameter_names(None, model))  # pyright: ignore[reportArgumentType]
    assert decayed(model) == theirs & set(found)


SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
"""Rates of single parameters, relative to the top layer's: d = .5 a layer, 10 times for what starts from nothing."""
RATES = {
    "mbert": {
        "embeddings.word_embeddings.weight": 0.25,
        "embeddings.LayerNorm.weight": 0.25,
        "encoder.layer.0.output.LayerNorm.weight": 0.5,
        "encoder.layer.1.output.dense.weight": 1,
    },
    "qwen05b": {
        "embed_tokens.weight": 0.25,
        "layers.0.input_layernorm.weight": 0.5,
        "layers.1.mlp.up_proj.weight": 1,
        "norm.weight": 1,  # the backbone's final norm
    },
    "modernbert": {
        "embeddings.norm.weight": 0.25,
        "layers.0.mlp.Wo.weight": 0.5,
        "layers.1.mlp_norm.weight": 1,
        "final_norm.weight": 1,
        "norm.weight": 10,  # before the head, and as new as the head
    },
    "deberta_v3": {
        "embeddings.LayerNorm.weight": 0.25,
        "encoder.rel_embeddings.weight": 0.25,
        "encoder.LayerNorm.weight": 0.25,  # of the relative positions, though it comes after the layers
        "encoder.layer.1.output.LayerNorm.bias": 1,
    },
}


@pytest.mark.parametrize("name", RATES)
def test_rates_by_name(name):
    sizes = SMALL | ({"num_key_value_heads": 1} if name == "qwen05b" else {})
    changes = [f"model.architecture.{key}={value}" for key, value in sizes.items()]
    settings = config.resolved(compose(f"model={name}", "model.pretrained=false", *changes, "run_dir=out"))
    model = build.instantiate(settings["model"])
    found = rate_of(model, layer_decay=0.5, head=10.0)
    for parameter, rate in (RATES[name] | {"head.weight": 10}).items():
        outside = parameter.startswith("head.") or rate == 10
        assert found[parameter if outside else f"backbone.{parameter}"] == rate, parameter


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_matrices_are_the_linear_layers_inside_the_layers(kind, tmp_path):
    model = classifier(small_folder(kind, tmp_path / kind))
    hidden = {name for name, place in parameter_infos(model).items() if place.hidden}
    linear = {
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "head"
    }
    assert hidden == linear
    embeddings = {name for name, place in parameter_infos(model).items() if place.embedding}
    assert embeddings
    assert not embeddings & hidden


def test_the_tiny_model_has_layers_too():
    settings = config.resolved(compose("model.layers=2", "run_dir=out"))
    found = rate_of(build.instantiate(settings["model"]), layer_decay=0.5)
    assert found["stem.embedding.weight"] == found["segment.weight"] == 0.25
    assert found["layers.0.output.weight"] == 0.5
    assert found["layers.1.output.weight"] == found["norm.weight"] == 1.0


def test_frozen_parameters_are_in_no_group():
    model = Backbone(2)
    model.embeddings.requires_grad_(False)
    assert "embeddings.weight" not in rate_of(model, layer_decay=0.5)
