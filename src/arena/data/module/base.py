"""The base of all data modules: from files to rows in use, their tokens and batches."""

from abc import abstractmethod
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from arena.core.cache import root_of
from arena.core.types import ClassPrior
from arena.data.loading.loader import BucketLoader, EvaluationLoader
from arena.data.loading.reply_collate import Batches
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.description import Description, Split
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Chosen, SplitSettings, divide, grouped, read_parts
from arena.data.text.tokenizer import Tokenizer

INITIAL_STATE = {"epoch": 0, "position": 0}
"""Where the training loader stands before its first batch."""


class RowData(Description, LightningDataModule):
    """Rows of one kind as Lightning wants them: read, split and encoded.

    A kind of rows is a subclass, which decides which rows are used (`select`), how they become tokens (`encode`) and
    batches (`collate`, `predict_collate`). Positions in `table` (`row`) tie batches, predictions and covariates
    together. A checkpoint keeps the position of the training loader under this module's name, so that a resumed run
    goes on with the batch that comes next.

    Args:
        reader: (path, ingest, cache) -> `Rows`; one that reads files is a `arena.data.source.reader.FileReader`.
        tokenizer: text -> token ids.
        path: a file, a folder, or a list of both; None where the reader knows by itself.
        split, ingest, loader: see their classes.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, None for none.

    Attributes:
        labels: names of the classes, or those of each head; empty where there are none.
        truncation: how long a row may be, the node `data.truncation`.
        pseudo: pseudo-labelled rows, the node `data.pseudo`; None where this kind has none.
    """

    labels: Any
    truncation: Any
    pseudo: Any = None
    _sampler: Sampler
    _loader: BucketLoader | None = None
    _position = INITIAL_STATE

    def __init__(
        self,
        reader: Any,
        tokenizer: Tokenizer,
        path: str | list[str] | None,
        split: SplitSettings,
        ingest: Ingest | None,
        loader: LoaderSettings | None,
        cache: str | None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.split_settings, self.ingest = split.check(), ingest or Ingest()
        self.loader_settings, self.cache = loader or LoaderSettings(), root_of(cache)

    def setup(self, stage: str | None = None) -> None:
        """Read, select, group, split and encode, once. A new fit starts its order anew unless a checkpoint follows."""
        if stage == "fit":  # Lightning restores a checkpoint after this
            self._loader, self._position = None, INITIAL_STATE
        if hasattr(self, "sequences"):
            return
        self.prepare()
        self.divide_rows()
        self.sequences = self.encode(self.source, self.positions)
        self._sampler = self.sampler()
        self.report()

    def divide_rows(self) -> None:
        """Read, select, group and split, once; all of `setup` that needs no tokenizer."""
        if self._table is not None:
            return
        how, near = self.split_settings, self.split_settings.near_duplicates
        self.source, part = read_parts(self.reader, self.path, how.hold_outs, self.ingest, self.cache)
        positions, self._dropped = self.select(part)
        self._groups = grouped(self.grouping_view(self.source), positions, near, self.cache)
        metadata = self.source.metadata.take(pa.array(positions))
        splits, leaked = divide(metadata, self._groups.group, part[positions], how, self.stratified(metadata))
        chosen = self.join(Chosen(self.source, positions, splits, self._groups.group, leaked))
        chosen = chosen.without_leaks(self._dropped)
        self.source, self.positions = chosen.rows, chosen.positions
        metadata = self.source.metadata.take(pa.array(self.positions))
        self._rows = {name: np.flatnonzero(chosen.splits == name) for name in SPLITS}
        self.label(metadata, self.positions >= len(part))
        metadata = metadata.append_column("group", pa.array(chosen.groups))
        self._table = metadata.append_column("split", pa.array(chosen.splits))

    def prepare(self) -> None:
        """Do what can fail before any row is read: make the template."""
        return

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """Positions in `source` of the rows to use, increasing, and the number of others by reason, given the split
        that each row's file is held out for ("" for `path`), `[R]`."""
        limit = self.ingest.limit or len(part)
        positions = np.flatnonzero((part != "") | (np.arange(len(part)) < limit))
        left = len(part) - len(positions)
        return positions, {"limit": left} if left else {}

    def grouping_view(self, rows: Rows) -> Rows:
        """The rows as they are compared with each other."""
        return rows

    def stratified(self, metadata: pa.Table) -> np.ndarray | None:
        """Class indices `[R, T]` whose shares every split is to have; None for the columns of `data.split.stratify`."""
        return None

    def join(self, chosen: Chosen) -> Chosen:
        """Add the pseudo-labelled rows, where this kind of rows can have some."""
        if self.pseudo is None or self.pseudo.path is None:
            return chosen
        rows, near = self.read_unlabelled(self.pseudo.path), self.split_settings.near_duplicates
        return self.pseudo.join(chosen, rows, self.labels, self._dropped, near, self.cache)

    def label(self, metadata: pa.Table, pseudo: np.ndarray) -> None:
        """Keep the targets of the rows in use; `pseudo`: those that `join` added, `[R]` bool."""
        return

    @abstractmethod
    def encode(self, rows: Rows, positions: np.ndarray | None) -> Any:
        """The token sequences of these rows (all for None), such as `arena.data.text.input_views.InputViews`."""

    def sampler(self) -> Sampler:
        """The training rows of each epoch, and how often they come."""
        return Sampler(self._rows["train"], self.table.num_rows, seed=self.loader_settings.seed)

    @abstractmethod
    def class_prior(self, counts: Tensor) -> ClassPrior:
        """The class prior for a model's first step, given the counts of each class in training."""

    @abstractmethod
    def collate(self, training: bool) -> Batches:
        """The rows in use in batches."""

    @abstractmethod
    def predict_collate(self, rows: Rows, sequences: Any) -> Batches:
        """Other rows, of which nothing but the text is known, in batches."""

    def read(self, stand_ins: bool = False) -> Rows:
        """The first `limit` rows of `path`, labelled or not, with `stand_ins` (`Rows.stand_ins`) on request. Needs no
        `setup`."""
        return self.read_unlabelled(self.path, stand_ins=stand_ins).head(self.ingest.limit)

    def read_unlabelled(self, path: Any, **options: bool) -> Rows:
        """The rows of files, labelled or not."""
        reader = self.reader.unlabelled() if hasattr(self.reader, "unlabelled") else self.reader
        return reader(path, self.ingest, self.cache, **options)

    def predict_loader(self, rows: Rows, swapped: bool = False) -> tuple[EvaluationLoader, Any]:
        """A loader over rows of their own, labelled or not, and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`. With `swapped`, every row comes with its
        two answers swapped, where it has two: class k of the model is then the swapped class of the row.
        """
        sequences = self.encode(rows, None)
        positions = np.arange(rows.num_rows) + (rows.num_rows if swapped else 0)
        collate, how = self.predict_collate(rows, sequences), self.loader_settings
        return EvaluationLoader(positions, collate, how.eval_batch_size, how.num_workers), sequences

    def weights(self) -> np.ndarray:
        """The weight of each row in use, `[R]` float32."""
        return self.table["weight"].to_numpy().astype(np.float32)

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
