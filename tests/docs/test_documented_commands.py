"""Every command of the pages: checked by the fast tests, run by the slow ones as a reader would (see pages.py)."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pages import ARENA, PAGES, ROOT, Block, all_blocks, arena_commands, arguments, blocks, words

from arena.config import compose as config
from arena.config.options import read
from arena.config.overrides import single_runs, with_paths
from arena.config.resolvers import register_resolvers

MEANING = re.compile(r"[][(){}*?<>|;&$`!~]")
"""What a shell does not take literally outside of quotes."""
CHOICES = {
    "adapter",
    "callback",
    "data",
    "experiment",
    "loss",
    "model",
    "optim",
    "schedule",
    "sweep",
    "task",
    "trainer",
}


def keys(line: str) -> frozenset[str]:
    """What a line asks of the composition: its keys, and which choice of a group."""
    return frozenset(word if word.partition("=")[0] in CHOICES else word.partition("=")[0] for word in words(line))


def trainings() -> list[str]:
    """The trainings of the pages, without those whose keys another one has as well."""
    lines = {keys(line): line for name, line in arena_commands() if name == "train" and "resume=" not in line}
    return [line for typed, line in lines.items() if not any(typed < other for other in lines)]


@pytest.mark.parametrize("line", [line for _, line in arena_commands()])
def test_commands_can_be_pasted(line):
    assert not MEANING.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", line)), "quotes are missing"
    assert subprocess.run(["bash", "-n", "-c", line], capture_output=True).returncode == 0


@pytest.mark.parametrize("line", [line for line in trainings() if "--config-dir" not in line])
def test_trainings_compose(line):
    register_resolvers()
    sweeps = bool({"-m", "--multirun"} & set(shlex.split(line)))
    for single in list(single_runs(with_paths(words(line), sweeps)))[:1]:
        assert config.composed(single)


@pytest.mark.parametrize("command", sorted({name for name, _ in arena_commands()} - {"train"}))
def test_other_commands_know_their_keys(command):
    module = import_module(f"arena.{command}")
    options = getattr(module, f"{command.capitalize()}Options", None)
    for line in [line for name, line in arena_commands() if name == command]:
        if options:
            read(options, arguments(line))
        else:
            assert [key for key in keys(line) if f"{key}=" not in module.USAGE] == [], line


def test_what_is_not_run_says_why():
    skipped = [block for block in all_blocks() if block.mode == "skip"]
    assert all(re.match(r"skip \w+ \w+", block.said) for block in skipped)
    assert [block.name for block in skipped if ARENA.search(block.text)] == []
    shown = [block for block in all_blocks() if ARENA.search(block.text) and block.language in ("", "console", "shell")]
    assert [block.name for block in shown] == [], "a block of commands begins with ```sh"


@pytest.mark.parametrize("block", [block for block in all_blocks() if block.language == "python"], ids=lambda b: b.name)
def test_python_can_be_read(block):
    compile(block.text, block.name, "exec")


def environment() -> dict[str, str]:
    """A reader's environment: this Python as `python`, no hub, no key, one thread."""
    kept = {name: value for name, value in os.environ.items() if name not in ("WANDB_API_KEY", "ARENA_TRACEBACK")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}


def typed(line: str, block: Block) -> str:
    """The line as it is run: trainings with the overrides of their block."""
    found = ARENA.search(line)
    return shlex.join([*shlex.split(line), *block.overrides]) if found and found[1] == "train" else line


def execute(block: Block, folder: Path) -> None:
    """Run the commands of a block, or its Python, each in a process of its own."""
    if block.kind == "file":
        (folder / block.said).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.said).write_text(block.text + "\n")
    elif block.mode == "python":
        run([sys.executable, "-c", block.text], folder, 0, block.name)
    elif block.mode == "run":
        for line in block.commands:
            code = block.code if line == block.commands[-1] else 0
            run(["bash", "-c", typed(line, block)], folder, code, f"{block.name}\n{line}")


def run(command: list[str], folder: Path, code: int, what: str) -> None:
    """Run a command in a folder and expect its exit code."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, f"{what}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr, what


def is_run(page: Path) -> bool:
    """True where something of the page is run."""
    found = blocks(page) if page.exists() else []
    return any(block.mode == "python" or (block.mode == "run" and block.commands) for block in found)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if is_run(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_run(page, tmp_path):
    """The commands of a page one after the other in one folder that has the `docs/` and `examples/` of the clone."""
    for name in ("docs", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for block in blocks(page):
        execute(block, tmp_path)
