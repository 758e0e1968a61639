"""Comparisons as Lightning wants them: read, split and encoded."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from arena.core.cache import root_of
from arena.core.schema import InputPath
from arena.core.types import UNLABELLED, Start
from arena.data.loading.collate import Collate
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.sampling import Plan, Serving
from arena.data.module.description import Description
from arena.data.module.served import Served
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Division, divide, grouped, read_parts
from arena.data.target import facts as tables
from arena.data.target.pseudo import PART, Joined, Pseudo
from arena.data.target.targets import Targets
from arena.data.text.template import Layout, check_words, choose, compile_template, word_tokens
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import MISSING, tokenize
from arena.data.text.truncation import Room
from arena.data.text.views import Views, views


class PairData(Description, Served):
    """Pairwise comparisons with a fixed set of classes.

    Positions in `table` (`row`) tie batches, predictions and covariates together.

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
        truncation: Room | None = None,
        split: Division | None = None,
        ingest: Ingest | None = None,
        target: Targets | None = None,
        pseudo: Pseudo | None = None,
        sampling: Plan | None = None,
        loader: Serving | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.labels = tables.check_labels(labels)
        self.formulation, self.template = formulation, choose(template, templates or {}, formulation)
        self.missing_text, self.room = missing_text, truncation or Room()
        division = split or Division()
        self.division = replace(division, stratify=division.stratify or ["winner"]).check()
        self.ingest, self.lesson = ingest or Ingest(), target or Targets()
        self.pseudo = (pseudo or Pseudo()).check()
        self.plan = (sampling or Plan()).check(self.labels)
        self.serving = loader or Serving()
        self.cache = root_of(cache)

    def setup(self, stage: str | None = None) -> None:
        """Read, select, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `select_rows`, `divide`, `fit` and `Plan`.
        """
        self.begin(stage)
        if hasattr(self, "sequences"):
            return
        layout, self.words = self._layout()
        self.divide_rows()
        tokens = tokenize(self.source, self.tokenizer, self.positions, self.missing_text, self.cache)
        self.sequences = views(tokens, layout, self.room, self.formulation)
        ids = self.table["id"].take(pa.array(self._rows["train"])).to_pylist()
        self._sampler = self.plan.sampler(self._rows["train"], ids, self._target, self.labels)
        self.report()

    def divide_rows(self) -> None:
        """Read, select, group, split and label, once; all of `setup` that needs no tokenizer.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `select_rows`, `divide`, and the files of a teacher
                or of pseudo-labels.
        """
        if self._table is not None:
            return
        parts = self.division.hold_outs | {PART: self.pseudo.path}
        self.source, part = read_parts(self.reader, self.path, parts, self.ingest, self.cache)
        own = int((part != PART).sum())
        labelled = self.source.facts.slice(0, own)
        positions, self._dropped = tables.select_rows(labelled, self.labels, self.ingest.limit, self.lesson.on_tie)
        positions = self.lesson.select(labelled, positions, self.labels, self._dropped)
        near = self.division.near_duplicates
        self._groups = grouped(self.source, positions, near, self.cache)
        facts = self.source.facts.take(pa.array(positions))
        splits, leaked = divide(facts, self._groups.group, part[positions], self.division)
        known = Joined(self.source, positions, splits, self._groups.group, leaked)
        self.source, positions, splits, groups, leaked = self.pseudo.join(
            known, self.labels, self._dropped, near, self.cache, own
        )
        facts = self.source.facts.take(pa.array(positions))
        if leaked.any():
            self._dropped["leaked"] = int(leaked.sum())
        self.positions, splits, groups = positions[~leaked], splits[~leaked], groups[~leaked]
        facts = facts.filter(pa.array(~leaked))
        self._target = tables.class_indices(facts, self.labels)
        self._rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
        self._taught = self.lesson.build(facts, self.labels, self._target, self._rows["train"], self.positions >= own)
        self._offset = self.lesson.offsets(facts, self.labels, self._rows["train"])
        self._table = facts.append_column("group", pa.array(groups)).append_column("split", pa.array(splits))

    def start(self, counts: Tensor) -> Start:
        """What a model may know before its first step: the shares of classes with these counts, one row added to each
        so that none is impossible, and the tokens of the answer words. With an offset all classes start equal, so that
        the first predictions are the offset's."""
        if self.lesson.offset is not None:
            counts = torch.zeros_like(counts)  # the offset knows the shares
        counts = counts.double() + 1
        return Start(counts / counts.sum(), None if self.words is None else torch.tensor(self.words))

    def read(self, stand_ins: bool = False) -> Rows:
        """The first `limit` rows of `path`, labelled or not, with `stand_ins` (`Rows.stand_ins`) on request. Needs no
        `setup`."""
        rules = self.ingest.rules.with_stand_ins() if stand_ins else self.ingest.rules
        read = getattr(self.reader, "unlabelled", self.reader)
        return read(self.path, rules, self.cache).head(self.ingest.limit)

    def _layout(self) -> tuple[Layout, list[int] | None]:
        """The template in token ids, and the token of each class's answer word for a model that answers in words."""
        words = None
        if self.formulation == "verbalizer":
            known = check_words(self.template.get("words"), self.labels)
            words = word_tokens(known, self.tokenizer, self.template["text"])
        return compile_template(self.tokenizer, **self.template), words

    def predict_loader(self, rows: Rows, swapped: bool = False) -> tuple[EvaluationLoader, Views]:
        """A loader over rows of their own, labelled or not, and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`. With `swapped`, every row comes with its
        two answers exchanged: class k of the model is then class `mirror(labels)[k]` of the row.
        """
        tokens = tokenize(rows, self.tokenizer, None, self.missing_text, self.cache)
        sequences = views(tokens, self._layout()[0], self.room, self.formulation)
        target = np.full(rows.num_rows, UNLABELLED, dtype=np.int64)
        weight, sizes = np.ones(rows.num_rows, np.float32), sequences.answer_tokens()
        mirror, offset = tables.mirror(self.labels), self.lesson.offsets(rows.facts, self.labels)
        collate = Collate(sequences, target, weight, self.tokenizer.pad, 1, sizes, mirror, offset=offset)
        positions = np.arange(rows.num_rows) + (rows.num_rows if swapped else 0)
        return EvaluationLoader(positions, collate, self.serving.eval_batch_size, self.serving.num_workers), sequences

    def collate(self, training: bool) -> Collate:
        """The rows in batches: in training with what the lesson tells of them, else with the class index of each."""
        target, teacher = self._taught if training else (self._target, None)
        weight = self.table["weight"].to_numpy().astype(np.float32)
        mirror = tables.mirror(self.labels)
        sizes, pad = self.sequences.answer_tokens(), self.tokenizer.pad
        return Collate(self.sequences, target, weight, pad, 1, sizes, mirror, teacher, self._offset)
