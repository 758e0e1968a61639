"""Exported folders load in plain transformers and give the same logits; the command checks that itself."""

import json

import pytest
import torch
from support import small_folder

from arena import export
from arena.config.options import make
from arena.core.errors import UsageError

QUICK = ["trainer.max_steps=2", "data.max_length=300", "trainer.accelerator=cpu", "toy_rows=150", "optim.lr=1e-2"]
MODELS = {
    "qwen2": "qwen05b", "llama": "qwen05b", "gemma2": "gemma2_9b", "bert": "mbert", "roberta": "mbert",
    "deberta-v2": "deberta_v3", "modernbert": "modernbert",
}  # fmt: skip
OTHERS = ("bert", "deberta-v2", "gemma2", "llama", "modernbert", "roberta")
FIRST = {"bert", "roberta", "deberta-v2", "modernbert"}


def trained(train_run, tmp_path, kind, *overrides):
    folder = small_folder(kind, tmp_path / kind)
    pooling = ["model.pooling=first"] if kind in FIRST else []
    return train_run("run", f"model={MODELS[kind]}", f"model.path={folder}", *pooling, *QUICK, *overrides)


def exported(run, tmp_path, **others):
    given = make(export.ExportOptions, **{"run": str(run.path), "output": str(tmp_path / "out")} | others)
    return export.export(given)


@pytest.mark.parametrize("kind", ["qwen2", *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)])
def test_every_architecture_loads_without_arena(train_run, tmp_path, kind):
    """The command itself compares the logits to 1e-5; here the classes are asked for by name as a stranger would."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = exported(trained(train_run, tmp_path, kind), tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    assert model.config.id2label == {0: "model_a", 1: "model_b", 2: "tie"}
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]
    assert not list(folder.glob("*.bin"))
    ids = AutoTokenizer.from_pretrained(str(folder))("Which one?", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "formulation"), [("qlora", "score"), ("lora", "verbalizer"), ("dora", "score")])
def test_adapters_are_added_to_the_weights(train_run, tmp_path, method, formulation):
    run = trained(train_run, tmp_path, "qwen2", f"adapter={method}", f"model.formulation={formulation}")
    folder = exported(run, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in settings
    assert settings["architectures"] == [
        f"Qwen2For{'SequenceClassification' if formulation == 'score' else 'CausalLM'}"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("formulation", ["score", "joint", "verbalizer"])
def test_adapters_alone_load_as_a_peft_model(train_run, tmp_path, formulation):
    run = trained(train_run, tmp_path, "llama", "adapter=lora", f"model.formulation={formulation}")
    folder = exported(run, tmp_path, merge=False)
    assert {path.name for path in folder.glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == "LORA"


@pytest.mark.slow
def test_the_card_says_what_is_known(train_run, tmp_path):
    run = train_run(
        "run", "model=qwen05b", f"model.path={small_folder('qwen2', tmp_path / 'qwen2')}", *QUICK,
        "model.formulation=score", "resamples=20",
    )  # fmt: skip
    card = (exported(run, tmp_path, name="Judge") / "README.md").read_text()
    result = run.read_result()
    assert card.startswith("---\nbase_model: qwen2\nlibrary_name: transformers\n")
    loss = result["test"]["log_loss"]
    assert f"| log_loss | {loss['value']:.4f} | {loss['low']:.4f} to {loss['high']:.4f} |" in card
    assert result["data"]["fingerprint"] in card
    assert "{prompt}{separator}{response}" in card
    assert "sigmoid(score_a - score_b)" in card
    state = torch.load(run.best, weights_only=True)["state_dict"]
    assert f"{float(state['model.output.tie_strength'].exp()):.4f} exp((score_a + score_b) / 2)" in card


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("bert", ["model.pooling=mean"], "train with model.pooling=first"),
        ("qwen2", ["model.length_features=true"], "train with model.length_features=false"),
        ("qwen2", ["model.head_bias=true"], "train with model.head_bias=false"),
        ("qwen2", ["model.formulation=verbalizer", "model.tune_words=true"], "train with model.tune_words=false"),
    ],
)
def test_what_no_class_can_hold_is_said(train_run, tmp_path, model, overrides, message):
    run = trained(train_run, tmp_path, model, *overrides)
    with pytest.raises(UsageError, match=message):
        exported(run, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bad_requests_are_refused(train_run, arena, tmp_path):
    run = train_run("run", "trainer.max_steps=2", "toy_rows=150")
    assert arena("export", f"run={run.path}").returncode == 2
    (tmp_path / "there").mkdir()
    done = arena("export", f"run={run.path}", "output=there")
    assert (done.returncode, done.stderr.splitlines()[-1][:24]) == (2, "arena: output=there: it ")
    done = arena("export", f"run={run.path}", "output=new")
    assert done.returncode == 2
    assert "arena's own and has no class in transformers" in done.stderr
