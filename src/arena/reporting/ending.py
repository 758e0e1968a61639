"""Open the dashboard of a training, and leave tables, curves and status when the training ends, however it ends."""

import logging
from types import TracebackType
from typing import Any, Self

from arena.core.errors import classify
from arena.core.run import RunFolder

log = logging.getLogger("arena")
STOPPED = (130, 143)
"""Exit codes of a training that was told to stop, which has no time for pictures."""


class Ending:
    """Context manager around a training, outside of its record: it ends when `result.json` has been written.

    Args:
        run: the run folder.
        figures: draw `report/curves.png`.
    """

    def __init__(self, run: RunFolder, figures: bool) -> None:
        self.run, self.figures = run, figures
        self._dashboards: list[Any] = []
        self._data: Any = None

    def begin(self, trainer: Any, task: Any, data: Any) -> None:
        """Open the dashboards among the trainer's loggers.

        Args:
            trainer: with its loggers.
            task: with the metrics.
            data: of the run, for texts.
        """
        from arena.logger.wandb import WandbRun

        self.figures &= trainer.is_global_zero
        if not trainer.is_global_zero:
            return
        self._data = data
        self._dashboards = [logger for logger in trainer.loggers if isinstance(logger, WandbRun)]
        for dashboard in self._dashboards:
            dashboard.begin(directions(task.metrics))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = 0 if error is None else classify(error).code
        if self.figures and code not in STOPPED:
            self._draw()
        for dashboard in self._dashboards:
            dashboard.end(self.run.read_result(), code, self._send_tables)

    def _draw(self) -> None:
        """Draw the learning curves; a training never fails for them."""
        try:
            from arena.reporting import curves

            curves.draw(self.run)
        except Exception as error:
            log.warning("the learning curves were not drawn (%s)", error)

    def _send_tables(self, dashboard: Any) -> None:
        from arena.reporting import wandb_tables

        wandb_tables.send(dashboard, self.run, self._data)


def directions(metrics: Any) -> dict[str, str]:
    """`min` or `max` for every validation metric that has a better end; a loss is better when lower."""
    found = {"val/loss": "min"}
    for name in metrics.names:
        higher = metrics.higher_is_better(name)
        if higher is not None:
            found[f"val/{name}"] = "max" if higher else "min"
    return found
