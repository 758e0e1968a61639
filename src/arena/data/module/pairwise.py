"""Comparisons as Lightning wants them: read, split and encoded."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from arena.core.cache import root_of
from arena.core.schema import Count, InputPath, NonNegative, OutputPath, Positive, Share, WholeNumber
from arena.core.types import UNLABELLED, Start
from arena.data.loading.collate import Collate
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.sampling import Plan, Serving
from arena.data.module.description import Description
from arena.data.module.served import Served
from arena.data.source.ingest import Rules
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
        columns: names of the file's columns; the reader is made with them.
        path: what the reader reads: a file, a folder, or a list of both; null where it knows by itself.
        val_path: a file whose rows validate, instead of a share.
        test_path: a file whose rows test, instead of a share.
        on_leak: what to do with a training row whose prompt is in a hold-out file.
        on_bad_row: stop at the first broken row, or set broken rows aside in `rejects`.
        max_rejected: share of broken rows above which the run stops all the same.
        repair: replace what no UTF-8 file can hold (half surrogate pairs, NUL, undecodable bytes) by U+FFFD.
        rejects: file that gets the broken rows.
        formulation: what the model reads of a row (`arena.data.text.views`): set by the model.
        template: name of a template, the text of one (`arena.data.text.template`), or "auto" for that of the
        formulation.
        templates: the templates by name.
        max_length: tokens of a row at most.
        cut: what a text that is too long loses.
        turns: who has the room first where several turns do not fit.
        missing_text: stands for a missing turn.
        batch_size, eval_batch_size: rows in a training batch, for each process, and in a batch without gradients.
        val_share, test_share: shares of the rows for validation and for the test.
        folds, fold: validate on one (from 0) of this many equal parts instead of on a share.
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
        limit: take only the first rows.
        num_workers: processes that make batches.
        seed: of the order of the training rows.
        on_tie: what to do with ties when `labels` has none.
        target: what training learns from: the winner, or the shares of the votes (the column `probability`) where they
            are known. Validation and test are judged on the winner.
        teacher: another model's predictions for all labelled training rows (csv, jsonl or parquet with id and one
            `probability_<label>` or `winner_<label>` for each class), for a loss that learns from them.
        pseudo_path: rows that train as `pseudo_labels` labels them; their own labels are ignored. Those with a prompt
            of a validation or test row never do, whatever `on_leak` says.
        pseudo_labels: predictions for these rows, as `teacher`.
        pseudo_confidence: rows whose largest probability is below this are left out.
        pseudo_weight, pseudo_soft: factor of such a row's weight; whether its target is the probabilities.
        cache: folder for what was read and tokenised before; "auto" for the user's cache, null for none.
        offset: another model's predictions for every row in use, as `teacher`, or several such files, or the run folder
            of `arena.baseline`: their logarithms are added to the logits, in training and ever after.
    """

    def __init__(
        self,
        reader: Any,
        tokenizer: Tokenizer,
        labels: list[str],
        path: InputPath | list[InputPath] | None = None, columns: dict[str, str] | None = None,
        val_path: InputPath | None = None,
        test_path: InputPath | None = None,
        on_leak: Literal["drop", "error", "keep"] = "drop",
        on_bad_row: Literal["error", "quarantine"] = "error",
        max_rejected: Share = 0.005,
        repair: bool = False,
        rejects: OutputPath | None = None,
        formulation: Literal["joint", "symmetric", "score", "verbalizer"] = "joint",
        template: str = "auto",
        templates: dict | None = None,
        max_length: Count = 512,
        cut: Literal["tail", "head", "middle"] = "tail",
        turns: Literal["last", "all"] = "last",
        missing_text: str = MISSING,
        batch_size: Count = 32,
        eval_batch_size: Count = 64,
        val_share: Share = 0.15,
        test_share: Share = 0.15,
        folds: Count | None = None, fold: WholeNumber | None = None,  # fmt: skip
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
        cache: str | None = None, offset: InputPath | list[InputPath] | None = None,
        target: Literal["winner", "votes"] = "winner", teacher: InputPath | None = None,
        pseudo_path: InputPath | None = None, pseudo_labels: InputPath | None = None,
        pseudo_confidence: Share = 0.8, pseudo_weight: Positive = 1.0, pseudo_soft: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.labels = tables.check_labels(labels)
        self.hold_outs = {"val": val_path, "test": test_path}
        self.rules, self.rejects = Rules(on_bad_row, max_rejected, repair), Path(rejects) if rejects else None
        self.selection: tuple[int | None, Literal["error", "drop"]] = (limit, on_tie)
        self.near_duplicates, self.missing_text = near_duplicates, missing_text
        division = Division(val_share, test_share, folds, fold, stratify or ["winner"], split_seed, on_leak)
        self.formulation, self.template = formulation, choose(template, templates or {}, formulation)
        self.room = Room(max_length, cut, turns)
        plan = Plan(swap, sampling, sampling_power, max_copies, hardness, curriculum_epochs, seed)
        self.plan, self.division = plan.check(self.labels), division.check()
        self.lesson = Targets(target, teacher, offset)
        self.pseudo = Pseudo(pseudo_path, pseudo_labels, pseudo_confidence, pseudo_weight, pseudo_soft).check()
        self.serving = Serving(batch_size, eval_batch_size, window, num_workers, seed)
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
        parts = self.hold_outs | {PART: self.pseudo.path}
        self.source, part = read_parts(self.reader, self.path, parts, self.rules, self.cache, self.rejects)
        own = int((part != PART).sum())
        labelled = self.source.facts.slice(0, own)
        positions, self._dropped = tables.select_rows(labelled, self.labels, *self.selection)
        positions = self.lesson.select(labelled, positions, self.labels, self.selection[1], self._dropped)
        self._groups = grouped(self.source, positions, self.near_duplicates, self.cache)
        facts = self.source.facts.take(pa.array(positions))
        splits, leaked = divide(facts, self._groups.group, part[positions], self.division)
        known = Joined(self.source, positions, splits, self._groups.group, leaked)
        self.source, positions, splits, groups, leaked = self.pseudo.join(
            known, self.labels, self._dropped, self.near_duplicates, self.cache, own
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
        rules = self.rules.with_stand_ins() if stand_ins else self.rules
        read = getattr(self.reader, "unlabelled", self.reader)
        return read(self.path, rules, self.cache).head(self.selection[0])

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
