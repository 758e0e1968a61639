"""What the data modules of all kinds of rows share: from files to rows in use, their tokens and batches."""

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

    A kind of rows is a subclass: it says which rows are used (`select`), how they become tokens (`encode`) and batches
    (`collate`, `predict_collate`). Positions in `table` (`row`) tie batches, predictions and covariates together.

    Args:
        reader: (path, rules, cache, rejects) -> `Rows`; one that can miss labels has `unlabelled`.
        tokenizer: text -> token ids.
        path: what the reader reads: a file, a folder, or a list of both; None where it knows by itself.
        split, ingest, loader: see their classes.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, None for none.

    Attributes:
        labels: names of the classes, or those of each head; empty where there are none.
        room: how long a row may be, the node `data.truncation`.
    """

    labels: Any
    room: Any

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
        self.division, self.ingest = split.check(), ingest or Ingest()
        self.serving = loader or LoaderSettings()
        self.cache = root_of(cache)

    def setup(self, stage: str | None = None) -> None:
        """Read, select, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader and the parts of this module.
        """
        self.begin(stage)
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
        self.source, part = read_parts(self.reader, self.path, self.parts, self.ingest, self.cache)
        positions, self._dropped = self.select(part)
        self._groups = grouped(self.whole(self.source), positions, self.division.near_duplicates, self.cache)
        facts = self.source.facts.take(pa.array(positions))
        splits, leaked = divide(facts, self._groups.group, part[positions], self.division, self.stratified(facts))
        chosen = self.join(Chosen(self.source, positions, splits, self._groups.group, leaked), part)
        chosen = chosen.without_leaks(self._dropped)
        self.source, self.positions = chosen.rows, chosen.positions
        facts = self.source.facts.take(pa.array(self.positions))
        self._rows = {name: np.flatnonzero(chosen.splits == name) for name in SPLITS}
        self.label(facts, part)
        facts = facts.append_column("group", pa.array(chosen.groups))
        self._table = facts.append_column("split", pa.array(chosen.splits))

    @property
    def parts(self) -> dict[str, str | None]:
        """The files besides `path`, by what their rows are for."""
        return self.division.hold_outs

    def prepare(self) -> None:
        """What can fail before any row is read: a template that the tokenizer cannot make."""
        return

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """Positions in `source` of the rows to use, increasing, and how many others there were, by reason.

        Args:
            part: what each row's file is for, "" for `path`, `[R]`.
        """
        limit = self.ingest.limit or len(part)
        positions = np.flatnonzero((part != "") | (np.arange(len(part)) < limit))
        left = len(part) - len(positions)
        return positions, {"limit": left} if left else {}

    def whole(self, rows: Rows) -> Rows:
        """The rows as those who look for equal ones should read them."""
        return rows

    def stratified(self, facts: pa.Table) -> np.ndarray | None:
        """Class indices `[R, T]` whose shares every split is to have; None for the columns of `data.split.stratify`."""
        return None

    def join(self, chosen: Chosen, part: np.ndarray) -> Chosen:
        """Rows from elsewhere, such as pseudo-labelled ones, joined to those chosen."""
        return chosen

    def label(self, facts: pa.Table, part: np.ndarray) -> None:
        """Keep the targets of the rows in use."""
        return

    @abstractmethod
    def encode(self, rows: Rows, positions: np.ndarray | None) -> Any:
        """The token sequences of these rows (all for None), such as `arena.data.text.views.InputViews`."""

    def sampler(self) -> Sampler:
        """Which training rows an epoch serves, and how often."""
        return Sampler(self._rows["train"], self.table.num_rows, seed=self.serving.seed)

    @abstractmethod
    def start(self, counts: Tensor) -> ClassPrior:
        """What a model may know before its first step, given how often training serves each class."""

    @abstractmethod
    def collate(self, training: bool) -> Batches:
        """The rows in use in batches."""

    @abstractmethod
    def predict_collate(self, rows: Rows, sequences: Any) -> Batches:
        """Other rows, of which nothing but the text is known, in batches."""

    def read(self, stand_ins: bool = False) -> Rows:
        """The first `limit` rows of `path`, labelled or not, with `stand_ins` (`Rows.stand_ins`) on request. Needs no
        `setup`."""
        rules = self.ingest.rules.with_stand_ins() if stand_ins else self.ingest.rules
        read = getattr(self.reader, "unlabelled", self.reader)
        return read(self.path, rules, self.cache).head(self.ingest.limit)

    def predict_loader(self, rows: Rows, swapped: bool = False) -> tuple[EvaluationLoader, Any]:
        """A loader over rows of their own, labelled or not, and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`. With `swapped`, every row comes with its
        two answers exchanged, where it has two: class k of the model is then the mirrored class of the row.
        """
        sequences = self.encode(rows, None)
        positions = np.arange(rows.num_rows) + (rows.num_rows if swapped else 0)
        collate, serving = self.predict_collate(rows, sequences), self.serving
        return EvaluationLoader(positions, collate, serving.eval_batch_size, serving.num_workers), sequences

    def weights(self) -> np.ndarray:
        """The weight of each row in use, `[R]` float32."""
        return self.table["weight"].to_numpy().astype(np.float32)
