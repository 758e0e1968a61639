"""A run that is stopped and resumed ends with the very bits of an undisturbed one."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from support import ROOT

from arena.callback.checkpoint import RandomState
from arena.callback.diagnostics import FiniteLoss
from arena.config.weights import read_checkpoint
from arena.core.errors import Interrupted
from arena.logger import journal

SETTINGS = [
    "data.limit=160", "trainer.max_steps=20", "trainer.max_epochs=100", "trainer.log_every_n_steps=1",
    "validate_every=5",
]  # fmt: skip


def equal(a, b) -> bool:
    """Deep equality with tolerance zero."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def stop_at(monkeypatch, step: int, number: int = signal.SIGTERM) -> None:
    """A real signal, sent by this process to itself at the end of a step."""
    original = FiniteLoss.on_train_batch_end

    def hook(self, trainer, *rest):
        original(self, trainer, *rest)
        if trainer.global_step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(FiniteLoss, "on_train_batch_end", hook)


@pytest.mark.parametrize(
    "extra",
    [
        [],
        pytest.param(["trainer.accumulate_grad_batches=2", "validate_every=3"], marks=pytest.mark.slow),
        pytest.param(["schedule=plateau", "data.num_workers=2"], marks=pytest.mark.slow),
        pytest.param(["callback=ema", "callback.ema.update_starting_at_step=3"], marks=pytest.mark.slow),
        pytest.param(["optim=schedule_free"], marks=pytest.mark.slow),
        pytest.param(["optim=lion", "schedule=wsd"], marks=pytest.mark.slow),
        pytest.param(["optim=muon", "optim.layer_decay=0.8"], marks=pytest.mark.slow),
        pytest.param(["optim=adamw8bit", "model.width=64"], marks=pytest.mark.slow),
        pytest.param(["callback=adversarial", "callback.adversarial.method=awp"], marks=pytest.mark.slow),
    ],
    ids=[
        "plain",
        "accumulated",
        "plateau-workers",
        "ema",
        "schedule-free",
        "lion",
        "muon",
        "adamw8bit",
        "adversarial",
    ],
)
def test_stops_change_no_bit(train_run, monkeypatch, extra):
    """Dropout and shuffling on; stops at 10, where a validation is due, and at 18, in the second epoch."""
    whole = train_run("whole", *SETTINGS, *extra)
    resume: list[str] = []
    for step in (10, 18):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Interrupted, match=f"after step {step}") as stopped:
                train_run("parts", *SETTINGS, *extra, *resume)
        assert stopped.value.code == 143
        resume = [f"resume={whole.path.parent / 'parts'}"]
    parts = train_run("parts", *SETTINGS, *extra, *resume)
    first, second = (read_checkpoint(run.last) for run in (whole, parts))
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "PairData"):
        assert equal(first[key], second[key]), key
    saved = [
        {
            name: state
            for name, state in c["callbacks"].items()
            if "Random" in name or "Check" in name or "Average" in name
        }
        for c in (first, second)
    ]
    assert equal(*saved)
    assert list(map(repr, journal.read(whole.metrics))) == list(map(repr, journal.read(parts.metrics)))  # nan != nan
    assert whole.read_result()["test"] == parts.read_result()["test"]
    assert parts.read_result()["status"] == "completed"


@pytest.mark.slow
def test_without_the_random_state_the_bits_differ(train_run, monkeypatch):
    """The negative control: the test above can fail."""
    whole = train_run("whole", *SETTINGS)
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(Interrupted):
            train_run("parts", *SETTINGS)
    monkeypatch.setattr(RandomState, "on_train_batch_start", lambda *_: None)
    parts = train_run("parts", *SETTINGS, f"resume={whole.path.parent / 'parts'}")
    first, second = (read_checkpoint(run.last)["state_dict"] for run in (whole, parts))
    assert not equal(first, second)


def test_a_stop_is_recorded(train_run, monkeypatch, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop_at(patch, 3, signal.SIGINT)
        with pytest.raises(Interrupted) as stopped:
            train_run("run", *SETTINGS)
    assert stopped.value.code == 130
    from arena.core.run import RunFolder

    result = RunFolder(tmp_path / "run").read_result()
    assert result["status"] == "preempted"
    assert "stopped by Ctrl-C after step 3" in result["reason"]
    assert result["steps"] == 3
    assert signal.getsignal(signal.SIGTERM) == before, "the handlers are given back"


@pytest.mark.slow
def test_changed_data_are_refused(train_run, monkeypatch, tmp_path):
    from arena.core.errors import DataError

    train_run("run", "trainer.max_steps=2")
    with pytest.raises(DataError, match="the data changed"):
        train_run("run", "trainer.max_steps=4", "data.reader.seed=5", f"resume={tmp_path / 'run'}")


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_bit(arena, tmp_path):
    """The same command again and again under SIGKILL, with a checkpoint after every step."""
    common = [
        *SETTINGS, "data.batch_size=8", "resamples=0", "trainer.precision=32-true",
        "callback.checkpoint.every_minutes=1e-6", "test=false", "evaluate.figures=false",
    ]  # fmt: skip
    assert arena("train", *common, "hydra.run.dir=whole").returncode == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "parts"
    killed = 0
    arguments = [*common, "hydra.run.dir=parts"]
    for wait in (0.3, 1.3, 0.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "arena.train", *arguments], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
        )
        before = (folder / "checkpoints" / "last.ckpt").stat().st_mtime if killed else 0.0
        while process.poll() is None and not newer(folder / "checkpoints" / "last.ckpt", before):
            time.sleep(0.01)
        time.sleep(wait)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        arguments = ["resume=parts"]
    assert killed >= 2, "the fault really has to happen"
    done = arena("train", "resume=parts")
    assert done.returncode == 0, done.stderr
    first, second = (read_checkpoint(tmp_path / n / "checkpoints" / "last.ckpt") for n in ("whole", "parts"))
    assert equal(first["state_dict"], second["state_dict"])
    assert equal(first["optimizer_states"], second["optimizer_states"])


def newer(path, than: float) -> bool:
    return path.exists() and path.stat().st_mtime > than
