"""The part of a data module that serves batches, whatever its rows are."""

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
        serving: sizes of batches and who makes them.
    """

    serving: LoaderSettings
    _sampler: Sampler
    _loader: BucketLoader | None = None
    _position = INITIAL_STATE

    def begin(self, stage: str | None) -> None:
        """A new fit starts its order anew; Lightning restores a checkpoint after this."""
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
            self._loader = BucketLoader(
                self._sampler,
                self.collate(training=True),
                self.serving.batch_size,
                self.serving.window,
                self.serving.seed,
                self.serving.num_workers,
                torch.cuda.is_available(),
                *self._process(),
                endless=getattr(self.trainer, "limit_train_batches", 1.0) != 1.0,
            )
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
        rows = self.rows(split)
        if not len(rows):
            return []
        pin = torch.cuda.is_available()
        return EvaluationLoader(
            rows,
            self.collate(training=False),
            self.serving.eval_batch_size,
            self.serving.num_workers,
            pin,
            *self._process(),
        )

    def _process(self) -> tuple[int, int]:
        return getattr(self.trainer, "global_rank", 0), getattr(self.trainer, "world_size", 1)

    # The position of the training loader. Lightning keeps the loader's own state too, but never restores it where
    # something asked for the number of steps before the fit (`estimated_stepping_batches`); this one it always does.

    def state_dict(self) -> dict[str, int]:
        """Epoch and batch that the training loader has reached."""
        return self._position if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there, whether the loader exists yet or not."""
        self._position = dict(state_dict)
        if self._loader is not None:
            self._loader.load_state_dict(state_dict)
