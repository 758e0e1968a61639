"""What a person sees on a terminal of 80 columns."""

import os
import pty
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from conftest import environment
from support import head_settings, write_head_rows


def on_a_terminal(*arguments: str, cwd: Path) -> list[str]:
    """Type `python -m arena.train ARGUMENTS` on a terminal of 80 columns; returns the lines that it shows."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "arena.train", *arguments], cwd=cwd, env=environment(COLUMNS=None, TERM="xterm"),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.slow
def test_a_training_on_a_terminal_is_readable(tmp_path):
    rows = write_head_rows(tmp_path / "heads.csv", 200)
    settings = head_settings(rows.name, "trainer.max_steps=6", "validate_every=2", "optim.lr=1e-6", "hydra.run.dir=run")
    lines = on_a_terminal(*settings, cwd=tmp_path)
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "/-2" not in text
    assert [step for step in (2, 4, 6) if f"step {step}/6  val/log_loss" in text] == [2, 4, 6]
    start = next(i for i, line in enumerate(lines) if line.startswith("differs from the defaults"))
    assert any(line.startswith("trainer.max_steps") for line in lines[start : start + 14])
    assert len([line for line in lines[:start] if line.strip()]) < 12
    assert all(len(line) <= 80 for line in lines[lines.index("heads") : lines.index("rarest class of each head")])
    for head in ("stance", "sentiment"):
        assert text.count(f"head {head} collapsed at step") <= 1
    resumed = on_a_terminal("resume=run", "trainer.max_steps=8", cwd=tmp_path)
    assert len(resumed) < 80
