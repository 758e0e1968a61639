"""`hydra/launcher=arena`: trials in processes of their own, and refused distributed runs."""

import json
import os
import socket
import subprocess
import sys

import pytest
from support import ROOT

SMALL = ["toy_rows=200", "trainer.max_steps=2", "test=false", "resamples=0", "baselines=[]", "evaluate.figures=false"]


GRID = ["hydra/sweeper=arena", "hydra/sweeper/sampler=grid", "hydra/launcher=arena"]


@pytest.mark.slow
def test_every_trial_is_a_process_and_one_that_fails_stops_no_other(arena, tmp_path):
    # A learning rate that no number survives ends the first trial.
    done = arena(
        "train", "-m", "optim.lr=1e30,2e-3", "trainer.gradient_clip_val=null", "study=my study", *SMALL[2:], *GRID,
        "toy_rows=200", "trainer.max_steps=6", "schedule.warmup=0", "hydra.verbose=false", timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place = tmp_path / "multirun" / "my study"
    statuses = [json.loads((place / str(n) / "result.json").read_text())["status"] for n in range(2)]
    assert statuses == ["diverged", "completed"]
    assert "trial 0 diverged" in done.stdout
    text = (place / "1" / ".hydra" / "hydra.yaml").read_text()
    assert "num: 1\n" in text
    assert "mode: RUN" in text


@pytest.mark.slow
def test_options_of_the_launcher_are_checked(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code, lines = typed("-m", "seed=0,1", *GRID, "hydra.launcher.gpus=[0,1]", "hydra.sweeper.n_jobs=2")
    assert code == 2
    assert lines == ["arena: gpus=0,1: there is no GPU 1; this machine has 0"]
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_jobs_of_hydras_own_sweeper_are_sent_to_the_grid(typed, tmp_path):
    code, lines = typed("-m", "seed=0,1", "hydra/launcher=arena")
    assert code == 2
    assert len(lines) == 1
    assert "add hydra/sweeper=arena hydra/sweeper/sampler=grid" in lines[0]


@pytest.mark.slow
def test_processes_with_different_settings_refuse_to_train_together(tmp_path):
    """As `-m` makes them with Hydra's own launcher; here started by hand, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    common |= {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "0"}
    common |= {"LOCAL_WORLD_SIZE": "2"}
    ranks = []
    for rank in range(2):
        command = [sys.executable, "-m", "arena.train", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
        command += [*SMALL, f"optim.lr=0.00{rank + 1}", "hydra.run.dir=run"]
        environment = os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        ranks.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True))
    said = [rank.communicate(timeout=200)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2], said
    assert all("the processes of this run have different settings" in each for each in said)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "failed"
