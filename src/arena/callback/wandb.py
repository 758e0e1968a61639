"""What Weights & Biases needs beyond Lightning's logger: configuration, best values as summary, an honest ending."""

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from omegaconf import OmegaConf

log = logging.getLogger("arena")


class WandbRun(Callback):
    """Sends the resolved configuration, defines best-value summaries and ends the run with the right exit code.

    Args:
        config: the run's `config.yaml`.
        monitor: the watched value.
        mode: whether lower or higher is better.
    """

    def __init__(self, config: str, monitor: str, mode: str) -> None:
        self.config = Path(config)
        self.monitor = monitor
        self.mode = mode

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Configuration and summaries, once the run exists."""
        run = self._run(trainer)
        if run is None:
            return
        if self.config.is_file():
            run.config.update(OmegaConf.to_container(OmegaConf.load(self.config)), allow_val_change=True)
        run.define_metric(self.monitor, summary=self.mode)
        for name in ("val/loss", "val/log_loss"):
            run.define_metric(name, summary="min")
        for name in ("val/accuracy", "val/macro_f1", "val/auroc", "val/mcc"):
            run.define_metric(name, summary="max")
        if run.settings.mode == "offline":
            log.info(
                "no W&B key: logging offline to %s; send it later with: wandb sync %s", run.dir, Path(run.dir).parent
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """A run that broke is marked as failed, not as finished."""
        run = self._run(trainer)
        if run is not None:
            run.finish(exit_code=getattr(exception, "code", 1))

    @staticmethod
    def _run(trainer: Trainer) -> Any:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                return logger.experiment
        return None
