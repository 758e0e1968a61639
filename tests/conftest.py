"""Shared by all tests: where real data lie, and how to run arena as a person does."""

import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checked_shapes import first_calls_are_checked  # noqa: F401, I001 - before anything of arena
from support import ROOT, SHARED, compose, made_once

from arena.core.run import RunFolder

Command = Callable[..., subprocess.CompletedProcess]


def pytest_collection_finish() -> None:
    """What has been imported by now stays: the collector need not look through it in every test."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARENA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def arena(tmp_path: Path) -> Command:
    """`arena("train", "trainer.max_steps=2")` runs a module of arena in an empty folder, without a network."""

    def run(module: str, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment.pop("WANDB_API_KEY", None)
        return subprocess.run(
            [sys.executable, "-m", f"arena.{module}", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    return run


@pytest.fixture
def shared() -> Path:
    """The folder of real data; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no real data here; set ARENA_SHARED")
    return SHARED


@pytest.fixture
def train_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunFolder]:
    """`train_run("folder", "trainer.max_steps=2")` trains in this process and returns the run folder.

    Small and quick unless told otherwise: 120 toy rows, batches of 8, no intervals, no pictures, fp32.
    """
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)

    def run(folder: str, *overrides: str) -> RunFolder:
        from arena import train

        place = tmp_path / folder
        small = ["data.limit=120", "data.batch_size=8", "resamples=0", "evaluate.figures=false"]
        train.train(compose(*small, *overrides, f"run_dir={place}"))
        return RunFolder(place)

    return run


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """What `python -m arena.train ARGUMENTS` answers in an empty folder, in this process: exit code, lines on stderr.

    `module`: another entry point.
    """

    def call(*arguments: str, module: str = "train") -> tuple[int, list[str]]:
        entry = importlib.import_module(f"arena.{module}")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(sys, "argv", [f"arena.{module}", *arguments])
        for name in ("install", "over"):  # this process goes on after the command
            monkeypatch.setattr(f"arena.core.stop.{name}", lambda: None)
        with pytest.raises(SystemExit) as end:
            entry.main()
        assert isinstance(end.value.code, int)
        return end.value.code, capsys.readouterr().err.strip().splitlines()

    return call


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """Trained once for all tests, which must not change them: two folds of one recipe ("0", "1"), another recipe
    ("focal") on the first fold, and a run without a class for ties ("two")."""
    from arena import train

    common = ["data.limit=300", "data.batch_size=16", "resamples=0", "trainer.max_steps=8", "test=false"]
    common += ["data.folds=2", "data.max_length=128", "evaluate.figures=false"]
    two = ["data.labels=[model_a,model_b]", "data.on_tie=drop", "data.fold=0"]
    chosen = {"0": ["data.fold=0"], "1": ["data.fold=1"], "focal": ["data.fold=0", "loss=focal"], "two": two}

    def make(place: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "1")
            patch.delenv("WANDB_API_KEY", raising=False)
            for name, overrides in chosen.items():
                train.train(compose(*common, *overrides, f"run_dir={place / name}"))

    place = made_once(tmp_path_factory, "folds", make)
    return {name: RunFolder(place / name) for name in chosen}
