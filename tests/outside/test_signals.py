"""SIGTERM and Ctrl-C, sent to typed commands at every stage."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = ["data.limit=300", "trainer.max_epochs=1000", "trainer.log_every_n_steps=1", "hydra.run.dir=run", "test=false"]


def await_file(path: Path, process: subprocess.Popen) -> None:
    """Wait until a running process has written a file."""
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.slow
def test_sigterm_at_any_moment_of_the_start_ends_with_143(start, tmp_path):
    """Six moments from the first file on (the composition, the imports, the data, the model, the first steps)."""
    for moment in range(6):
        process = start("train", *RUN[:-2], f"hydra.run.dir=run{moment}")
        await_file(tmp_path / f"run{moment}" / ".hydra" / "config.yaml", process)
        time.sleep(0.5 * moment)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 143, error
        assert error.count("\n") == 1, error
        assert error.startswith("arena: stopped by SIGTERM"), error


@pytest.mark.slow
@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_second_signal_ends_a_training_at_once(start, shell, tmp_path, number, word):
    """A step of 3,000 rows takes seconds: the first signal waits for its end, the second does not."""
    process = start("train", *RUN[1:], "data.batch_size=3000", "baselines=[]")
    log = tmp_path / "run" / "run.log"
    await_file(log, process)
    while "before the first step" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["heartbeat"]["pid"]) == ("running", process.pid)
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)
    error = process.communicate(timeout=20)[1]
    assert process.returncode == 128 + number, error
    assert error == f"arena: ended at once by a second {word}\n"
    shell("compare", "base=run", "other=run", "output=o").refused(65, "failed", "killed", "last sign of life")
