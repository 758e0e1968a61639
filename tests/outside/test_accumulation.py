"""Gradient accumulation, typed: an update is the mean over all its items, and only between updates is anything done."""

import csv
import signal
import time
from pathlib import Path

import pytest
import torch

from arena.config.weights import read_checkpoint

QUICK = ["test=false", "baselines=[]", "resamples=0", "trainer.log_every_n_steps=1", "trainer.precision=32-true"]


def values(run: Path, split: str, name: str) -> dict[int, float]:
    """The logged values of a run by step."""
    with open(run / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["split"], row["name"]) == (split, name)]
    return {int(row["step"]): float(row["value"]) for row in rows}


@pytest.mark.slow
def test_stop_at_a_validation_changes_no_bit_of_an_accumulating_run(shell, start, tmp_path):
    """20 batches an epoch in windows of 3: the last window of each epoch has 2. SIGTERM after the fifth validation."""
    settings = [*QUICK, "toy_rows=400", "data.batch_size=16", "data.eval_batch_size=4", "validate_every=2"]
    settings += ["trainer.max_epochs=3", "trainer.accumulate_grad_batches=3"]
    shell("train", *settings, "hydra.run.dir=whole").ok()
    process = start("train", *settings, "hydra.run.dir=parts")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    while process.poll() is None and not (parts / "metrics.csv").is_file():
        time.sleep(0.05)
    while process.poll() is None and len(values(parts, "val", "log_loss")) < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert 5 <= len(values(parts, "val", "log_loss")) < 11
    shell("train", "resume=parts").ok()
    assert list(values(whole, "val", "log_loss")) == [*range(2, 21, 2), 21]
    assert (whole / "metrics.csv").read_text() == (parts / "metrics.csv").read_text()
    first, second = (read_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, parts))
    for name, weight in first["state_dict"].items():
        assert torch.equal(weight, second["state_dict"][name]), name


ONE_UPDATE = [
    *QUICK, "optim.lr=1e-9", "trainer.max_epochs=1", "trainer.gradient_clip_val=1000", "model.dropout=0",
    "model.input_dropout=0", "toy_rows=150",
]  # fmt: skip
REPLIES = [
    *QUICK, "optim.lr=1e-9", "trainer.max_epochs=1", "trainer.gradient_clip_val=1000", "task=sft", "toy_rows=40",
]  # fmt: skip
TWO_PROCESSES = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "whole", "divided"), [(ONE_UPDATE, 512, 100), (REPLIES, 64, 24)], ids=["rows", "tokens"]
)
def test_gradient_of_an_update_does_not_depend_on_its_division(shell, tmp_path, settings, whole, divided):
    """105 rows (28 replies) at once, and as 100 + 5 (24 + 4) in a short window of one process and in two processes."""
    arms = {
        "one": [f"data.batch_size={whole}", "trainer.accumulate_grad_batches=4"],
        "window": [f"data.batch_size={divided}", "trainer.accumulate_grad_batches=4"],
        "ranks": [f"data.batch_size={divided}", *TWO_PROCESSES],
    }
    out = {name: shell("train", *settings, *arm, f"hydra.run.dir={name}").ok().out for name, arm in arms.items()}
    loss = {name: values(tmp_path / name, "train", "loss")[1] for name in arms}
    norm = {name: values(tmp_path / name, "train", "gradient_norm")[1] for name in arms}
    for name in arms:
        assert norm[name] == pytest.approx(norm["one"], rel=1e-4), name
        assert loss[name] == pytest.approx(loss["one"], rel=1e-5), name
        assert f"step 1/1  train/loss {loss['one']:.4f}" in out[name], "the line of progress has the loss of the update"
