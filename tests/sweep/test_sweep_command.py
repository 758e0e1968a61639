"""`python -m arena.train -m ...` with arena's sweeper, as a person types it, with tiny trials that really train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from support import ROOT

from arena.config import compose as config
from arena.config.overrides import expanded

SMALL = ["data.limit=120", "data.batch_size=8", "resamples=0", "evaluate.figures=false", "trainer.max_steps=4"]
SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))
NEEDED = {
    "lambda": ["task=sft"],
    "lambda_lr": ["task=sft"],
    "rdrop_alpha": ["data.path=FILE", "data.text=text", "data.heads=[stance,sentiment]"],
}


def stored(folder: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")


@pytest.mark.slow
def test_a_sweep_of_learning_rates_resumes(arena, tmp_path):
    for total in (1, 2):
        done = arena("train", "-m", "sweep=lr", *SMALL, f"hydra.sweeper.n_trials={total}", timeout=500)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "multirun" / "lr"
    study = stored(folder, "lr")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    for trial in study.trials:
        run = folder / str(trial.number)
        result = json.loads((run / "result.json").read_text())
        assert trial.value == result["monitor"]["value"]
        assert f"lr: {trial.params['optim.lr']}" in (run / "config.yaml").read_text()
        assert not result.get("test")
    told = json.loads((folder / "sweep.json").read_text())
    assert told["params"] == {"optim.lr": "tag(log, interval(1e-6, 1e-2))"}
    assert told["n_trials"] == 2
    assert told["fixed"] == ["sweep=lr", *map(expanded, SMALL)]
    assert "best: trial" in done.stdout


@pytest.mark.slow
def test_a_stopped_sweep_leaves_nothing_running(tmp_path, arena):
    """The trial that ran is marked, its process is gone, and the same command tries it again."""
    command = ["-m", "hydra/sweeper=arena", "optim.lr=interval(1e-4,1e-3)", "hydra.sweeper.n_trials=1", *SMALL[:-1]]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    program = [sys.executable, "-m", "arena.train", *command, "trainer.max_epochs=100000"]
    sweep = subprocess.Popen(program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    folder = tmp_path / "multirun" / "default"
    until = time.monotonic() + 200
    while not (folder / "0" / "metrics.csv").exists():
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    sweep.send_signal(signal.SIGTERM)
    said, words = sweep.communicate(timeout=120)
    assert sweep.returncode == 143, words
    assert len(words.decode().strip().splitlines()) == 1
    assert b"ends with 0 of 1 trials; the same command goes on" in said
    study = stored(folder, "default")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    assert study.trials[0].user_attrs["kind"] == "preempted"
    assert study.trials[1].user_attrs["retry_of"] == 0
    assert json.loads((folder / "0" / "result.json").read_text())["status"] == "preempted"


@pytest.mark.slow
def test_another_launcher_of_hydra_runs_the_trials(arena, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the package hydra-joblib-launcher")
    done = arena(
        "train", "-m", "hydra/sweeper=arena", "hydra/launcher=joblib", "optim.lr=interval(1e-4,1e-3)",
        "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2", *SMALL, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    study = stored(tmp_path / "multirun" / "default", "default")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_of_conf_can_begin(name, tmp_path):
    """What it searches exists in the configuration at every end of every interval."""
    from support import write_head_rows

    from arena.sweep import plan

    config.register_resolvers()
    path = str(write_head_rows(tmp_path / "rows.csv", 50))
    given = [each.replace("FILE", path) for each in NEEDED.get(name, [])]
    assert plan.check([f"sweep={name}", *given, f"hydra.sweep.dir={tmp_path / 'study'}"])
    assert not (tmp_path / "study").exists()
    text = (ROOT / "conf" / "sweep" / f"{name}.yaml").read_text()
    assert "mode: MULTIRUN" not in text
    assert ("lr: tag(log" in text) == ("optim.lr:" in text)
