"""Texts with several labels as Lightning wants them: read, split and encoded."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from arena.core import tables
from arena.core.heads import Heads
from arena.core.run import write_atomically
from arena.core.schema import Count, InputPath, Label, Name, Share
from arena.core.types import UNLABELLED, ClassPrior
from arena.data.loading import augment as augmentations
from arena.data.loading.collate import Collate
from arena.data.loading.head_sampling import HeadPlan, served
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.examples import LABELLED_TEXT
from arena.data.source.head_reader import HeadReader
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Chosen, SplitSettings
from arena.data.target.head_pseudo import HeadPseudo
from arena.data.target.head_table import indices, select_rows, template_of
from arena.data.text.template import Layout, compile_template
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize
from arena.data.text.truncation import TruncationSettings, fit
from arena.data.text.views import InputViews

log = logging.getLogger("arena")
FEW = 10
"""Rows of a class below which its numbers say next to nothing."""


class HeadData(RowData):
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
        truncation: TruncationSettings | None = None,
        split: SplitSettings | None = None,
        ingest: Ingest | None = None,
        pseudo: HeadPseudo | None = None,
        sampling: HeadPlan | None = None,
        copies: Count = 1,
        augment: dict[str, Share] | None = None,
        loader: LoaderSettings | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__(reader, tokenizer, path, split or SplitSettings(), ingest, loader, cache)
        self.heads, self.labels = Heads(labels), {name: list(each) for name, each in labels.items()}
        self.template, self.room = template_of(template, reader.form), truncation or TruncationSettings(256)
        self.plan = (sampling or HeadPlan()).check(self.heads)
        self.pseudo = (pseudo or HeadPseudo()).check()
        augmentations.check(augment or {})
        self.copies, self.augment = copies, augment or {}

    def prepare(self) -> None:
        """Make the template."""
        self._layout()

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """See `RowData.select`: the rows with a label in some head."""
        return select_rows(self.source.facts, self.ingest.limit)

    def stratified(self, facts: pa.Table) -> np.ndarray:
        """See `RowData.stratified`: all heads jointly."""
        return indices(facts, self.heads)

    def join(self, chosen: Chosen, part: np.ndarray) -> Chosen:
        """See `RowData.join`: the rows that another run has labelled."""
        chosen, near = chosen.without_leaks(self._dropped), self.division.near_duplicates
        rules, heads = self.ingest.rules, self.heads
        return self.pseudo.join(chosen, self.reader, rules, heads, self._dropped, near, self.cache)

    def label(self, facts: pa.Table, part: np.ndarray) -> None:
        """See `RowData.label`: the class in each head."""
        self._target = indices(facts, self.heads)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> InputViews:
        """See `RowData.encode`. A context that the template does not show is not there."""
        tokens = tokenize(rows, self.tokenizer, positions, root=self.cache, missing_text="")
        hidden = None if "{context}" in self.template else LABELLED_TEXT.texts.index("context")
        return InputViews(
            [fit(tokens, self._layout(), self.room.max_length, self.room.cut, self.room.turns, hidden)], [False]
        )

    def sampler(self) -> Sampler:
        """See `RowData.sampler`."""
        return self.plan.sampler(self._rows["train"], self._target, self.heads)

    def start(self, counts: Tensor) -> ClassPrior:
        """What a model may know before its first step: the shares of each head's classes, one row added to each."""
        parts = [(part.double() + 1) / (part.double() + 1).sum() for part in torch.split(counts, self.heads.sizes)]
        return ClassPrior(torch.cat(parts))

    def predict_collate(self, rows: Rows, sequences: InputViews) -> Collate:
        """See `RowData.predict_collate`."""
        target = np.full((rows.num_rows, len(self.heads)), UNLABELLED, dtype=np.int64)
        return Collate(sequences, target, np.ones(rows.num_rows, np.float32), self.tokenizer.pad)

    def collate(self, training: bool) -> Collate:
        """The rows in batches, in training as often as `copies` says and augmented."""
        options: dict[str, Any] = {}
        if training:
            options["copies"] = self.copies
            if self.augment:
                options["augment"] = augmentations.Augment.of(self.augment, self.tokenizer, self.serving.seed)
        return Collate(self.sequences, self._target, self.weights(), self.tokenizer.pad, **options)

    def _layout(self) -> Layout:
        fields = [name for name in LABELLED_TEXT.texts if f"{{{name}}}" in self.template]
        return compile_template(self.tokenizer, self.template, fields=fields)

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[C]` int64."""
        columns = zip(self.targets(split).T, self.heads.sizes, strict=True)
        return np.concatenate([np.bincount(index[index >= 0], minlength=size) for index, size in columns])

    def sampled_class_counts(self) -> np.ndarray:
        """Training rows of each class as an epoch serves them, `[C]` float64."""
        return served(self._target, self._sampler, self.heads)

    def covariates(self, split: Split) -> pa.Table:
        """See `Description.covariates`."""
        sizes = {"characters": "text_characters", "context_characters": "context_characters"}
        return self.described(split, {"language": "language", "source": "source"} | sizes)

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class among the rows of a split that its head has a label for."""
        parts = self.heads.split(self.class_counts(split)).values()
        shares = np.concatenate([part / max(1, part.sum()) for part in parts])
        return dict(zip(self.heads.columns, shares.tolist(), strict=True))

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types; besides those of comparisons the labelled rows of each head."""
        counts = {name: self.heads.split(self.class_counts(name)) for name in SPLITS}
        labelled = {name: {head: int(part.sum()) for head, part in parts.items()} for name, parts in counts.items()}
        return super().summary() | {"labelled": labelled}

    def write_splits(self, path: str | Path) -> None:
        """Write id, split and group of every row as parquet, and `classes.tsv` beside it."""
        super().write_splits(path)
        lines = [["head", "class", *SPLITS, *(f"{name}_share" for name in SPLITS)], *self._class_table()]
        write_atomically(Path(path).with_name("classes.tsv"), tables.text_of(lines, "\t"))

    def _class_table(self) -> list[list[Any]]:
        """Head, class, rows in each split and shares in each split."""
        counts = {name: self.class_counts(name) for name in SPLITS}
        shares = {name: list(self.class_shares(name).values()) for name in SPLITS}
        names = [(head, label) for head, labels in self.heads.classes.items() for label in labels]
        return [
            [*pair, *(int(counts[name][i]) for name in SPLITS), *(f"{shares[name][i]:.4f}" for name in SPLITS)]
            for i, pair in enumerate(names)
        ]

    def report(self) -> None:
        """Say in the log what the rows in use are like, with a table of the classes; warn of classes that are tiny."""
        super().report()
        rows = self._class_table()
        wide = max(len(f"{line[0]} {line[1]}") for line in rows)
        for line in rows:
            sizes = "  ".join(f"{line[2 + i]:>6} {name}" for i, name in enumerate(SPLITS))
            log.info("data: %s  %s  %s", f"{line[0]} {line[1]}".ljust(wide), sizes, f"({100 * float(line[5]):.1f}%)")
        tiny = [f"{line[0]}/{line[1]} ({sum(line[2:5])})" for line in rows if sum(line[2:5]) < FEW]
        if tiny:
            log.warning(
                "data: %d classes have fewer than %d rows: %s; a split may have none of them, and then nothing is "
                "known of them there",
                len(tiny), FEW, ", ".join(tiny),
            )  # fmt: skip
        if conflicts := self.source.account.notes.get("W_CONFLICT"):
            log.warning("data: %d rows have the text of another row and other labels; they stay together", conflicts)

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return [name for name, count in zip(self.heads.columns, self.class_counts("train"), strict=True) if not count]
