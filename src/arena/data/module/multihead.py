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
from arena.data.loading.sampling import HeadPlan, LoaderSettings, Sampler
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.examples import LABELLED_TEXT
from arena.data.source.head_reader import HeadReader
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import SplitSettings
from arena.data.target.labels import head_class_indices, select_labelled_texts
from arena.data.target.pseudo import HeadPseudo
from arena.data.text.input_views import InputViews
from arena.data.text.template import Layout, compile_template, text_template
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize
from arena.data.text.truncation import TruncationSettings, truncate

log = logging.getLogger("arena")
FEW = 10
"""Rows of a class below which its numbers say next to nothing."""


class HeadData(RowData):
    """Texts, each with a class in every head, or in some of them.

    A row without any label is left out; a head without a label is masked. The split is stratified on all heads jointly
    (`arena.data.split.stratify`) and never divides equal or nearly equal texts, nor the rows of one group.

    Args:
        reader, tokenizer, path, cache: see `RowData`.
        labels: classes of each head, in the order of the logits.
        text, heads, classes, id, group: names of columns and classes; `reader` and `labels` are made of them.
        formulation: set by the model; a text is read once.
        template: the text as the model reads it, with `{text}` once; null for the text alone, or text and context with
            a separator between them.
        truncation, split, ingest, pseudo, sampling, loader: see their classes.
        copies: how often each row is in a training batch, 2 for losses that compare two passes of dropout (R-Drop).
        augment: strength of each augmentation of training texts, see `arena.data.loading.augment`.
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
        self.template, self.truncation = text_template(template, reader.text), truncation or TruncationSettings(256)
        self.sampling = (sampling or HeadPlan()).check(self.heads)
        self.pseudo = (pseudo or HeadPseudo()).check()
        augmentations.check(augment or {})
        self.copies, self.augment = copies, augment or {}

    def prepare(self) -> None:
        """See `RowData.prepare`."""
        self._layout()

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """See `RowData.select`: the rows with a label in some head."""
        return select_labelled_texts(self.source.metadata, self.ingest.limit)

    def stratified(self, metadata: pa.Table) -> np.ndarray:
        """See `RowData.stratified`: all heads jointly."""
        return head_class_indices(metadata, self.heads)

    def label(self, metadata: pa.Table, pseudo: np.ndarray) -> None:
        """See `RowData.label`: the class in each head."""
        self._target = head_class_indices(metadata, self.heads)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> InputViews:
        """See `RowData.encode`. A context that the template does not show is not there."""
        tokens = tokenize(rows, self.tokenizer, positions, root=self.cache, missing_text="")
        masked = None if "{context}" in self.template else LABELLED_TEXT.texts.index("context")
        return InputViews([truncate(tokens, self._layout(), self.truncation, masked)], [False])

    def sampler(self) -> Sampler:
        """See `RowData.sampler`."""
        return self.sampling.sampler(self._rows["train"], self._target, self.heads)

    def class_prior(self, counts: Tensor) -> ClassPrior:
        """See `RowData.class_prior`: the shares of each head's classes, one row added to each."""
        parts = [(part.double() + 1) / (part.double() + 1).sum() for part in torch.split(counts, self.heads.sizes)]
        return ClassPrior(torch.cat(parts))

    def predict_collate(self, rows: Rows, sequences: InputViews) -> Collate:
        """See `RowData.predict_collate`."""
        target = np.full((rows.num_rows, len(self.heads)), UNLABELLED, dtype=np.int64)
        return Collate(sequences, target, np.ones(rows.num_rows, np.float32), self.tokenizer.pad)

    def collate(self, training: bool) -> Collate:
        """See `RowData.collate`: in training as often as `copies` says and augmented."""
        options: dict[str, Any] = {}
        if training:
            options["copies"] = self.copies
            if self.augment:
                options["augment"] = augmentations.Augment.of(self.augment, self.tokenizer, self.loader_settings.seed)
        return Collate(self.sequences, self._target, self.weights(), self.tokenizer.pad, **options)

    def _layout(self) -> Layout:
        fields = [name for name in LABELLED_TEXT.texts if f"{{{name}}}" in self.template]
        return compile_template(self.tokenizer, self.template, fields=fields)

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class of each head in a split, heads side by side, `[C]` int64."""
        columns = zip(self.targets(split).T, self.heads.sizes, strict=True)
        return np.concatenate([np.bincount(index[index >= 0], minlength=size) for index, size in columns])

    def sampled_class_counts(self) -> np.ndarray:
        """Rows of each class in an epoch of training, `[C]` float64."""
        return self._sampler.head_class_counts(self._target, self.heads)

    def covariates(self, split: Split) -> pa.Table:
        """See `Description.covariates`."""
        sizes = {"characters": "text_characters", "context_characters": "context_characters"}
        return self.described(split, sizes)

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class among the rows of a split that its head has a label for."""
        parts = self.heads.split(self.class_counts(split)).values()
        shares = np.concatenate([part / max(1, part.sum()) for part in parts])
        return dict(zip(self.heads.columns, shares.tolist(), strict=True))

    def summary(self) -> dict[str, Any]:
        """See `Description.summary`; the labelled rows of each head too."""
        counts = {name: self.heads.split(self.class_counts(name)) for name in SPLITS}
        labelled = {name: {head: int(part.sum()) for head, part in parts.items()} for name, parts in counts.items()}
        return super().summary() | {"labelled": labelled}

    def write_splits(self, path: str | Path) -> None:
        """See `Description.write_splits`; `classes.tsv` beside it."""
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
        """See `Description.report`; with a table of the classes, and a warning of classes that are tiny."""
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
                "known of them there", len(tiny), FEW, ", ".join(tiny),
            )  # fmt: skip
        if conflicts := self.source.statistics.notes.get("W_CONFLICT"):
            log.warning("data: %d rows have the text of another row and other labels; they stay together", conflicts)
