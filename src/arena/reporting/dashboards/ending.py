"""From the first step to the last word: opens the dashboards of a run and closes them with what became of it."""

import logging
from types import TracebackType
from typing import Any, Self

from arena.core.errors import classify
from arena.core.run import RunFolder

log = logging.getLogger("arena")


class Dashboards:
    """Context manager around a training run, outside of its record: it closes when `result.json` has been written.

    Args:
        run: the run folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._mirrors: list[Any] = []
        self._data: Any = None

    def begin(self, trainer: Any, task: Any, data: Any) -> None:
        """Open every dashboard among the trainer's loggers; only the first process has any.

        Args:
            trainer: with its loggers.
            task: says which end of a metric is better.
            data: of the run, for texts.
        """
        from arena.logger.journal_logger import JournalLogger

        if not trainer.is_global_zero:
            return
        self._data = data
        self._mirrors = [logger for logger in trainer.loggers if isinstance(logger, JournalLogger)]
        wanted = directions(task.metrics) if self._mirrors else {}
        for mirror in self._mirrors:
            mirror.begin(wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = 0 if error is None else classify(error).code
        for mirror in self._mirrors:
            # Tables and curves, which only W&B shows.
            more = self._send_tables if getattr(mirror, "opened", None) is not None else None
            mirror.finish(self.run.read_result(), code, more)

    def _send_tables(self, mirror: Any) -> None:
        from arena.reporting.dashboards.extras import send

        send(mirror.opened, self.run, mirror.samples, mirror.texts, self._data)


def directions(metrics: Any) -> dict[str, str]:
    """`min` or `max` for every validation metric that has a better end; a loss is better when lower.

    Args:
        metrics: of the task (`names`, `higher_is_better`).
    """
    found = {"val/loss": "min"}
    for name in metrics.names:
        higher = metrics.higher_is_better(name)
        if higher is not None:
            found[f"val/{name}"] = "max" if higher else "min"
    return found
