"""Training time and real tokens a second."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Counts rows, real tokens (padding left out) and seconds of training steps, without validations.

    `seconds` starts at the end of the first step of this process, which pays for warm-up; `first_step` is that moment.
    """

    def __init__(self) -> None:
        self.first_step: float | None = None
        self.seconds = 0.0
        self.rows = 0
        self._tokens: torch.Tensor | None = None
        self._since: float | None = None

    @property
    def tokens(self) -> int:
        """Real tokens of the counted steps."""
        return int(self._tokens) if self._tokens is not None else 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        """Count a batch."""
        now = time.perf_counter()
        if self.first_step is None:
            self.first_step = time.time()
        elif self._since is not None:
            self.seconds += now - self._since
            self.rows += len(batch)
            # A sum on the device; it is read once, at the end.
            tokens = batch.attention_mask.sum()
            self._tokens = tokens if self._tokens is None else self._tokens + tokens
        self._since = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._since = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start it again."""
        self._since = time.perf_counter() if trainer.state.fn == "fit" else None

    def summary(self) -> dict[str, float | None]:
        """Rows and real tokens a second; None where fewer than two steps were done."""
        if not self.seconds:
            return {"rows_per_second": None, "tokens_per_second": None}
        return {"rows_per_second": self.rows / self.seconds, "tokens_per_second": self.tokens / self.seconds}
