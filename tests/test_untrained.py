"""A language model before and after its tuning, on the same rows and by one command."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import small_folder, stories_folder

from arena.core.run import RunFolder

KAGGLE = "data/lmsys_kaggle_sample/train.csv"
SHORT = ["trainer.accelerator=cpu", "trainer.max_steps=4", "validate_every=2", "data.max_length=300", "resamples=50"]


@pytest.mark.slow
def test_study_two_is_one_command(arena, shared, tmp_path):
    """Real weights of 260 thousand parameters, real votes: QLoRA on the CPU, the base model judged on the same rows."""
    folder = stories_folder(shared / "models" / "stories260k", tmp_path / "stories")
    done = arena(
        "train", "experiment=arena55k_qlora", f"model.path={folder}", f"data.path={shared / KAGGLE}", *SHORT,
        "hydra.run.dir=run", "trainer.precision=32-true", "adapter.base_precision=float32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gain over untrained: " in done.stdout
    assert "McNemar p " in done.stdout
    run = RunFolder(tmp_path / "run")
    result = run.read_result()
    before = pq.read_table(run.path / "predictions" / "untrained" / "val.parquet")
    after = pq.read_table(run.predictions("val"))
    assert before["id"].to_pylist() == after["id"].to_pylist()
    assert before["probability_tie"].to_pylist() != after["probability_tie"].to_pylist()
    right = {}
    for name, table in (("before", before), ("after", after)):
        columns = [f"probability_{label}" for label in ("model_a", "model_b", "tie")]
        said = np.stack([table[column].to_numpy() for column in columns], 1).argmax(1)
        right[name] = said == [("model_a", "model_b", "tie").index(t) for t in table["target"].to_pylist()]
    change = result["skill"]["val"]["untrained"]["accuracy"]
    assert change["value"] == pytest.approx(right["after"].mean() - right["before"].mean())
    assert change["only_model"] == (right["after"] & ~right["before"]).sum()
    log = (tmp_path / "run" / "run.log").read_text()
    assert "before the first step: log loss" in log
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "completed"


@pytest.mark.slow
def test_a_resumed_run_keeps_what_the_untrained_model_said(train_run, tmp_path):
    folder = small_folder("qwen2", tmp_path / "qwen")
    common = [
        "model=qwen05b", f"model.path={folder}", "adapter=lora", "model.formulation=verbalizer", "data.max_length=300",
        "toy_rows=150", "baselines=[untrained]", "schedule.total_steps=4", "trainer.accelerator=cpu",
    ]  # fmt: skip
    first = train_run("run", *common, "trainer.max_steps=2")
    before = (first.path / "predictions" / "untrained" / "val.parquet").read_bytes()
    loss = first.read_result()["baselines"]["val"]["untrained"]["log_loss"]
    again = train_run("run", *common, "trainer.max_steps=4", f"resume={first.path}")
    assert (again.path / "predictions" / "untrained" / "val.parquet").read_bytes() == before
    assert again.read_result()["baselines"]["val"]["untrained"]["log_loss"] == loss


@pytest.mark.slow
def test_the_first_batch_is_looked_at_before_the_first_step(train_run, tmp_path, caplog):
    """A fresh head knows nothing and says so; one of another task is told from it."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = small_folder("llama", tmp_path / "llama")
    state = load_file(folder / "model.safetensors")
    state["score.weight"] = 30 * torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    common = ["model=qwen05b", f"model.path={folder}", "model.formulation=score", "toy_rows=150", "trainer.max_steps=1"]
    with caplog.at_level("INFO", "arena"):
        train_run("fresh", *common)
        assert "before the first step: log loss 1.0986" in caplog.text or "ln 3 = 1.0986" in caplog.text
        assert "worse than equal probabilities" not in caplog.text
        train_run("other", *common, "model.start=pretrained")
        assert "worse than equal probabilities" in caplog.text
