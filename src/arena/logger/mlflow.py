"""A run in MLflow."""

import json
import re
import time
from pathlib import Path
from typing import Any

from arena.core import redact
from arena.core.run import write_json
from arena.core.schema import DatabaseAddress, Label, OutputPath, ProjectName
from arena.core.stored import read
from arena.logger.journal_logger import Entry, JournalLogger

IDENTITY = "mlflow.json"
"""File in the run folder that says which run of MLflow it is."""
LONGEST = 500
"""Characters of a parameter's value."""


class MLflowRun(JournalLogger):
    """The journal in a database of MLflow: `mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db` shows it.

    A database and not a server: a request that waits for a dead server would make the training wait.

    Args:
        folder: the run folder.
        tracking_uri: of the database; the folder of a sqlite file is made.
        experiment: what MLflow calls the list of runs.
        group: the study, as a tag.
        tags: words, as tags that are true.
    """

    title = "MLflow"

    def __init__(
        self,
        folder: OutputPath,
        tracking_uri: DatabaseAddress = "sqlite:///outputs/mlflow.db",
        experiment: ProjectName = "arena",
        group: Label | None = None,
        tags: list[Label] | None = None,
    ) -> None:
        super().__init__(folder)
        self.tracking_uri, self.experiment, self.group, self.tags = (
            tracking_uri,
            experiment,
            group,
            redact.node(tags or []),
        )

    def open(self, directions: dict[str, str]) -> None:
        """Make the run; one that is resumed takes the place of what it was."""
        import fcntl

        from mlflow.tracking import MlflowClient

        place = self.run.path / ".mlflow.lock"
        if self.tracking_uri.startswith("sqlite:///"):
            file = Path(self.tracking_uri.removeprefix("sqlite:///"))
            file.parent.mkdir(parents=True, exist_ok=True)
            place = file.with_name(f".{file.name}.lock")
        with open(place, "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # parallel trials would make the same tables at the same time
            self.client: Any = MlflowClient(tracking_uri=self.tracking_uri)
            found = self.client.get_experiment_by_name(self.experiment)
            number = found.experiment_id if found is not None else self.client.create_experiment(self.experiment)
        identity = self.run.path / IDENTITY
        if identity.is_file():
            self.client.delete_run(json.loads(identity.read_text(encoding="utf-8"))["run_id"])
        tags = {"study": self.group, "folder": str(self.run.path)} | dict.fromkeys(self.tags, "true")
        name = "/".join(self.run.path.parts[-2:])
        self.run_id = self.client.create_run(number, tags=tags, run_name=name).info.run_id
        write_json(identity, {"run_id": self.run_id, "tracking_uri": redact.text(self.tracking_uri)})
        self._send_configuration()

    def _send_configuration(self) -> None:
        from mlflow.entities import Param

        from arena.core.values import flat

        if not self.run.config.is_file():
            return
        config: Any = read(self.run.config)
        params = [Param(permitted(name), str(value)[:LONGEST]) for name, value in flat(config)]
        self.client.log_batch(self.run_id, params=params)

    def write(self, entry: Entry) -> None:
        """One metric for each value."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(permitted(name), value, now, entry.step) for name, value in entry.values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def close(self, result: dict[str, Any], code: int) -> None:
        """Say how the run ended."""
        status = str(result.get("status"))
        self.client.set_tag(self.run_id, "status", status)
        if result.get("reason"):
            self.client.set_tag(self.run_id, "reason", str(result["reason"])[:LONGEST])
        ended = {"completed": "FINISHED", "stopped_early": "FINISHED", "pruned": "KILLED", "preempted": "KILLED"}
        self.client.set_terminated(self.run_id, ended.get(status, "FAILED"))


def permitted(name: str) -> str:
    """A name without the characters that MLflow refuses; they become `_`."""
    return re.sub(r"[^\w\-. /:]", "_", name)
