"""A run in Weights & Biases, written by the training and never waiting for a server."""

import contextlib
import json
import logging
import math
import os
import secrets
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from arena.core import redact
from arena.core.run import RunFolder, write_json
from arena.core.schema import Label, OutputPath, ProjectName, WholeNumber
from arena.core.stored import read
from arena.logger import journal
from arena.logger.sender import LAST_SECONDS, NO_ANSWER, server, start

log = logging.getLogger("arena")
IDENTITY = "wandb.json"
"""File in the run folder with the run's id, project and name in W&B."""


class WandbRun(journal.FolderLogger):
    """The journal in W&B, offline into the run folder; with a key a side process sends it as it grows.

    Names, values and steps are those of `metrics.csv`, which is written first: the step of Lightning's own W&B logger
    is one behind while a model trains. The training itself never talks to the server (`arena.logger.sender`), and goes
    on where W&B breaks. Under DDP only the first process has a run.

    Args:
        folder: the run folder.
        project: of W&B.
        entity: user or team; null: the key's own.
        name: of the run; null: the last two folders of its path.
        group: the study; a sweep sets it for its trials (`WANDB_RUN_GROUP`).
        job_type: kind of the run.
        tags: words to filter by.
        offline: send nothing.
        samples: rows in the tables of predictions; half of them are those with the largest loss.
        texts: add texts, which may be private, to the tables of predictions and generations.
    """

    name = "W&B"

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
        self.run = RunFolder(folder)
        self.offline = offline or os.environ.get("WANDB_MODE", "online") != "online"
        self.samples, self.texts = samples, texts
        self.identity = {
            "id": self._known_id() or secrets.token_hex(4),
            "project": project, "entity": entity, "name": name or "/".join(self.run.path.parts[-2:]),
            "group": os.environ.get("WANDB_RUN_GROUP") or group, "job_type": job_type, "tags": redact.node(tags),
        }  # fmt: skip
        self.opened: Any = None
        self._live = False
        self._offset = 0
        self._sender: subprocess.Popen | None = None

    def _known_id(self) -> str | None:
        """A run that is resumed keeps its id."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((self.run.path / IDENTITY).read_text(encoding="utf-8"))["id"])
        return None

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write what is new in the journal."""
        self._attempt(self._follow)

    def begin(self, directions: dict[str, str]) -> None:
        """Open the run; `directions`: `min` or `max` for the names of values that have a better end."""
        self._live = os.environ.get("WANDB_MODE") != "disabled"
        self._attempt(self._open, directions)

    def end(self, result: dict[str, Any], code: int, more: Callable[["WandbRun"], Any]) -> None:
        """Write the rest of the journal and what `more` adds, and close the run.

        Args:
            result: `result.json`.
            code: exit code of the training.
            more: writes what is no value of the journal.
        """
        self._attempt(self._follow)
        self._attempt(more, self)
        self._attempt(self._close, result, code)
        self._live = False

    def _attempt(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call something that may break without breaking the training."""
        if not self._live:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a client's warnings of its own insides are nothing to act on
                function(*arguments)
        except Exception as error:
            self._live = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("%s: nothing more is sent there (%s); %s has everything", self.name, reason, self.run.metrics)

    def _open(self, directions: dict[str, str]) -> None:
        """Start an offline run in `RUN/wandb`, and its sender where there is a key.

        The run holds the whole journal from its beginning: one that is sent later replaces what the server has under
        the same id. So it needs neither `resume`, which offline runs ignore, nor steps of its own.
        """
        # W&B's reports on itself go to the server from this process, offline runs or not; its end waits 10 s for them.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",  # wrapping standard output is not worth it: run.log has it all
            reinit="create_new",  # several runs in one process are several runs
            x_transaction_log_flush_interval=2.0,  # seconds that a kill may cost, and that a live view is late
        )
        config = read(self.run.config) if self.run.config.is_file() else {}
        write_json(self.run.path / IDENTITY, self.identity)
        with redact.hidden_arguments():
            self.opened = wandb.init(
                **self.identity, dir=str(self.run.path), config=config, mode="offline", settings=settings
            )
        self.opened.define_metric("step", hidden=True)
        self.opened.define_metric("*", step_metric="step", step_sync=True)
        for name, direction in directions.items():
            self.opened.define_metric(name, step_metric="step", step_sync=True, summary=direction)
        if self.offline:
            log.info("W&B: offline into %s; send it later with: wandb sync %s", self._sent.parent, self._sent)
        else:
            self._sender = start(self._sent)

    @property
    def _sent(self) -> Path:
        """The folder that `wandb sync` takes."""
        return Path(self.opened.settings.sync_dir)

    def _follow(self) -> None:
        if self.run.metrics.is_file():
            rows, self._offset = journal.read_from(self.run.metrics, self._offset)
            for step, epoch, values in journal.grouped(rows):
                self._write(values | {"step": step} | ({} if epoch is None else {"epoch": epoch}))

    def _write(self, values: dict[str, float]) -> None:
        """Log a row of history without undefined values (0/0).

        No chart shows a NaN, and a single one would stay W&B's minimum and maximum for ever.
        """
        self.opened.log({name: value for name, value in values.items() if not math.isnan(value)})
        if self._sender is not None and self._sender.poll() == NO_ANSWER:
            self._give_up()

    def _close(self, result: dict[str, Any], code: int) -> None:
        """End the run with its status, which W&B knows as finished or failed only, and wait a moment for the server."""
        status, monitor = result.get("status") or "failed", result.get("monitor") or {}
        self.opened.summary.update({"status": status, "reason": result.get("reason")})
        if monitor.get("value") is not None:
            best = {"best/value": monitor["value"], "best/step": monitor["step"], "best/monitor": monitor["name"]}
            self.opened.summary.update(best)
        if status not in ("completed", "stopped_early"):
            self.opened.tags = (*(self.opened.tags or ()), status)
        self.opened.finish(exit_code=code)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._sender is None or self._sender.wait(LAST_SECONDS) == 0:
                return
        self._give_up()

    def _give_up(self) -> None:
        """Log where the run is; a sender that is not done goes on by itself."""
        unanswered = self._sender is not None and self._sender.poll() == NO_ANSWER
        reason = f"{server()} does not answer" if unanswered else "not everything is sent yet"
        self._sender = None
        where, sent = self._sent.parent, self._sent
        log.warning("W&B: %s; the run is whole in %s, send it with: wandb sync %s", reason, where, sent)
