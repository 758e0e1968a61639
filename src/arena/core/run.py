"""The run folder: everything that a run leaves, readable without arena.

config.yaml      the resolved configuration          metrics.csv      every logged value, appended as the run goes
splits.parquet   of every row: id, split ...         predictions/     one parquet file per split
checkpoints/     see `arena.core.checkpoints`        result.json      status, best value, test metrics, provenance
tokenizer/       copy of the tokenizer's files       run.log          messages and tracebacks
"""

import glob
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from arena.core import heartbeat, paths, redact
from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.files import locked, read_json, replacing, sweep

PACKAGES = ("arena", "lightning", "torch", "transformers", "torchmetrics", "peft", "hydra-core", "omegaconf", "numpy")


class RunFolder:
    """Paths of one run and the small files in it. Creating the object touches nothing on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().resolve()
        self.trusted: tuple[str, ...] = ()
        """Packages of the user's own whose classes may be built from here, as the command line names them."""
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.csv"
        self.splits = self.path / "splits.parquet"
        self.result = self.path / "result.json"
        self.tokenizer = self.path / "tokenizer"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"

    def predictions(self, split: str) -> Path:
        """Path of the predictions of one split (`val`, `test`)."""
        return self.path / "predictions" / f"{split}.parquet"

    @property
    def is_baseline(self) -> bool:
        """True for a run of `arena.baseline`."""
        return self.result.is_file() and self.read_result().get("kind") == "baseline"

    def require(self) -> "RunFolder":
        """Return this folder; raises InputOutputError where it holds no run, DataError where a link leads out of it."""
        if not self.path.is_dir():
            raise InputOutputError(f"run={self.path}: no such folder")
        if not self.config.is_file():
            raise InputOutputError(f"run={self.path}: not a run folder (it has no config.yaml)")
        refuse_links_out(self.path)
        return self

    def require_free(self, key: str, way_on: str = "") -> None:
        """Refuse (UsageError) a folder that holds a run; `key` named it, `way_on` is the way besides another folder."""
        if any(self.checkpoints.glob("*.ckpt")) or (self.path / "predictions").exists():
            raise UsageError(f"{key}={self.path}: it holds a run already; choose another folder{way_on}")

    def read_result(self) -> dict[str, Any]:
        """Read `result.json`, empty where there is none; a run that was killed has the status "failed"."""
        if not self.result.is_file():
            return {}
        return heartbeat.with_failure(read_json(self.result, "delete it to go on without it"))

    def write_result(self, result: dict[str, Any]) -> None:
        """Replace `result.json` in one step; NaN and infinity become null, which every reader understands."""
        write_json(self.result, redact.node(plain(result)))

    @contextmanager
    def locked(self, enabled: bool = True) -> Iterator[None]:
        """Lock the folder against a second process (UsageError), and sweep what killed processes left half-written.

        The other processes of a distributed run are not `enabled`.
        """
        if not enabled:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / ".lock", f"{self.path}: another process trains in this folder; wait or choose another"):
            sweep(self.path)
            yield


def find_runs(given: str) -> list[RunFolder]:
    """Find the run folders that `run=` names: a folder, `[FOLDER,FOLDER]`, a pattern (`multirun/study/*`), or a folder
    that holds runs 0, 1, 2, ... A pattern or a parent folder gives those of its folders that hold a run, in the order
    of their numbers.

    Raises InputOutputError where there is no such folder or no run in it, UsageError where a folder is named twice.
    """

    def known(name: str) -> bool:
        return paths.exists(name) or (glob.has_magic(name) and bool(glob.glob(os.path.expanduser(name))))

    inside = None if paths.exists(given) else paths.listed(given)
    names = [given] if inside is None else paths.separate(inside, known) or inside.split(",")
    if not any(name.strip() for name in names):
        raise UsageError("run: a value is needed; give run=FOLDER")
    found: list[RunFolder] = []
    for name in (paths.unquoted(each.strip()) for each in names):
        path = Path(name).expanduser()
        if glob.has_magic(name) and not path.exists():
            some = _runs(Path(match) for match in glob.glob(str(path)))
            if not some:
                raise InputOutputError(f"run={name}: no run folder has such a name")
        else:
            # Not a run itself: perhaps the parent of some. Otherwise let it say what it lacks.
            some = _runs([path]) or (_runs(visible(path)) if path.is_dir() else []) or [RunFolder(path).require()]
        for run in some:
            refuse_links_out(run.path)
        found += some
    places = [run.path for run in found]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"run={given}: {place} is named twice")
    return found


def refuse_links_out(folder: Path) -> None:
    """Refuse (DataError) a link below a folder that leads out of it: writing there would change files elsewhere.

    Files that W&B links in its own folder (a log in the user's cache) are never opened by arena.
    """
    home = folder.resolve()
    for place, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(place, name)
            harmless = Path(place).is_relative_to(home / "wandb") and not path.is_dir()
            if path.is_symlink() and not harmless and not path.resolve().is_relative_to(home):
                raise DataError(f"{path}: a link that leads out of {folder}; put what it leads to in its place")


def visible(folder: Path) -> list[Path]:
    """List the folders in `folder`, without hidden ones: `.hydra` holds a config.yaml and is no run."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _runs(paths: Iterable[Path]) -> list[RunFolder]:
    """Return those that are run folders; 10 comes after 9."""

    def by_number(run: RunFolder) -> list[Any]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(run.path))]

    return sorted((run for run in map(RunFolder, paths) if run.config.is_file() or run.is_baseline), key=by_number)


def rank() -> int:
    """Number of this process in a distributed run, 0 for the first and for a single one."""
    return next((int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ), 0)


def plain(value: Any) -> Any:
    """Convert to JSON's types: numpy and torch scalars become Python's, NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in one step: a reader, or a kill at any moment, sees the old or the new content."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value in JSON's types (`plain`) in one step."""
    write_atomically(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit and cleanliness of the checkout that holds `folder`; nulls outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": bool(changed) if changed is not None else None}


def versions() -> dict[str, str]:
    """Return the versions of Python, the machine and the packages that decide the numbers, without importing them."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
