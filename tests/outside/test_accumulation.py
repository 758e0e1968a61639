"""Gradient accumulation, typed: an update is the mean over all its items, and only between updates is anything done."""

import csv
import signal
import time
from pathlib import Path

import pytest
import torch

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
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (whole, parts))
    for name, weight in first["state_dict"].items():
        assert torch.equal(weight, second["state_dict"][name]), name
