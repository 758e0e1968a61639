"""`-m ... hydra/launcher=arena`: plain multiruns in processes of their own, and refused distributed runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from support import ROOT

SMALL = ["toy_rows=200", "trainer.max_steps=2", "test=false", "resamples=0", "baselines=[]", "evaluate.figures=false"]


@pytest.mark.slow
def test_every_job_is_a_process_and_one_that_fails_stops_no_other(arena, tmp_path):
    # A learning rate that no number survives ends the first job with code 76.
    done = arena(
        "train", "-m", "optim.lr=1e30,2e-3", "trainer.gradient_clip_val=null", "study=my study", *SMALL[2:],
        "toy_rows=200", "trainer.max_steps=6", "schedule.warmup=0", "hydra/launcher=arena", "hydra.verbose=false",
    )  # fmt: skip
    assert done.returncode == 76, done.stderr
    place = tmp_path / "multirun" / "my study"
    statuses = [json.loads((place / str(n) / "result.json").read_text())["status"] for n in range(2)]
    assert statuses == ["diverged", "completed"]
    assert "trial 0 diverged" in done.stdout
    assert "optim.lr=1e+30" in done.stderr
    text = (place / "1" / ".hydra" / "hydra.yaml").read_text()
    assert "num: 1\n" in text
    assert "mode: RUN" in text


@pytest.mark.slow
def test_ctrl_c_stops_the_jobs_in_good_order(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "arena.train", "-m", "optim.lr=1e-3,2e-3", "hydra/launcher=arena"]
    command += ["trainer.max_steps=100000", "toy_rows=200"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sweep:
        journal = tmp_path / "multirun" / "default" / "0" / "metrics.csv"
        for _ in range(1200):
            if journal.is_file():
                break
            time.sleep(0.1)
        sweep.send_signal(signal.SIGINT)
        output, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, errors
    assert b"stopped: " in output
    assert json.loads((journal.parent / "result.json").read_text())["status"] == "preempted"
    assert not (journal.parent.parent / "1").exists()


def test_options_of_the_launcher_are_checked(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code, lines = typed("-m", "seed=0,1", "hydra/launcher=arena", "hydra.launcher.gpus=[0,1]")
    assert code == 2
    assert lines == ["arena: gpus=0,1: there is no GPU 1; this machine has 0"]
    assert not list((tmp_path / "multirun").glob("*/[0-9]*"))


def test_a_job_whose_folder_exists_is_refused(typed, tmp_path):
    (tmp_path / "multirun" / "default" / "1").mkdir(parents=True)
    code, lines = typed("-m", "seed=0,1", "hydra/launcher=arena")
    assert code == 2
    assert "exists already" in lines[-1]
    assert not (tmp_path / "multirun" / "default" / "0").exists()


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
