"""Adapters: what is adapted, what is trained, what is saved, and what is refused before weights load."""

import os
import subprocess
import sys

import pytest
import torch
from support import ROOT, compose, small_folder

from arena.config import build, restore
from arena.config import compose as config
from arena.config.weights import read_checkpoint
from arena.core.errors import DataError, UsageError
from arena.model.adapter import Adapter
from arena.model.backbone import skeleton
from arena.task.module import Task

METHODS = ["lora", "dora", "qlora"]
QUICK = ["trainer.max_steps=3", "data.max_length=64", "trainer.accelerator=cpu", "adapter.rank=2", "toy_rows=150"]

AGAIN = """
import sys, torch
from arena.config import restore
from arena.core.run import RunFolder
from arena.core.types import TextBatch
run = RunFolder(sys.argv[1])
task = restore.rebuild(run, restore.settings_of(run))
ids, nothing = torch.arange(60).reshape(3, 20), torch.zeros(3, dtype=torch.long)
batch = TextBatch(ids, torch.ones_like(ids), nothing, nothing.float(), nothing, 0)
torch.save(task.model(batch).detach(), sys.argv[2])
"""
"""A program that rebuilds a run and says what its model gives."""


@pytest.fixture
def qwen(tmp_path):
    return small_folder("qwen2", tmp_path / "qwen")


def made(folder, *overrides):
    return build.instantiate(config.resolved(compose("model=qwen05b", f"model.path={folder}", *overrides))["model"])


@pytest.mark.slow
def test_only_adapters_and_the_head_are_trained(qwen):
    """Rank 2 on the seven linear layers of two layers: r (in + out) each; the head has 3 x 32."""
    model = made(qwen, "adapter=lora", "adapter.rank=2", "run_dir=out")
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"backbone", "head"}
    pairs = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)]
    assert sum(trained.values()) == 2 * sum(2 * (a + b) for a, b in pairs) + 3 * 32


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_fresh_adapter_changes_nothing(qwen, method):
    """B starts at zero, so the adapted backbone is the backbone; DoRA divides and multiplies by the same length."""
    ids = torch.arange(24).reshape(2, 12)
    plain = made(qwen, "adapter=none", "run_dir=out").backbone(input_ids=ids).last_hidden_state
    adapted = made(qwen, f"adapter={method}", "run_dir=out").eval()
    states = adapted.backbone(input_ids=ids).last_hidden_state
    if method == "qlora":
        assert 1e-4 < (states - plain).abs().max() < 1.0  # 4 bits are not 32
        weight = adapted.backbone.base_model.model.layers[0].self_attn.q_proj.base_layer.weight
        assert weight.dtype == torch.uint8
        assert weight.quant_state.quant_type == "nf4"
        assert weight.quant_state.nested  # the scales are quantised as well
    else:
        torch.testing.assert_close(states, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stabilized", [False, True])
def test_the_scale_of_the_update(qwen, stabilized):
    """alpha / r = 8 / 4, or alpha / sqrt(r) = 8 / 2."""
    model = made(
        qwen,
        "adapter=lora",
        "adapter.rank=4",
        "adapter.alpha=8",
        f"adapter.rank_stabilized={stabilized}",
        "run_dir=out",
    )
    layer = model.backbone.base_model.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == (4.0 if stabilized else 2.0)


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], [r"layers\.1\..*_proj"], "all-linear"])
def test_targets_by_name_and_pattern(qwen, targets):
    chosen = Adapter("lora", targets=targets).chosen(skeleton(qwen, {}))
    if targets == "all-linear":
        assert len(chosen) == 14
    elif len(targets) == 2:
        assert chosen == [f"layers.{i}.self_attn.{part}" for i in (0, 1) for part in ("q_proj", "v_proj")]
    else:
        assert len(chosen) == 7
        assert all(name.startswith("layers.1.") for name in chosen)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS[1:])])
def test_a_run_leaves_adapters_and_head_and_comes_back_bit_for_bit(train_run, arena, qwen, tmp_path, method):
    """Head and adapters are trained away from their start; a fresh process gives the very same probabilities."""
    run = train_run("run", "model=qwen05b", f"model.path={qwen}", f"adapter={method}", *QUICK)
    state = torch.load(run.best, weights_only=True)["state_dict"]
    assert any(".lora_B." in name for name in state)
    assert "model.head.weight" in state
    assert state["model.head.weight"].abs().max() > 0
    assert not [name for name in state if name.startswith("model.backbone.") and ".lora_" not in name]
    script = tmp_path / "again.py"
    script.write_text(AGAIN)
    found = []
    for place in ("one.pt", "two.pt"):
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, script, run.path, tmp_path / place], check=True, env=environment)
        found.append(torch.load(tmp_path / place, weights_only=True))
    assert torch.equal(*found)
    assert found[0].std(0).min() > 0
    settings = restore.settings_of(run)
    task, data = restore.rebuild(run, settings), build.data(settings)
    assert (
        restore.verify(run, settings, task, build.evaluation_trainer(settings, run), data) > 0
    )  # to 1e-6, or it raises


@pytest.mark.slow
def test_a_resumed_run_is_an_undisturbed_one(train_run, qwen):
    common = ["model=qwen05b", f"model.path={qwen}", "adapter=lora", *QUICK[1:], "schedule.total_steps=6"]
    whole = train_run("whole", *common, "trainer.max_steps=6")
    train_run("parts", *common, "trainer.max_steps=3")
    parts = train_run("parts", *common, "trainer.max_steps=6", f"resume={whole.path.parent / 'parts'}")
    states = [read_checkpoint(run.last)["state_dict"] for run in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.slow
def test_adapters_of_other_weights_are_refused(train_run, qwen, tmp_path):
    run = train_run("run", "model=qwen05b", f"model.path={qwen}", "adapter=lora", *QUICK)
    small_folder("qwen2", qwen, seed=1)
    with pytest.raises(DataError, match="trained on other weights"):
        restore.rebuild(run, restore.settings_of(run))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter=lora", "adapter.targets=[q_pro]"], "adapter.targets=q_pro: this backbone has no linear layer"),
        (["adapter=lora", "adapter.targets=['q_(']"], "not a regular expression"),
        (["adapter=qlora", "model.pretrained=false"], "adapter=qlora needs model.pretrained=true"),
    ],
)
def test_bad_adapters_are_refused_before_weights_load(qwen, overrides, message):
    settings = config.resolved(compose("model=qwen05b", f"model.path={qwen}", *overrides, "run_dir=out"))
    with pytest.raises(UsageError, match=message):
        build.preflight(settings)


def test_a_tiny_model_takes_no_adapter():
    with pytest.raises(UsageError, match="model=tiny is trained whole"):
        build.preflight(config.resolved(compose("adapter=lora", "run_dir=out")))


def test_four_bits_without_support_is_one_line(qwen, monkeypatch):
    """Where bitsandbytes cannot be imported, before any weight is read."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    settings = config.resolved(compose("model=qwen05b", f"model.path={qwen}", "adapter=qlora", "run_dir=out"))
    with pytest.raises(UsageError, match="adapter=qlora: 4-bit weights do not work on this machine"):
        build.preflight(settings)


@pytest.mark.parametrize("method", ["none", "lora"])
def test_pretrained_parts_train_with_their_dropout(qwen, method):
    """transformers hands out modules in evaluation mode: all of them must be switched back."""
    assert all(module.training for module in made(qwen, f"adapter={method}", "run_dir=out").modules())


def test_a_frozen_base_in_half_precision_stays_so(qwen):
    model = made(qwen, "adapter=lora", "adapter.base_precision=bfloat16", "run_dir=out")
    kinds = {p.requires_grad: set() for p in model.parameters()}
    for parameter in model.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}
    assert isinstance(Task(model, torch.nn.Identity(), None).strict_loading, bool)
