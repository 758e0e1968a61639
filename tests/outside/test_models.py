"""Which model a command really takes, and what it refuses of one, typed."""

import json
import os

import pytest
from support import SHARED

STORIES = SHARED / "models" / "stories260k"
QUICK = ["toy_rows=200", "trainer.max_steps=2", "resamples=0", "test=false", "baselines=[]", "hydra.run.dir=r"]


@pytest.mark.slow
def test_a_name_that_was_typed_wins_over_the_package(shell):
    answer = shell("train", "model=minilm", "model.name=google-bert/bert-base-uncased", env={"HF_HOME": os.devnull})
    answer.refused(74, "google-bert/bert-base-uncased", "not on this machine")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        pytest.param(
            "model=mbert model.pretrained=false data.max_length=1024",
            ["has 512 positions", "data.max_length=512"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "model=mbert model.pretrained=false model.architecture.hidden_size=50",
            ["multiple", "num_attention_heads=12"],
            marks=pytest.mark.slow,
        ),
        pytest.param("model.width=33", ["model.width=33", "multiple of model.heads=4"], marks=pytest.mark.slow),
        ("loss=focal loss.gamma=1000", ["loss.gamma=1000", "from 0 to 10"]),
    ],
)
def test_models_that_cannot_be_are_refused_before_the_data_are_read(shell, typed, words):
    answer = shell("train", *typed.split(), "hydra.run.dir=r")
    answer.refused(2, *words)
    assert "rows_read" not in answer.out + answer.err
    assert "read 12000" not in answer.out + answer.err


@pytest.mark.slow
@pytest.mark.skipif(not STORIES.is_dir(), reason="needs the shared model stories260k (ARENA_SHARED)")
def test_the_model_that_was_loaded_is_printed_and_recorded(shell, tmp_path):
    answer = shell("train", "model=qwen05b", f"model.path={STORIES}", *QUICK).ok()
    found = json.loads((tmp_path / "r" / "result.json").read_text())["model"]
    assert found == {
        "name": "stories260k", "architecture": "llama", "parameters": 260224, "trained": 260224, "source": str(STORIES),
    }  # fmt: skip
    assert "model stories260k: llama, 0.3M parameters" in answer.out + answer.err
    assert "Qwen" not in answer.out + answer.err


@pytest.mark.slow
def test_answers_that_are_equal_once_they_are_cut_are_counted(shell, tmp_path):
    begin = "the answers are equal up to here and that is all that is read of them"
    rows = [f"{i},question {i * 7919},{i} {begin} one,{i} {begin} two,model_{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,prompt,response_a,response_b,winner", *rows]))
    data = ["data=pairs", "data.path=rows.csv", "data.near_duplicates=null", "data.labels=[model_a,model_b]"]
    answer = shell("train", *data, "data.max_length=100", *QUICK).ok()
    assert "in 60 rows the answers differ, and what is kept of them is equal" in answer.out + answer.err
    assert json.loads((tmp_path / "r" / "result.json").read_text())["data"]["rows_alike_after_cut"] == 60
