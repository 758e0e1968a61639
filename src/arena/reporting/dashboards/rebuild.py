"""A run of W&B from the files of a run folder, the same as the training would have written."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from arena.core.console import say
from arena.core.errors import InputOutputError
from arena.core.paths import shown
from arena.core.run import RunFolder, write_json
from arena.core.stored import read
from arena.logger.journal_logger import JournalReader
from arena.logger.sender import answers, server
from arena.logger.wandb import Identity, close_run, open_run, write_entry

SYNCED = "synced.json"
"""File in `RUN/wandb`: of what the last rebuilt run was made, and where it is."""
FIRST = 50
"""Lines of the journal that an id is derived from; a run that is resumed keeps them."""
SECONDS = 600
"""How long a server may take to receive a run."""


def tell(run: RunFolder, options: dict[str, Any]) -> None:
    """Rebuild the run of W&B of a run folder, send it with `online`, and say where it is; see `rebuilt` and `send`."""
    folder, fresh = rebuilt(run, options)
    say(f"{run.path}: {'written to' if fresh else 'nothing is new since'} {folder}")
    if options["online"]:
        send(folder)
        say(f"{run.path}: sent")
    elif fresh:
        say(f"send it with: wandb sync {shown(folder)}")


def rebuilt(run: RunFolder, options: dict[str, Any]) -> tuple[Path, bool]:
    """The folder of the offline run, and whether it had to be written.

    Args:
        run: the run folder.
        options: `project`, `entity`, `group`, `samples`, `texts` of the command line.

    Raises:
        InputOutputError: the run has no journal.
    """
    if not run.metrics.is_file():
        raise InputOutputError(f"{run.metrics}: no such file; the run has logged nothing")
    identity = identity_of(run, options)
    made_of = digest(run, options | asdict(identity))
    note = run.path / "wandb" / SYNCED
    before = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    folder = note.parent / (Path(before.get("folder", "-")).name or "-")  # a name, wherever the note would lead
    if folder.is_dir():
        if before.get("digest") == made_of:
            return folder, False
        shutil.rmtree(folder)
    identity.write(run)
    folder = write(run, identity, options)
    write_json(note, {"digest": made_of, "folder": folder.name})
    return folder, True


def write(run: RunFolder, identity: Identity, options: dict[str, Any]) -> Path:
    """Write the run from its journal, tables and result; returns the folder."""
    from arena.config import build
    from arena.config.restore import settings_of
    from arena.reporting.dashboards.ending import directions
    from arena.reporting.dashboards.extras import send as send_tables

    settings = settings_of(run)
    build.quiet()
    # This machine's load has nothing to do with that run.
    opened = open_run(run, identity, directions(build.instantiate(settings["metric"])), statistics=False)
    for entry in JournalReader(run.metrics).read(whole=True):
        write_entry(opened, entry)
    send_tables(opened, run, options["samples"], options["texts"])
    result = run.read_result()
    folder = Path(opened.settings.sync_dir)
    close_run(opened, result, 0 if result.get("status") in ("completed", "stopped_early", "pruned") else 1)
    return folder


def identity_of(run: RunFolder, options: dict[str, Any]) -> Identity:
    """That of the training where W&B was on; else one whose id follows from the configuration and the first values."""
    settings = read(run.config)
    known = Identity.read(run)
    if known is None:
        settings.pop("resume", None)
        first = run.metrics.read_bytes().splitlines()[:FIRST]
        text = json.dumps(settings, sort_keys=True, default=str).encode() + b"\n".join(first)
        known = Identity(
            blake2b(text, digest_size=4).hexdigest(), "arena", name="/".join(run.path.parts[-2:]),
            group=settings.get("study"), tags=settings.get("tags"),
        )  # fmt: skip
    for key in ("project", "entity", "group"):
        if options[key] is not None:
            setattr(known, key, options[key])
    return known


def digest(run: RunFolder, options: dict[str, Any]) -> str:
    """Of everything that the rebuilt run is made of."""
    found = blake2b(json.dumps({k: v for k, v in options.items() if k != "online"}, sort_keys=True).encode())
    files = [run.config, run.metrics, run.result, *(run.predictions(split) for split in ("val", "test"))]
    files += sorted(run.path.glob("report/*/per_class*.csv"))
    files += sorted(run.path.glob("generations/*/generations.parquet"))
    for path in files:
        if path.is_file():
            found.update(str(path.relative_to(run.path)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def send(folder: Path) -> None:
    """Send an offline run.

    Raises:
        InputOutputError: the server does not answer, or does not take it.
    """
    if not answers(server()):
        raise InputOutputError(f"{server()} does not answer; try again later: the run stays in {folder}")
    command = [sys.executable, "-m", "wandb", "sync", str(folder)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise InputOutputError(f"{server()} took more than {SECONDS} s; the run stays in {folder}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise InputOutputError(f"{server()} did not take the run ({said}); it stays in {folder}")
