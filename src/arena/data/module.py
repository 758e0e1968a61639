"""Comparisons as Lightning wants them: read, split, encoded and served in batches."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch import LightningDataModule

from arena.data import table as tables
from arena.data.loader import BucketLoader, Collate, EvaluationLoader
from arena.data.pairs import WINNERS
from arena.data.split import SPLITS, assign_splits
from arena.data.text import MISSING, TEMPLATE, TokenStore, encode_table
from arena.data.tokenizer import Tokenizer
from arena.data.toy import true_probabilities
from arena.errors import UsageError
from arena.schema import Count, InputPath, Share, WholeNumber
from arena.types import UNLABELLED

log = logging.getLogger("arena")
Split = Literal["train", "val", "test"]


class PairData(LightningDataModule):
    """Pairwise comparisons with a fixed set of classes.

    A checkpoint keeps the position of the training loader under this module's name, so that a resumed run goes on with
    the batch that comes next. Positions in `table` (`row`) tie batches, predictions and covariates together.

    Args:
        reader: path -> table with the columns of `arena.data.pairs.SCHEMA`.
        tokenizer: text -> token ids.
        labels: the classes in the order of the logits, two or three of `model_a`, `model_b`, `tie`.
        path: what the reader reads; null where it knows by itself.
        template: how prompt and answers become one text (`arena.data.text.parse_template`).
        max_length: tokens of a row at most.
        batch_size: rows in a training batch, for each process.
        eval_batch_size: rows in a batch without gradients.
        val_share: share of the rows for validation.
        test_share: share of the rows for the test.
        window: batches that are sorted by length together; 1 is plain shuffling and pads most.
        limit: take only the first rows of the file.
        num_workers: processes that make batches.
        seed: of the split and of the order of the training rows.
        on_tie: what to do with ties when `labels` has none.
        missing_text: stands for a missing turn.
        swap: train on every pair in both orders, with the label mirrored: twice the rows, and no reason to prefer a
            place. Validation and test keep the order of the file.
    """

    def __init__(
        self,
        reader: Callable[[str | None], pa.Table],
        tokenizer: Tokenizer,
        labels: list[str],
        path: InputPath | None = None,
        template: str = TEMPLATE,
        max_length: Count = 512,
        batch_size: Count = 32,
        eval_batch_size: Count = 64,
        val_share: Share = 0.15,
        test_share: Share = 0.15,
        window: Count = 100,
        limit: Count | None = None,
        num_workers: WholeNumber = 0,
        seed: WholeNumber = 0,
        on_tie: Literal["error", "drop"] = "error",
        missing_text: str = MISSING,
        swap: bool = False,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.tokenizer = tokenizer
        self.labels = tables.check_labels(labels)
        self.path = path
        self.template = template
        self.max_length = max_length
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_share = val_share
        self.test_share = test_share
        self.window = window
        self.limit = limit
        self.num_workers = num_workers
        self.seed = seed
        self.on_tie: Literal["error", "drop"] = on_tie
        self.missing_text = missing_text
        self.swap = swap
        self._table: pa.Table | None = None
        self._loader: BucketLoader | None = None
        self._position = {"epoch": 0, "position": 0}

    # Set-up.

    def setup(self, stage: str | None = None) -> None:
        """Read, select, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as `PairReader`, `select_rows`, `assign_splits`, `encode_table`.
        """
        if stage == "fit":
            # Lightning restores a checkpoint after this hook.
            self._loader = None
            self._position = {"epoch": 0, "position": 0}
        if self._table is not None:
            return
        read = self.reader(self.path)
        kept, self._dropped = tables.select_rows(read, self.labels, self.limit, self.on_tie)
        self._read = read.num_rows
        self._fingerprint = tables.fingerprint(read, self.path)
        self._target = tables.class_indices(kept, self.labels)
        groups = tables.group_keys(kept)
        splits = assign_splits(groups, self._target, self.val_share, self.test_share, self.seed)
        self._rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
        self._store = self.encode(kept)
        self._table = kept.append_column("group", pa.array(groups)).append_column("split", pa.array(splits))
        self._report()

    def encode(self, table: pa.Table) -> TokenStore:
        """The token ids of every row of a table, by this module's template and length."""
        return encode_table(table, self.tokenizer, self.template, self.max_length, self.missing_text)

    def _report(self) -> None:
        sizes = ", ".join(f"{len(rows)} {name}" for name, rows in self._rows.items())
        dropped = "".join(f", {rows} dropped ({reason})" for reason, rows in self._dropped.items())
        log.info("data: %s rows%s; %.1f%% of the rows are cut", sizes, dropped, 100 * self._store.cut.mean())
        absent = [label for label, count in zip(self.labels, self.class_counts("train"), strict=True) if not count]
        if absent:
            log.warning("data: no training row has the class %s; should data.labels leave it out?", ", ".join(absent))

    @property
    def table(self) -> pa.Table:
        """The rows in use, with the columns `group` and `split`. `setup` must have run."""
        if self._table is None:
            raise UsageError("PairData.setup() must run before its table is used")
        return self._table

    # Loaders.

    def train_dataloader(self) -> BucketLoader:
        """The training loader, one and the same object during a fit."""
        if self._loader is None:
            rows, collate = self._both_orders() if self.swap else (self._rows["train"], self._collate())
            self._loader = BucketLoader(
                rows,
                collate,
                self.batch_size,
                self.window,
                self.seed,
                self.num_workers,
                torch.cuda.is_available(),
                *self._process(),
                endless=getattr(self.trainer, "limit_train_batches", 1.0) != 1.0,
            )
            overfit = getattr(self.trainer, "overfit_batches", 0)
            self._loader.repeat = overfit if isinstance(overfit, int) else int(overfit * len(self._loader))
            self._loader.load_state_dict(self._position)
        return self._loader

    def val_dataloader(self) -> EvaluationLoader | list[Any]:
        """Validation rows in a fixed order; an empty list where `val_share` is 0."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> EvaluationLoader | list[Any]:
        """Test rows in a fixed order; an empty list where `test_share` is 0."""
        return self.evaluation_loader("test")

    def predict_loader(self, table: pa.Table) -> tuple[EvaluationLoader, TokenStore]:
        """A loader over a table of its own, labelled or not, and its token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `table`.
        """
        store = self.encode(table)
        target = np.full(table.num_rows, UNLABELLED, dtype=np.int64)
        collate = Collate(store, target, np.ones(table.num_rows, np.float32), self.tokenizer.pad)
        rows = np.arange(table.num_rows)
        return EvaluationLoader(rows, collate, self.eval_batch_size, self.num_workers), store

    def evaluation_loader(self, split: Split) -> EvaluationLoader | list[Any]:
        """The rows of a split in a fixed order; an empty list where it has none."""
        if not len(self.rows(split)):
            return []
        return EvaluationLoader(
            self._rows[split],
            self._collate(),
            self.eval_batch_size,
            self.num_workers,
            torch.cuda.is_available(),
            *self._process(),
        )

    def _collate(self) -> Collate:
        weight = self.table["weight"].to_numpy().astype(np.float32)
        return Collate(self._store, self._target, weight, self.tokenizer.pad)

    def _both_orders(self) -> tuple[np.ndarray, Collate]:
        """The training rows twice, the second time with A and B exchanged, as a table of their own."""
        chosen = self.table.take(pa.array(self._rows["train"]))
        both = pa.concat_tables([chosen, tables.swapped(chosen)])
        weight = both["weight"].to_numpy().astype(np.float32)
        target = tables.class_indices(both, self.labels)
        return np.arange(both.num_rows), Collate(self.encode(both), target, weight, self.tokenizer.pad)

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

    # What the rows are like.

    def rows(self, split: Split) -> np.ndarray:
        """Positions in `table` of the rows of a split, increasing, `[M]` int64."""
        if self._table is None or split not in self._rows:
            raise UsageError(f"no split {split!r}; there are {', '.join(SPLITS)}, after PairData.setup()")
        return self._rows[split]

    def targets(self, split: Split) -> np.ndarray:
        """Class index of each row of a split, `[M]` int64."""
        return self._target[self.rows(split)]

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[K]` int64."""
        return np.bincount(self.targets(split), minlength=len(self.labels))

    def groups(self, split: Split) -> np.ndarray:
        """Group of each row of a split, `[M]` strings."""
        return np.array(self.table["group"].to_pylist(), dtype=str)[self.rows(split)]

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """The probabilities that the labels were drawn from, `[M, K]`; None unless the rows are generated.

        Without a class for ties these are the probabilities given that the row is no tie.
        """
        known = true_probabilities(self.table)
        if known is None:
            return None
        chosen = known[self.rows(split)][:, [WINNERS.index(label) for label in self.labels]]
        return chosen / chosen.sum(axis=1, keepdims=True)

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, models, language, source and sizes of the rows of a split."""
        return tables.covariates(self.table, self.rows(split), self._store.lengths)

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types. `rows_read` is the sum of `rows_kept` and `rows_dropped`."""
        shares = {name: self.class_counts(name) / max(1, len(self._rows[name])) for name in SPLITS}
        return {
            "fingerprint": self._fingerprint,
            "rows_read": self._read,
            "rows_kept": self.table.num_rows,
            "rows_dropped": self._dropped,
            "splits": {name: len(rows) for name, rows in self._rows.items()},
            "groups": {name: len(set(self.groups(name))) for name in SPLITS},
            "class_shares": {name: dict(zip(self.labels, shares[name].tolist(), strict=True)) for name in SPLITS},
            "truncated_share": float(self._store.cut.mean()),
            "tokens": {name: int(self._store.lengths[rows].sum()) for name, rows in self._rows.items()},
        }

    def write_splits(self, path: str | Path) -> None:
        """Write id, split and group of every row as parquet, in one step."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            pq.write_table(self.table.select(["id", "split", "group"]), temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
