"""`arena COMMAND`, the console script, and what it completes."""

import subprocess
import sys
from pathlib import Path

import pytest

from arena.__main__ import COMMANDS, completions

SCRIPT = Path(sys.executable).with_name("arena")


def test_the_script_runs_the_commands(tmp_path):
    """The installed script, or `python -m arena` where this checkout is not installed as one."""
    from outside.conftest import environment

    start = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "arena"]

    def typed(*words):
        return subprocess.run([*start, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True)

    assert all(f"\n  {name} " in typed("--help").stdout for name in COMMANDS)
    assert "loss: focal" in typed("train", "loss=focal", "--cfg", "hydra").stdout.replace("loss=focal", "loss: focal")
    wrong = typed("evalute", "run=x")
    assert (wrong.returncode, wrong.stderr) == (2, "arena: evalute: no such command; did you mean 'evaluate'?\n")
    refused = typed("predict", "run=x")
    assert (refused.returncode, refused.stderr) == (2, "arena: output: a value is needed; give output=FILE\n")


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("arena ev", ["evaluate"]),
        ("arena train model=q", ["model=qwen05b", "model=qwen05b_causal"]),
        ("arena train loss=focal loss.", ["loss.gamma="]),
        ("arena train data.batch", ["data.batch_size="]),
        ("arena predict run=x sw", ["swap=", "data.", "output="]),
    ],
)
def test_completion(line, some):
    found = completions(line)
    assert set(some) <= set(found), found
    assert not any("=_" in each for each in found)


def test_bash_completes(tmp_path):
    """The script that `arena completion` prints, in a real bash."""
    from outside.conftest import environment

    (tmp_path / "arena").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m arena "$@"\n')
    (tmp_path / "arena").chmod(0o755)
    text = 'eval "$(arena completion)"; COMP_LINE="arena train loss=foc"; COMP_WORDS=(arena train loss=foc); '
    text += 'COMP_CWORD=2; _arena_complete; echo "${COMPREPLY[@]}"'
    env = environment() | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["loss=focal"], done
