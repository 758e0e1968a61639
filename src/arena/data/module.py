"""Comparisons as Lightning wants them: read, split, encoded and served in batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from lightning.pytorch import LightningDataModule

from arena.data import table as tables
from arena.data.cache import default_root
from arena.data.description import Description, Split
from arena.data.ingest import Rules
from arena.data.loader import BucketLoader, Collate, EvaluationLoader
from arena.data.prepare import Division, divide, grouped, read_parts
from arena.data.rows import Rows
from arena.data.sampling import Plan, Serving
from arena.data.split import SPLITS
from arena.data.template import PLAIN, choose, compile_template
from arena.data.text import Room, Sequences, fit
from arena.data.tokenizer import Tokenizer
from arena.data.tokens import MISSING, tokenize
from arena.schema import Count, InputPath, NonNegative, Share, WholeNumber
from arena.types import UNLABELLED


class PairData(Description, LightningDataModule):
    """Pairwise comparisons with a fixed set of classes.

    A checkpoint keeps the position of the training loader under this module's name, so that a resumed run goes on with
    the batch that comes next. Positions in `table` (`row`) tie batches, predictions and covariates together.

    Args:
        reader: (path, rules, cache, rejects) -> `Rows`.
        tokenizer: text -> token ids.
        labels: the classes in the order of the logits, two or three of `model_a`, `model_b`, `tie`.
        path: what the reader reads: a file, a folder, or a list of both; null where it knows by itself.
        val_path: a file whose rows validate, instead of a share.
        test_path: a file whose rows test, instead of a share.
        on_leak: what to do with a training row whose prompt is in a hold-out file.
        on_bad_row: stop at the first broken row, or set broken rows aside in `rejects`.
        max_rejected: share of broken rows above which the run stops all the same.
        repair: replace what no UTF-8 file can hold (half surrogate pairs, NUL, undecodable bytes) by U+FFFD.
        rejects: file that gets the broken rows.
        template: name of a template, or the text of one (`arena.data.template`).
        templates: the templates by name.
        max_length: tokens of a row at most.
        cut: what a text that is too long loses.
        turns: who has the room first where several turns do not fit.
        missing_text: stands for a missing turn.
        batch_size: rows in a training batch, for each process.
        eval_batch_size: rows in a batch without gradients.
        val_share: share of the rows for validation.
        test_share: share of the rows for the test.
        folds: validate on one of this many equal parts instead of on a share.
        fold: which one, from 0.
        stratify: columns whose shares are to be the same in every split.
        near_duplicates: Jaccard similarity of 5-character pieces from which prompts, or whole rows, count as one; null:
            only equal ones.
        split_seed: of the split; apart from `seed`, so that runs with several seeds are judged on the same rows.
        swap: order of the answers in training: as in the file, both orders of every pair, or a coin for each.
        sampling: rows come once each, or so that classes are balanced, or more often the harder they are.
        sampling_power: how far: 0 changes nothing, 1 balances fully, or makes copies proportional to the loss.
        max_copies: no row comes more often in an epoch than this on average.
        hardness: predictions of a baseline for the training rows (csv or parquet with id and loss or probabilities).
        curriculum_epochs: epochs from easy to hard at the beginning.
        window: batches that are sorted by length together; 1 is plain shuffling and pads most.
        limit: take only the first rows of the file.
        num_workers: processes that make batches.
        seed: of the order of the training rows.
        on_tie: what to do with ties when `labels` has none.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, null for none.
    """

    def __init__(
        self,
        reader: Callable[..., Rows],
        tokenizer: Tokenizer,
        labels: list[str],
        path: InputPath | list[InputPath] | None = None,
        val_path: InputPath | None = None,
        test_path: InputPath | None = None,
        on_leak: Literal["drop", "error", "keep"] = "drop",
        on_bad_row: Literal["error", "quarantine"] = "error",
        max_rejected: Share = 0.005,
        repair: bool = False,
        rejects: str | None = None,
        template: str = PLAIN,
        templates: dict | None = None,
        max_length: Count = 512,
        cut: Literal["tail", "head", "middle"] = "tail",
        turns: Literal["last", "all"] = "last",
        missing_text: str = MISSING,
        batch_size: Count = 32,
        eval_batch_size: Count = 64,
        val_share: Share = 0.15,
        test_share: Share = 0.15,
        folds: Count | None = None,
        fold: WholeNumber | None = None,
        stratify: list[str] | None = None,
        near_duplicates: Share | None = None,
        split_seed: WholeNumber = 0,
        swap: Literal["none", "both", "random"] = "none",
        sampling: Literal["uniform", "balanced", "hard"] = "uniform",
        sampling_power: NonNegative = 1.0,
        max_copies: Count | None = None,
        hardness: InputPath | None = None,
        curriculum_epochs: WholeNumber = 0,
        window: Count = 100,
        limit: Count | None = None,
        num_workers: WholeNumber = 0,
        seed: WholeNumber = 0,
        on_tie: Literal["error", "drop"] = "error",
        cache: str | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.labels = tables.check_labels(labels)
        self.hold_outs = {"val": val_path, "test": test_path}
        self.rules, self.rejects = Rules(on_bad_row, max_rejected, repair), Path(rejects) if rejects else None
        self.selection: tuple[int | None, Literal["error", "drop"]] = (limit, on_tie)
        self.near_duplicates = near_duplicates
        self.division = Division(val_share, test_share, folds, fold, stratify or ["winner"], split_seed, on_leak)
        self.template = choose(template, templates or {})
        self.room = Room(max_length, cut, turns)
        self.missing_text = missing_text
        self.plan = Plan(swap, sampling, sampling_power, max_copies, hardness, curriculum_epochs, seed)
        self.plan.check(self.labels)
        self.division.check()
        self.serving = Serving(batch_size, eval_batch_size, window, num_workers, seed)
        self.cache = default_root() if cache == "auto" else Path(cache).expanduser() if cache else None
        self._table: pa.Table | None = None
        self._loader: BucketLoader | None = None
        self._position = {"epoch": 0, "position": 0}

    # Set-up.

    def setup(self, stage: str | None = None) -> None:
        """Read, select, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `select_rows`, `divide`, `fit` and `Plan`.
        """
        if stage == "fit":
            # Lightning restores a checkpoint after this hook.
            self._loader = None
            self._position = {"epoch": 0, "position": 0}
        if hasattr(self, "sequences"):
            return
        layout = compile_template(self.tokenizer, **self.template)
        self.divide_rows()
        tokens = tokenize(self.source, self.tokenizer, self.positions, self.missing_text, self.cache)
        self.sequences = fit(tokens, layout, self.room.max_length, self.room.cut, self.room.turns)
        ids = self.table["id"].take(pa.array(self._rows["train"])).to_pylist()
        self._sampler = self.plan.sampler(self._rows["train"], ids, self._target, self.labels)
        self.report()

    def divide_rows(self) -> None:
        """Read, select, group and split, once; all of `setup` that needs no tokenizer.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `select_rows` and `divide`.
        """
        if self._table is not None:
            return
        self.source, held_out = read_parts(self.reader, self.path, self.hold_outs, self.rules, self.cache, self.rejects)
        positions, self._dropped = tables.select_rows(self.source.facts, self.labels, *self.selection)
        self._groups = grouped(self.source, positions, self.near_duplicates, self.cache)
        facts = self.source.facts.take(pa.array(positions))
        splits, leaked = divide(facts, self._groups.group, held_out[positions], self.division)
        if leaked.any():
            self._dropped["leaked"] = int(leaked.sum())
        self.positions, splits, groups = positions[~leaked], splits[~leaked], self._groups.group[~leaked]
        facts = facts.filter(pa.array(~leaked))
        self._target = tables.class_indices(facts, self.labels)
        self._rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
        self._table = facts.append_column("group", pa.array(groups)).append_column("split", pa.array(splits))

    # Loaders.

    def train_dataloader(self) -> BucketLoader:
        """The training loader, one and the same object during a fit."""
        if self._loader is None:
            self._loader = BucketLoader(
                self._sampler,
                self._collate(),
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

    def read(self) -> Rows:
        """All rows of `path`, labelled or not. Needs no `setup`."""
        return self.reader(self.path, self.rules, self.cache, None)

    def predict_loader(self, rows: Rows) -> tuple[EvaluationLoader, Sequences]:
        """A loader over rows of their own, labelled or not, and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`.
        """
        layout = compile_template(self.tokenizer, **self.template)
        tokens = tokenize(rows, self.tokenizer, None, self.missing_text, self.cache)
        sequences = fit(tokens, layout, self.room.max_length, self.room.cut, self.room.turns)
        target = np.full(rows.num_rows, UNLABELLED, dtype=np.int64)
        collate = Collate(sequences, target, np.ones(rows.num_rows, np.float32), self.tokenizer.pad)
        positions = np.arange(rows.num_rows)
        return EvaluationLoader(positions, collate, self.serving.eval_batch_size, self.serving.num_workers), sequences

    def evaluation_loader(self, split: Split) -> EvaluationLoader | list[Any]:
        """The rows of a split in a fixed order; an empty list where it has none."""
        rows = self.rows(split)
        if not len(rows):
            return []
        pin = torch.cuda.is_available()
        return EvaluationLoader(
            rows, self._collate(), self.serving.eval_batch_size, self.serving.num_workers, pin, *self._process()
        )

    def _collate(self) -> Collate:
        weight = self.table["weight"].to_numpy().astype(np.float32)
        mirror = tables.mirror(self.labels)
        return Collate(self.sequences, self._target, weight, self.tokenizer.pad, mirror=mirror)

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
