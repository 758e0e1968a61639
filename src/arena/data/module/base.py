"""The base of all data modules: from files to rows in use, their tokens and batches."""

from abc import abstractmethod
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from arena.core.cache import root_of
from arena.core.types import ClassPrior
from arena.data.loading.collate import Batches
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.description import Description
from arena.data.module.loaders import DataLoaderMixin
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Chosen, SplitSettings, divide, grouped, read_parts
from arena.data.text.tokenizer import Tokenizer


class RowData(Description, DataLoaderMixin):
    """Rows of one kind as Lightning wants them: read, split and encoded.

    A kind of rows is a subclass, which decides which rows are used (`select`), how they become tokens (`encode`) and
    batches (`collate`, `predict_collate`). Positions in `table` (`row`) tie batches, predictions and covariates
    together.

    Args:
        reader: (path, ingest, cache) -> `Rows`; one that reads files is a `arena.data.source.reader.FileReader`.
        tokenizer: text -> token ids.
        path: a file, a folder, or a list of both; None where the reader knows by itself.
        split, ingest, loader: see their classes.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, None for none.

    Attributes:
        labels: names of the classes, or those of each head; empty where there are none.
        truncation: how long a row may be, the node `data.truncation`.
    """

    labels: Any
    truncation: Any

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
        """Read, select, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader and the parts of this module.
        """
        self.rewind(stage)
        if hasattr(self, "sequences"):
            return
        self.prepare()
        self.divide_rows()
        self.sequences = self.encode(self.source, self.positions)
        self._sampler = self.sampler()
        self.report()

    def divide_rows(self) -> None:
        """Read, select, group and split, once; all of `setup` that needs no tokenizer.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `select`, `divide` and `join`.
        """
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
        """Positions in `source` of the rows to use, increasing, and the number of others by reason.

        Args:
            part: the split that each row's file is held out for, "" for `path`, `[R]`.
        """
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
        """Add rows from elsewhere, such as pseudo-labelled ones."""
        return chosen

    def label(self, metadata: pa.Table, pseudo: np.ndarray) -> None:
        """Keep the targets of the rows in use; `pseudo`: those that `join` added, `[R]` bool."""
        return

    @abstractmethod
    def encode(self, rows: Rows, positions: np.ndarray | None) -> Any:
        """The token sequences of these rows (all for None), such as `arena.data.text.views.InputViews`."""

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
