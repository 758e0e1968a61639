"""A run in Weights & Biases, written by the training and never waiting for a server."""

import contextlib
import json
import logging
import math
import os
import secrets
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.run import RunFolder, write_json
from arena.core.schema import Label, OutputPath, ProjectName, WholeNumber
from arena.core.stored import read
from arena.logger.journal_logger import Entry, JournalLogger
from arena.logger.sender import LAST_SECONDS, NO_ANSWER, server, start

log = logging.getLogger("arena")
IDENTITY = "wandb.json"
"""File in the run folder that says which run of W&B it is."""


@dataclass
class Identity:
    """Which run of W&B a run folder is.

    Attributes:
        id: of the run; the same for ever, also when the run is resumed or rebuilt.
        project: where it is shown.
        entity: user or team; None for the key's own.
        name: shown in tables.
        group: the study, whose trials belong together.
        job_type: what made it.
        tags: words to filter by.
    """

    id: str
    project: str
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    job_type: str = "train"
    tags: list[str] | None = None

    @classmethod
    def read(cls, run: RunFolder) -> "Identity | None":
        """What the folder says; None where it says nothing."""
        path = run.path / IDENTITY
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, run: RunFolder) -> None:
        """Say it in the folder."""
        write_json(run.path / IDENTITY, asdict(self))


def open_run(run: RunFolder, identity: Identity, directions: dict[str, str], statistics: bool = True) -> Any:
    """A new offline run of `wandb` in `RUN/wandb`, with the configuration and what is better in which direction.

    It holds the whole journal from its beginning: one that is sent later replaces what the server has under the same
    id. So it needs neither `resume`, which offline runs ignore, nor steps of its own.

    Args:
        run: the run folder.
        identity: see there.
        directions: `min` or `max` by name.
        statistics: whether to measure processor, memory and GPU while it is open.
    """
    # W&B's reports on itself go to the server from this process, offline runs or not, and its end waits 10 s for them.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    config = read(run.config) if run.config.is_file() else {}
    settings = wandb.Settings(
        silent=True,
        console="off",  # wrapping standard output is not worth it: run.log has it all
        reinit="create_new",  # several runs in one process are several runs
        x_transaction_log_flush_interval=2.0,  # seconds that a kill may cost, and that a live view is late
        x_disable_stats=not statistics,
    )
    identified = asdict(identity)
    with redact.hidden_arguments():
        opened = wandb.init(**identified, dir=str(run.path), config=config, mode="offline", settings=settings)  # pyright: ignore
    opened.define_metric("step", hidden=True)
    opened.define_metric("*", step_metric="step", step_sync=True)
    for name, direction in directions.items():
        opened.define_metric(name, step_metric="step", step_sync=True, summary=direction)
    return opened


def write_entry(opened: Any, entry: Entry) -> None:
    """One entry of the journal as one row of the run's history, without undefined values (0/0).

    No chart shows a NaN, and a single one would stay W&B's minimum and maximum for ever.
    """
    defined = {name: value for name, value in entry.values.items() if not math.isnan(value)}
    epoch = {} if entry.epoch is None else {"epoch": entry.epoch}
    opened.log({**defined, "step": entry.step, **epoch})


def close_run(opened: Any, result: dict[str, Any], code: int) -> None:
    """End a run as what it was: W&B itself knows only finished and failed; the summary and a tag say the rest."""
    status = result.get("status") or "failed"
    monitor = result.get("monitor") or {}
    opened.summary.update({"status": status, "reason": result.get("reason")})
    if monitor.get("value") is not None:
        opened.summary.update({"best/value": monitor["value"], "best/step": monitor["step"]})
        opened.summary.update({"best/monitor": monitor["name"]})
    if status not in ("completed", "stopped_early"):
        opened.tags = (*(opened.tags or ()), status)
    opened.finish(exit_code=code)


class WandbRun(JournalLogger):
    """The journal in W&B, offline into the run folder; with a key a side process sends it as it grows.

    The training itself never talks to the server: what is slow or dead there costs it nothing
    (`arena.logger.sender`).

    Args:
        folder: the run folder.
        project: of W&B.
        entity: user or team; null: the key's own.
        name: of the run; null: the last two folders of its path.
        group: the study; a sweep sets it for its trials (`WANDB_RUN_GROUP`).
        job_type: what the run is.
        tags: words to filter by.
        offline: whether to send nothing.
        samples: rows in the tables of predictions; half of them are those with the largest loss.
        texts: whether these tables, and that of generations, also hold texts, which may be private.
    """

    title = "W&B"

    def __init__(
        self,
        folder: OutputPath,
        project: ProjectName = "arena",
        entity: ProjectName | None = None,
        name: Label | None = None,
        group: Label | None = None,
        job_type: Label = "train",
        tags: list[Label] | None = None,
        offline: bool = True,
        samples: WholeNumber = 100,
        texts: bool = False,
    ) -> None:
        super().__init__(folder)
        self.offline = offline or os.environ.get("WANDB_MODE", "online") != "online"
        self.wanted = os.environ.get("WANDB_MODE") != "disabled"
        self.samples, self.texts = samples, texts
        group = os.environ.get("WANDB_RUN_GROUP") or group
        known = Identity.read(self.run)
        self.identity = Identity(
            id=known.id if known is not None else secrets.token_hex(4),
            project=project, entity=entity, name=name or "/".join(self.run.path.parts[-2:]), group=group,
            job_type=job_type, tags=redact.node(tags),
        )  # fmt: skip
        self.opened: Any = None
        self._sender: subprocess.Popen | None = None

    def open(self, directions: dict[str, str]) -> None:
        """Make the run, and begin to send it where there is a key."""
        self.identity.write(self.run)
        self.opened = open_run(self.run, self.identity, directions)
        folder = Path(self.opened.settings.sync_dir)
        if self.offline:
            log.info("W&B: offline into %s; send it later with: wandb sync %s", folder.parent, folder)
        else:
            self._sender = start(folder)

    def write(self, entry: Entry) -> None:
        """One row of history."""
        write_entry(self.opened, entry)
        if self._sender is not None and self._sender.poll() == NO_ANSWER:
            self._give_up()

    def close(self, result: dict[str, Any], code: int) -> None:
        """End the run, and wait a moment for the server."""
        close_run(self.opened, result, code)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._sender is None or self._sender.wait(LAST_SECONDS) == 0:
                return
        self._give_up()

    def _give_up(self) -> None:
        """Say where the run is; a process that is not done goes on by itself."""
        unanswered = self._sender is not None and self._sender.poll() == NO_ANSWER
        reason = f"{server()} does not answer" if unanswered else "not everything is sent yet"
        self._sender = None
        folder = Path(self.opened.settings.sync_dir)
        log.warning("W&B: %s; the run is whole in %s, send it with: wandb sync %s", reason, folder.parent, folder)
