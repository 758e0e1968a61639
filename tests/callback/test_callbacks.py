"""Alarms, the journal, and files that survive."""

import math
import os
import re

import numpy as np
import pyarrow as pa
import pytest
import torch

from arena.callback.predictions import prediction_table
from arena.callback.storage import AtomicCheckpointIO
from arena.config.weights import read_checkpoint
from arena.core.errors import DivergedError
from arena.logger import journal
from arena.logger.journal import Journal


def test_the_journal_keeps_every_value_and_nan(tmp_path):
    log = Journal(tmp_path / "metrics.csv")
    log.step_now = lambda: 7
    log.log_metrics({"val/log_loss": 0.5, "val/precision/tie": math.nan, "epoch": 2}, step=6)
    rows = journal.read(tmp_path / "metrics.csv")
    assert [(r["step"], r["epoch"], r["split"], r["name"]) for r in rows] == [
        (7, 2, "val", "log_loss"), (7, 2, "val", "precision/tie"),
    ]  # fmt: skip
    assert math.isnan(rows[1]["value"])


def test_a_line_cut_by_a_kill_is_left_out_and_later_ones_are_rewound(tmp_path):
    path = tmp_path / "metrics.csv"
    log = Journal(path)
    for step in (1, 2, 3):
        log.log_metrics({"train/loss": 1 / step}, step=step)
    with open(path, "a") as file:
        file.write("4,0,train,lo")
    assert [row["step"] for row in journal.read(path)] == [1, 2, 3]
    journal.rewind(path, 2)
    assert [(row["step"], row["value"]) for row in journal.read(path)] == [(1, 1.0), (2, 0.5)]


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    storage = AtomicCheckpointIO()
    path = tmp_path / "best.ckpt"
    storage.save_checkpoint({"a": torch.ones(2)}, path)
    with pytest.raises(Exception, match="pickle"):
        storage.save_checkpoint({"a": lambda: 0}, path)
    assert torch.equal(storage.load_checkpoint(path)["a"], torch.ones(2))
    assert sorted(os.listdir(tmp_path)) == ["best.ckpt", "manifest.json"]


def test_checkpoints_with_code_in_them_are_refused(tmp_path):
    """A pickle that would call a function is not opened, whatever the caller asks."""

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match="[Ww]eights"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)
    assert not (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["loss", "weights"])
def test_a_diverged_run_stops_and_keeps_the_last_good_weights(train_run, monkeypatch, tmp_path, what):
    """A loss, or a weight, that becomes NaN at step 5: status, exit code 76, finite checkpoints of before."""
    from arena.callback.diagnostics import FiniteLoss
    from arena.core.run import RunFolder

    original = FiniteLoss.on_train_batch_end

    def hook(self, trainer, module, outputs, *rest):
        if trainer.global_step == 5:
            if what == "loss":
                outputs = {"loss": outputs["loss"] * math.nan}
            else:
                next(module.parameters()).data.fill_(math.inf)
        original(self, trainer, module, outputs, *rest)

    monkeypatch.setattr(FiniteLoss, "on_train_batch_end", hook)
    with pytest.raises(DivergedError):
        train_run("run", "trainer.max_steps=8", "validate_every=4")
    run = RunFolder(tmp_path / "run")
    assert run.read_result()["status"] == "diverged"
    assert DivergedError.code == 76
    for path in (run.best, run.last):
        state = read_checkpoint(path)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_a_collapse_is_said_at_the_first_validation(train_run, caplog):
    """A learning rate that is far too small leaves every row with the same class."""
    import logging

    with caplog.at_level(logging.WARNING, logger="arena"):
        train_run("run", "trainer.max_steps=2", "validate_every=1", "optim.lr=1e-12")
    assert re.search(r"collapsed at step 1: (\d+) of \1 validation rows are predicted as", caplog.text)


def test_predictions_are_joined_by_row():
    covariates = pa.table({"row": [4, 2, 9], "id": ["four", "two", "nine"], "group": ["x", "y", "z"]})
    table = prediction_table(
        covariates,
        ["a", "b"],
        np.array([2, 4]),
        np.array([[0.1, 0.9], [0.7, 0.3]]),
        np.array([1, -100]),
        np.array([0.1, 0.2]),
    )
    assert table.to_pylist() == [
        {"id": "two", "probability_a": 0.1, "probability_b": 0.9, "target": "b", "loss": 0.1, "group": "y"},
        {"id": "four", "probability_a": 0.7, "probability_b": 0.3, "target": None, "loss": 0.2, "group": "x"},
    ]
