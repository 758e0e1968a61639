"""Texts with several labels as Lightning wants them: read, split and encoded."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from arena.core.cache import root_of
from arena.core.heads import Heads
from arena.core.schema import Count, InputPath, Label, Name, Share
from arena.core.types import UNLABELLED, Start
from arena.data.loading import augment as augmentations
from arena.data.loading.collate import Collate
from arena.data.loading.head_sampling import HeadPlan
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.sampling import Serving
from arena.data.module.head_description import HeadDescription
from arena.data.module.served import Served
from arena.data.source.head_reader import HeadReader
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Division, divide, grouped, read_parts
from arena.data.target.head_pseudo import HeadPseudo
from arena.data.target.head_table import indices, select_rows, template_of
from arena.data.text.template import Layout, compile_template
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import TurnTokens, tokenize
from arena.data.text.truncation import Room, fit
from arena.data.text.views import Views


class HeadData(HeadDescription, Served):
    """Texts, each with a class in every head, or in some of them.

    A row without any label is left out; a head without a label is masked. The split is stratified on all heads jointly
    (`arena.data.split.stratify`) and never divides equal or nearly equal texts, nor the rows of one group.

    Args:
        reader: of texts and labels.
        tokenizer: text -> token ids.
        labels: classes of each head, in the order of the logits.
        text, heads, classes, id, group: names of columns and classes; `reader` and `labels` are made of them.
        path: file, folder, or a list of both.
        formulation: set by the model; one sequence a row is all that there is.
        template: the text as the model reads it, with `{text}` once; null for the text alone, or text and context with
            a separator between them.
        truncation, split, ingest, pseudo, sampling, loader: see their classes.
        copies: how often each row is in a training batch, 2 for losses that compare two passes of dropout (R-Drop).
        augment: strength of each augmentation of training texts, see `arena.data.loading.augment`.
        cache: see `arena.data.module.pairwise.PairData`.
    """

    words = None

    def __init__(
        self,
        reader: HeadReader,
        tokenizer: Tokenizer,
        labels: dict[Name, list[Label]],
        path: InputPath | list[InputPath] | None = None,
        text: str | list[str] | None = None,
        heads: list[Name] | None = None,
        classes: dict[Name, list] | None = None,
        id: str = "id",
        group: str | None = None,
        formulation: Literal["joint"] = "joint",
        template: str | None = None,
        truncation: Room | None = None,
        split: Division | None = None,
        ingest: Ingest | None = None,
        pseudo: HeadPseudo | None = None,
        sampling: HeadPlan | None = None,
        copies: Count = 1,
        augment: dict[str, Share] | None = None,
        loader: Serving | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.heads, self.labels = Heads(labels), {name: list(each) for name, each in labels.items()}
        self.template, self.room = template_of(template, reader.form), truncation or Room(256)
        self.division, self.ingest = (split or Division()).check(), ingest or Ingest()
        self.plan = (sampling or HeadPlan()).check(self.heads)
        self.pseudo = (pseudo or HeadPseudo()).check()
        augmentations.check(augment or {})
        self.copies, self.augment = copies, augment or {}
        self.serving = loader or Serving()
        self.cache = root_of(cache)

    def setup(self, stage: str | None = None) -> None:
        """Read, select, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `divide` and `fit`.
        """
        self.begin(stage)
        if hasattr(self, "sequences"):
            return
        layout = compile_template(self.tokenizer, self.template)
        self.divide_rows()
        self.sequences = self._views(
            tokenize(self.source, self.tokenizer, self.positions, root=self.cache, missing_text=""), layout
        )
        self._sampler = self.plan.sampler(self._rows["train"], self._target, self.heads)
        self.report()

    def divide_rows(self) -> None:
        """Read, select, group, split and label, once; all of `setup` that needs no tokenizer.

        Raises:
            UsageError, InputOutputError, DataError: as the reader and `divide`.
        """
        if self._table is not None:
            return
        self.source, part = read_parts(self.reader, self.path, self.division.hold_outs, self.ingest, self.cache)
        positions, self._dropped = select_rows(self.source.facts, self.ingest.limit)
        self._groups = grouped(self.source, positions, self.division.near_duplicates, self.cache)
        groups, facts = self._groups.group, self.source.facts.take(pa.array(positions))
        target = indices(facts, self.heads)
        splits, leaked = divide(facts, groups, part[positions], self.division, target)
        if leaked.any():
            self._dropped["leaked"] = int(leaked.sum())
        kept = ~leaked
        self.positions, facts = positions[kept], facts.filter(pa.array(kept))
        self._target, splits, groups = target[kept], splits[kept], groups[kept]
        if self.pseudo.path is not None:
            facts, splits, groups = self._add_pseudo(splits, groups)
        self._rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
        self._table = facts.append_column("group", pa.array(groups)).append_column("split", pa.array(splits))

    def _add_pseudo(self, splits: np.ndarray, groups: np.ndarray) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """Append the rows that another run has labelled to the training rows; their facts, splits and groups."""
        found = self.pseudo.rows(self.reader, self.ingest.rules, self.cache, self.heads)
        self._dropped |= found.dropped
        first = self.source.num_rows
        self.source = Rows.concatenate([self.source, found.rows])
        positions = np.concatenate([self.positions, first + found.positions])
        together = grouped(self.source, positions, self.division.near_duplicates, self.cache).group
        before, here = together[: len(splits)], together[len(splits) :]
        leaked = np.isin(here, before[splits != "train"])
        if leaked.any():
            self._dropped["leaked"] = self._dropped.get("leaked", 0) + int(leaked.sum())
        kept = np.concatenate([np.ones(len(splits), dtype=bool), ~leaked])
        self.positions = positions[kept]
        self._target = np.concatenate([self._target, found.target])[kept]
        facts = self.source.facts.take(pa.array(self.positions))
        added = np.repeat("train", int((~leaked).sum()))
        return facts, np.concatenate([splits, added]), np.concatenate([groups, here[~leaked]])

    def start(self, counts: Tensor) -> Start:
        """What a model may know before its first step: the shares of each head's classes, one row added to each."""
        parts = [(part.double() + 1) / (part.double() + 1).sum() for part in torch.split(counts, self.heads.sizes)]
        return Start(torch.cat(parts))

    def read(self, stand_ins: bool = False) -> Rows:
        """The first `limit` rows of `path`, labelled or not, with `stand_ins` (`Rows.stand_ins`) on request. Needs no
        `setup`."""
        rules = self.ingest.rules.with_stand_ins() if stand_ins else self.ingest.rules
        return self.reader.unlabelled(self.path, rules, self.cache).head(self.ingest.limit)

    def predict_loader(self, rows: Rows, swapped: bool = False) -> tuple[EvaluationLoader, Views]:
        """A loader over rows of their own, labelled or not, and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`. There is nothing to exchange.
        """
        assert not swapped
        layout = compile_template(self.tokenizer, self.template)
        sequences = self._views(tokenize(rows, self.tokenizer, root=self.cache, missing_text=""), layout)
        target = np.full((rows.num_rows, len(self.heads)), UNLABELLED, dtype=np.int64)
        collate = Collate(sequences, target, np.ones(rows.num_rows, np.float32), self.tokenizer.pad)
        serving = self.serving
        positions = np.arange(rows.num_rows)
        return EvaluationLoader(positions, collate, serving.eval_batch_size, serving.num_workers), sequences

    def collate(self, training: bool) -> Collate:
        """The rows in batches, in training as often as `copies` says and augmented."""
        weight = self.table["weight"].to_numpy().astype(np.float32)
        options: dict[str, Any] = {}
        if training:
            options["copies"] = self.copies
            if self.augment:
                options["augment"] = augmentations.Augment.of(self.augment, self.tokenizer, self.serving.seed)
        return Collate(self.sequences, self._target, weight, self.tokenizer.pad, **options)

    def _views(self, turns: TurnTokens, layout: Layout) -> Views:
        # The text is the prompt and its context answer A of the rows: answer B is never there.
        return Views([fit(turns, layout, self.room.max_length, self.room.cut, self.room.turns, hidden=2)], [False])
