"""Commands typed as a user types them, each in a process of its own: exit code, last line, files and numbers."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT, head_settings, made_once, write_head_rows

EXCEPTION = re.compile(r"\b[A-Z]\w*(Error|Exception|Interrupt|Warning)\b")
"""Name of a Python exception: never part of what a user reads."""


@dataclass(frozen=True)
class Answer:
    """What a command left on the screen, and its exit code."""

    command: list[str]
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Last line on stderr."""
        return (self.err.strip().splitlines() or [""])[-1]

    def ok(self) -> "Answer":
        """Assert exit code 0; returns itself."""
        assert self.code == 0, self
        return self

    def refused(self, code: int, *words: str) -> str:
        """Assert exit code `code` and one closing line `arena: ...` that holds all `words`; returns that line."""
        assert self.code == code, self
        assert self.last.startswith("arena: "), self
        assert "Traceback" not in self.err, self
        assert not EXCEPTION.search(self.last), self.last
        for word in words:
            assert word in self.last, self
        return self.last


Shell = Callable[..., Answer]


def environment(**changes: str | None) -> dict[str, str]:
    """The environment of a typed command: no hub, no key, one thread; `changes` adds values or, with None, removes."""
    base = {name: value for name, value in os.environ.items() if name not in ("WANDB_API_KEY", "ARENA_TRACEBACK")}
    base |= {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    for name, value in changes.items():
        base.pop(name, None)
        if value is not None:
            base[name] = value
    return base


def type_command(
    module: str, *arguments: str, cwd: Path, timeout: float = 240, env: dict[str, str] | None = None
) -> Answer:
    """Run `python -m arena.MODULE ARGUMENTS` in the folder `cwd`; `env` adds to the environment, or removes (None)."""
    command = [sys.executable, "-m", f"arena.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**(env or {})), capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Answer(command[1:], done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """`shell("train", "trainer.max_steps=2")` types a command in an empty folder and returns its `Answer`."""

    def run(module: str, *arguments: str, cwd: Path | None = None, **options) -> Answer:
        return type_command(module, *arguments, cwd=cwd or tmp_path, **options)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """`start("train", "hydra.run.dir=r")` types a command and goes on: the process, `communicate` gives stderr."""
    running: list[subprocess.Popen] = []

    def begin(module: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen:
        command = [sys.executable, "-m", f"arena.{module}", *arguments]
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=cwd or tmp_path, env=environment(), stdin=null, stdout=null, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()  # waits and closes its pipe


SMALL = ["data.limit=300", "data.batch_size=16", "trainer.max_steps=12", "validate_every=6", "resamples=20"]


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """`trained("pairwise")` is a finished run, made once for all tests and processes of the session; read only.

    Kinds: `pairwise`, `heads`, `replies`. A test that writes works on a copy; that the runs stayed as they were is
    asserted when the session ends.
    """
    commands: dict[str, Callable[[Path], list[str]]] = {
        "pairwise": lambda _: SMALL,
        "heads": lambda place: head_settings(write_head_rows(place / "heads.csv", 300), "trainer.max_steps=12"),
        "replies": lambda _: ["task=sft", *SMALL],
    }
    runs: dict[str, Path] = {}
    digests: dict[str, dict[str, str]] = {}

    def make(kind: str) -> Path:
        def train(place: Path) -> None:
            type_command("train", *commands[kind](place), f"hydra.run.dir={kind}", cwd=place, timeout=600).ok()

        if kind not in runs:
            runs[kind] = made_once(tmp_path_factory, f"trained-{kind}", train) / kind
            digests[kind] = _digests(runs[kind])
        return runs[kind]

    yield make
    for kind, before in digests.items():
        assert _digests(runs[kind]) == before, f"a test changed the shared run '{kind}'"


@pytest.fixture
def pairwise_run(trained: Callable[[str], Path]) -> Path:
    """A finished run of comparisons (toy rows, tiny model, 12 steps); read only."""
    return trained("pairwise")


@pytest.fixture
def heads_run(trained: Callable[[str], Path]) -> Path:
    """A finished run of two heads (`heads.csv` beside it); read only."""
    return trained("heads")


@pytest.fixture
def replies_run(trained: Callable[[str], Path]) -> Path:
    """A finished run of a language model on toy replies; read only."""
    return trained("replies")
