"""Comparisons as Lightning wants them: read, split and encoded."""

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from arena.core.schema import InputPath
from arena.core.types import UNLABELLED, ClassPrior
from arena.data.loading.collate import Collate
from arena.data.loading.sampling import LoaderSettings, Plan, Sampler
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.examples import WINNERS
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.prepare import SplitSettings
from arena.data.target import labels as of_pairs
from arena.data.target.pseudo import Pseudo
from arena.data.target.targets import Targets
from arena.data.text.input_views import InputViews, views
from arena.data.text.template import Layout, check_words, choose, compile_template, word_tokens
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import MISSING, tokenize
from arena.data.text.truncation import TruncationSettings

log = logging.getLogger("arena")


class PairData(RowData):
    """Pairwise comparisons with a fixed set of classes.

    Args:
        reader, tokenizer, path, cache: see `RowData`.
        labels: the classes in the order of the logits, two or three of `model_a`, `model_b`, `tie`.
        columns: names of the file's columns; the reader is made with them.
        formulation: what the model reads of a row (`arena.data.text.input_views`): set by the model.
        template: name of a template, the text of one (`arena.data.text.template`), or "auto" for that of the
            formulation.
        templates: the templates by name.
        missing_text: stands for a missing turn.
        truncation, split, ingest, target, pseudo, sampling, loader: see their classes.
    """

    metadata_columns = ("model_a", "model_b")

    def __init__(
        self,
        reader: Any,
        tokenizer: Tokenizer,
        labels: list[str],
        path: InputPath | list[InputPath] | None = None,
        columns: dict[str, str] | None = None,
        formulation: Literal["joint", "symmetric", "score", "verbalizer"] = "joint",
        template: str = "auto",
        templates: dict | None = None,
        missing_text: str = MISSING,
        truncation: TruncationSettings | None = None,
        split: SplitSettings | None = None,
        ingest: Ingest | None = None,
        target: Targets | None = None,
        pseudo: Pseudo | None = None,
        sampling: Plan | None = None,
        loader: LoaderSettings | None = None,
        cache: str | None = None,
    ) -> None:
        how = split or SplitSettings()
        how = replace(how, stratify=how.stratify or ["winner"])
        super().__init__(reader, tokenizer, path, how, ingest, loader, cache)
        self.labels = of_pairs.check_labels(labels)
        self.formulation, self.template = formulation, choose(template, templates or {}, formulation)
        self.missing_text, self.truncation = missing_text, truncation or TruncationSettings()
        self.target = target or Targets()
        self.pseudo = (pseudo or Pseudo()).check()
        self.sampling = (sampling or Plan()).check(self.labels)

    def prepare(self) -> None:
        """See `RowData.prepare`; the words of the classes too."""
        self.words = self._layout()[1]

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """See `RowData.select`: the rows whose winner is among the classes."""
        metadata = self.source.metadata
        positions, dropped = of_pairs.select_pairs(metadata, self.labels, self.ingest.limit, self.target.on_tie)
        return self.target.select(metadata, positions, self.labels, dropped), dropped

    def label(self, metadata: pa.Table, pseudo: np.ndarray) -> None:
        """See `RowData.label`: the winner, and the training targets."""
        self._target, train = of_pairs.class_indices(metadata, self.labels), self._rows["train"]
        self._training_targets = self.target.build(metadata, self.labels, self._target, train, pseudo)
        self._offset = self.target.offsets(metadata, self.labels, train)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> InputViews:
        """See `RowData.encode`."""
        tokens = tokenize(rows, self.tokenizer, positions, self.missing_text, self.cache)
        return views(tokens, self._layout()[0], self.truncation, self.formulation)

    def sampler(self) -> Sampler:
        """See `RowData.sampler`."""
        ids = self.table["id"].take(pa.array(self._rows["train"])).to_pylist()
        return self.sampling.sampler(self._rows["train"], ids, self._target, self.labels)

    def class_prior(self, counts: Tensor) -> ClassPrior:
        """See `RowData.class_prior`: one row is added to each class so that none is impossible. With an offset all
        classes start equal, so that the first predictions are the offset's."""
        if self.target.offset is not None:
            counts = torch.zeros_like(counts)
        counts = counts.double() + 1
        return ClassPrior(counts / counts.sum(), None if self.words is None else torch.tensor(self.words))

    def _layout(self) -> tuple[Layout, list[int] | None]:
        """The template in token ids, and the token of each class's answer word for a model that answers in words."""
        words = None
        if self.formulation == "verbalizer":
            known = check_words(self.template.get("words"), self.labels)
            words = word_tokens(known, self.tokenizer, self.template["text"])
        return compile_template(self.tokenizer, **self.template), words

    def predict_collate(self, rows: Rows, sequences: InputViews) -> Collate:
        """See `RowData.predict_collate`."""
        target, weight = np.full(rows.num_rows, UNLABELLED, np.int64), np.ones(rows.num_rows, np.float32)
        return self._batches(sequences, target, weight, None, self.target.offsets(rows.metadata, self.labels))

    def collate(self, training: bool) -> Collate:
        """See `RowData.collate`: in training with the training targets, else with the class index of each row."""
        target, teacher = self._training_targets if training else (self._target, None)
        return self._batches(self.sequences, target, self.weights(), teacher, self._offset)

    def _batches(
        self,
        sequences: InputViews,
        target: np.ndarray,
        weight: np.ndarray,
        teacher: np.ndarray | None,
        offset: np.ndarray | None,
    ) -> Collate:
        permutation, sizes = of_pairs.swap_permutation(self.labels), sequences.answer_tokens()
        return Collate(sequences, target, weight, self.tokenizer.pad, sizes, permutation, teacher, offset)

    def class_counts(self, split: Split) -> np.ndarray:
        """See `Description.class_counts`."""
        return np.bincount(self.targets(split), minlength=len(self.labels))

    def class_shares(self, split: Split) -> dict[str, float]:
        """See `Description.class_shares`."""
        shares = self.class_counts(split) / max(1, len(self.rows(split)))
        return dict(zip(self.labels, shares.tolist(), strict=True))

    def sampled_class_counts(self) -> np.ndarray:
        """See `Description.sampled_class_counts`; with swapped answers."""
        return self._sampler.class_counts(self._target, of_pairs.swap_permutation(self.labels), len(self.labels))

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """See `Description`. Without a class for ties these are the probabilities given that the row is no tie."""
        known = self.table.take(pa.array(self.rows(split)))
        if "true_probability" not in known.column_names or known["true_probability"].null_count:
            return None
        every = np.array(known["true_probability"].to_pylist(), dtype=np.float64).reshape(-1, len(WINNERS))
        chosen = every[:, [WINNERS.index(label) for label in self.labels]]
        return chosen / chosen.sum(axis=1, keepdims=True)

    def token_summary(self) -> dict[str, Any]:
        """See `Description`; counts rows whose answers differ, and are equal in what is kept of them."""
        return super().token_summary() | {"rows_alike_after_cut": int(self.sequences.alike.sum())}

    def report(self) -> None:
        """See `Description.report`; warn of answers that nobody can tell apart."""
        super().report()
        if hasattr(self, "sequences") and (alike := int(self.sequences.alike.sum())):
            log.warning(
                "data: in %d rows the answers differ, and what is kept of them is equal: nobody could tell them apart; "
                "raise data.max_length, or take data.cut=middle or head", alike,
            )  # fmt: skip
