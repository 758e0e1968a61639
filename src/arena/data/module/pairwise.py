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
from arena.data.source.examples import PAIR, WINNERS
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.source.toy import true_probabilities
from arena.data.split.prepare import Chosen, SplitSettings
from arena.data.target import facts as tables
from arena.data.target.pseudo import PART, Pseudo
from arena.data.target.targets import Targets
from arena.data.text.template import Layout, check_words, choose, compile_template, word_tokens
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import MISSING, tokenize
from arena.data.text.truncation import TruncationSettings
from arena.data.text.views import InputViews, views

log = logging.getLogger("arena")


class PairData(RowData):
    """Pairwise comparisons with a fixed set of classes.

    Args:
        reader: (path, rules, cache, rejects) -> `Rows`; one that can miss labels has `unlabelled`.
        tokenizer: text -> token ids.
        labels: the classes in the order of the logits, two or three of `model_a`, `model_b`, `tie`.
        path: what the reader reads: a file, a folder, or a list of both; null where it knows by itself.
        columns: names of the file's columns; the reader is made with them.
        formulation: what the model reads of a row (`arena.data.text.views`): set by the model.
        template: name of a template, the text of one (`arena.data.text.template`), or "auto" for that of the
            formulation.
        templates: the templates by name.
        missing_text: stands for a missing turn.
        truncation, split, ingest, target, pseudo, sampling, loader: see their classes.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, null for none.
    """

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
        division = split or SplitSettings()
        division = replace(division, stratify=division.stratify or ["winner"])
        super().__init__(reader, tokenizer, path, division, ingest, loader, cache)
        self.labels = tables.check_labels(labels)
        self.formulation, self.template = formulation, choose(template, templates or {}, formulation)
        self.missing_text, self.room = missing_text, truncation or TruncationSettings()
        self.lesson = target or Targets()
        self.pseudo = (pseudo or Pseudo()).check()
        self.plan = (sampling or Plan()).check(self.labels)

    @property
    def parts(self) -> dict[str, str | None]:
        """See `RowData.parts`."""
        return self.division.hold_outs | {PART: self.pseudo.path}

    def prepare(self) -> None:
        """Make the template and the words of the classes."""
        self.words = self._layout()[1]

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """See `RowData.select`: the rows whose winner is among the classes."""
        labelled = self.source.facts.slice(0, int((part != PART).sum()))
        positions, dropped = tables.select_rows(labelled, self.labels, self.ingest.limit, self.lesson.on_tie)
        return self.lesson.select(labelled, positions, self.labels, dropped), dropped

    def join(self, chosen: Chosen, part: np.ndarray) -> Chosen:
        """See `RowData.join`: the pseudo-labelled rows."""
        near, own = self.division.near_duplicates, int((part != PART).sum())
        return self.pseudo.join(chosen, self.labels, self._dropped, near, self.cache, own)

    def label(self, facts: pa.Table, part: np.ndarray) -> None:
        """See `RowData.label`: the winner, and what the lesson tells of training rows."""
        self._target, train = tables.class_indices(facts, self.labels), self._rows["train"]
        pseudo = part[self.positions] == PART
        self._taught = self.lesson.build(facts, self.labels, self._target, train, pseudo)
        self._offset = self.lesson.offsets(facts, self.labels, train)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> InputViews:
        """See `RowData.encode`."""
        tokens = tokenize(rows, self.tokenizer, positions, self.missing_text, self.cache)
        return views(tokens, self._layout()[0], self.room, self.formulation)

    def sampler(self) -> Sampler:
        """See `RowData.sampler`."""
        ids = self.table["id"].take(pa.array(self._rows["train"])).to_pylist()
        return self.plan.sampler(self._rows["train"], ids, self._target, self.labels)

    def start(self, counts: Tensor) -> ClassPrior:
        """What a model may know before its first step: the shares of classes with these counts, one row added to each
        so that none is impossible, and the tokens of the answer words. With an offset all classes start equal, so that
        the first predictions are the offset's."""
        if self.lesson.offset is not None:
            counts = torch.zeros_like(counts)  # the offset knows the shares
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
        offset = self.lesson.offsets(rows.facts, self.labels)
        return self._batches(sequences, target, weight, offset=offset)

    def collate(self, training: bool) -> Collate:
        """The rows in batches: in training with what the lesson tells of them, else with the class index of each."""
        target, teacher = self._taught if training else (self._target, None)
        return self._batches(self.sequences, target, self.weights(), teacher, self._offset)

    def _batches(
        self,
        sequences: InputViews,
        target: np.ndarray,
        weight: np.ndarray,
        teacher: np.ndarray | None = None,
        offset: np.ndarray | None = None,
    ) -> Collate:
        mirror, sizes = tables.mirror(self.labels), sequences.answer_tokens()
        return Collate(sequences, target, weight, self.tokenizer.pad, 1, sizes, mirror, teacher, offset)

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows of each class in a split, `[K]` int64."""
        return np.bincount(self.targets(split), minlength=len(self.labels))

    def class_shares(self, split: Split) -> dict[str, float]:
        """Share of each class in a split."""
        shares = self.class_counts(split) / max(1, len(self.rows(split)))
        return dict(zip(self.labels, shares.tolist(), strict=True))

    def absent(self) -> list[str]:
        """Classes without a training row."""
        return [label for label, count in zip(self.labels, self.class_counts("train"), strict=True) if not count]

    def sampled_class_counts(self) -> np.ndarray:
        """Training rows of each class as an epoch serves them, with sampling and exchanged answers, `[K]` float64."""
        return self._sampler.class_counts(self._target, tables.mirror(self.labels), len(self.labels))

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """See `Description`. Without a class for ties these are the probabilities given that the row is no tie."""
        known = true_probabilities(self.table.take(pa.array(self.rows(split))))
        if known is None:
            return None
        chosen = known[:, [WINNERS.index(label) for label in self.labels]]
        return chosen / chosen.sum(axis=1, keepdims=True)

    def covariates(self, split: Split) -> pa.Table:
        """See `Description.covariates`; the models too."""
        names = ["model_a", "model_b", "language", "source", *(size.name for size in PAIR.sizes)]
        return self.described(split, {name: name for name in names})

    def told_of_tokens(self) -> dict[str, Any]:
        """See `Description`; rows whose answers differ, and are equal in what is kept of them, are counted too."""
        return super().told_of_tokens() | {"rows_alike_after_cut": int(self.sequences.alike.sum())}

    def report(self) -> None:
        """See `Description.report`; warn of answers that nobody can tell apart."""
        super().report()
        if hasattr(self, "sequences") and (alike := int(self.sequences.alike.sum())):
            log.warning(
                "data: in %d rows the answers differ, and what is kept of them is equal: nobody could tell them apart; "
                "raise data.max_length, or take data.cut=middle or head", alike,
            )  # fmt: skip
