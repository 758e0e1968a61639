"""Choices that do not go together are answered at once with the right word, before torch is imported."""

import pytest
from support import first_fast


@pytest.mark.parametrize(
    ("typed", "words"),
    first_fast(
        [
            ("metric=multi_head", ["HeadMetrics belongs to task=multihead", "metric=pairwise"]),
            ("model=stories", ["CausalModel belongs to task=sft", "or task=sft"]),
            ("monitor.name=val/f1", ["val/f1", "val/macro_f1", "val/f1/tie"]),
            ("task=sft data.prompt=x", ["data.prompt", "data=toy_replies", "data=sft has it"]),
            ("loss.gamma=2", ["loss.gamma", "loss=cross_entropy", "loss=focal"]),
            ("data.heads=[x]", ["data.heads", "task=multihead has it"]),
            ("loss=focal loss.gama=2", ["did you mean 'gamma'"]),
            ("monitor.name=log_loss", ["there is val/log_loss"]),
            ("task=sft monitor.name=val/accuracy", ["no such validation value"]),
            ("evaluate.targets={macrof1:0.7}", ["no metric 'macrof1'", "did you mean 'macro_f1'"]),
            ("metric=binary", ["2 classes", "data.labels has 3", "data.labels=[model_a,model_b]"]),
            ("metric=replies", ["ReplyMetrics belongs to task=sft", "metric=pairwise"]),
            ("model.layers=0", ["model.layers=0", "1 or more"]),
        ],
        4,
    ),
)
def test_the_right_word_at_once(shell, tmp_path, typed, words):
    answer = shell("train", *typed.split(), "hydra.run.dir=r")
    answer.refused(2, *words)
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_what_cannot_be_exported_is_said_before_training(shell, tmp_path):
    quick = ["model.pretrained=false", "model.architecture.num_hidden_layers=1", "model.architecture.hidden_size=24"]
    quick += ["toy_rows=200", "trainer.max_steps=1", "resamples=0", "test=false", "baselines=[]"]
    said = "arena.export will not take this model: "
    answer = shell("train", "model=minilm", *quick, "hydra.run.dir=mean").ok()
    screen = answer.out + answer.err
    assert f"{said}their class for bert pools otherwise; train with model.pooling=first" in screen
    assert screen.index(said) < screen.index("before the first step")
    answer = shell("train", "model=minilm", "model.pooling=first", *quick, "hydra.run.dir=first").ok()
    assert said not in answer.out + answer.err
    shell("export", "run=first", "output=model").ok()
    assert (tmp_path / "model" / "model.safetensors").is_file()
