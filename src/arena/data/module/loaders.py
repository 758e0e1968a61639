"""The part of a data module that makes loaders, whatever its rows are."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from arena.data.loading.collate import Batches
from arena.data.loading.loader import BucketLoader, EvaluationLoader
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.description import Split

INITIAL_STATE = {"epoch": 0, "position": 0}
"""Where the training loader stands before its first batch."""


class DataLoaderMixin(LightningDataModule):
    """Loaders over the rows of each split.

    A checkpoint keeps the position of the training loader under this module's name, so that a resumed run goes on with
    the batch that comes next.

    Attributes:
        loader_settings: sizes of batches, and processes that make them.
    """

    loader_settings: LoaderSettings
    _sampler: Sampler
    _loader: BucketLoader | None = None
    _position = INITIAL_STATE

    def rewind(self, stage: str | None) -> None:
        """Start the order anew for a new fit; Lightning restores a checkpoint after this."""
        if stage == "fit":
            self._loader = None
            self._position = INITIAL_STATE

    def rows(self, split: Split) -> np.ndarray:
        """Positions of the rows of a split, increasing, `[M]` int64."""
        raise NotImplementedError

    def collate(self, training: bool) -> Batches:
        """The rows in batches, in training with all that is done to them there only."""
        raise NotImplementedError

    def train_dataloader(self) -> BucketLoader:
        """The training loader, one and the same object during a fit."""
        if self._loader is None:
            how = self.loader_settings
            self._loader = BucketLoader(
                self._sampler, self.collate(training=True), how.batch_size, how.window, how.seed, how.num_workers,
                torch.cuda.is_available(), *self._process(),
                endless=getattr(self.trainer, "limit_train_batches", 1.0) != 1.0,
            )  # fmt: skip
            overfit = getattr(self.trainer, "overfit_batches", 0)
            self._loader.repeat = overfit if isinstance(overfit, int) else int(overfit * len(self._loader))
            self._loader.load_state_dict(self._position)
        return self._loader

    def val_dataloader(self) -> EvaluationLoader | list[Any]:
        """Validation rows in a fixed order; an empty list where there are none."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> EvaluationLoader | list[Any]:
        """Test rows in a fixed order; an empty list where there are none."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: Split) -> EvaluationLoader | list[Any]:
        """The rows of a split in a fixed order; an empty list where it has none."""
        rows, how = self.rows(split), self.loader_settings
        if not len(rows):
            return []
        batches, pin = self.collate(training=False), torch.cuda.is_available()
        return EvaluationLoader(rows, batches, how.eval_batch_size, how.num_workers, pin, *self._process())

    def _process(self) -> tuple[int, int]:
        return getattr(self.trainer, "global_rank", 0), getattr(self.trainer, "world_size", 1)

    # Lightning keeps the loader's own state too, but never restores it where something asked for the number of steps
    # before the fit (`estimated_stepping_batches`); the module's state it always restores.

    def state_dict(self) -> dict[str, int]:
        """Epoch and batch that the training loader has reached."""
        return self._position if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there, whether the loader exists yet or not."""
        self._position = dict(state_dict)
        if self._loader is not None:
            self._loader.load_state_dict(state_dict)
