"""Shared by all tests: where real data lie, and how to run arena as a person does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from arena import config
from arena.run import RunFolder

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ARENA_SHARED", ROOT.parent / "shared"))

Command = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def arena(tmp_path: Path) -> Command:
    """`arena("train", "trainer.max_steps=2")` runs a module of arena in an empty folder, without a network."""

    def run(module: str, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
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

    Small and quick unless told otherwise: 120 toy rows, batches of 8, no intervals, fp32.
    """
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)

    def run(folder: str, *overrides: str) -> RunFolder:
        from arena import train

        place = tmp_path / folder
        train.train(compose("data.limit=120", "data.batch_size=8", "resamples=0", *overrides, f"run_dir={place}"))
        return RunFolder(place)

    return run


def compose(*overrides: str) -> DictConfig:
    """The configuration of a command line; fp32 unless it says otherwise, so that any machine computes the same."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    config.register_resolvers()
    precision = [] if any("precision" in o for o in overrides) else ["trainer.precision=32-true"]
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return hydra_compose("train", [*precision, *overrides])
