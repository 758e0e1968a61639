"""Prompts and replies as Lightning wants them: read, split and encoded."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from torch import Tensor

from arena.core.cache import root_of
from arena.core.errors import UsageError
from arena.core.schema import Count, InputPath, OutputPath, Share, WholeNumber
from arena.core.types import Start
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.packing import check_packing
from arena.data.loading.reply_collate import ReplyCollate
from arena.data.loading.sampling import Sampler, Serving
from arena.data.module.reply_description import ReplyDescription
from arena.data.module.served import Served
from arena.data.source.ingest import Rules
from arena.data.source.reply_reader import WholePrompts
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import Division, divide, grouped, read_parts
from arena.data.text.reply_layout import ReplyLayout, check_template, layout_of
from arena.data.text.reply_tokens import ReplyRoom, ReplyTokens, fit_replies
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize

log = logging.getLogger("arena")


class ReplyData(ReplyDescription, Served):
    """Prompts with the reply to each, from which a language model learns to reply (supervised fine-tuning).

    Only tokens of replies are learned. Equal or nearly equal prompts are never divided between training and test, nor
    the rows of one group.

    Args:
        reader: of prompts and replies.
        tokenizer: text -> token ids.
        prompt, reply, messages, id, group, system: names of columns, and the system message of rows that bring none;
            the reader is made of them.
        path, val_path, test_path: files; the latter two hold out their rows instead of a share.
        on_leak: what to do with a training row whose prompt is in a hold-out file.
        on_bad_row, max_rejected, repair, rejects: see `arena.data.module.pairwise.PairData`.
        template: "chat" for the model's own chat template, "plain" for prompt, separator, reply, or a text with
            `{prompt}` and `{reply}`; "auto" for chat where the tokenizer has a template.
        separator: stands between prompt and reply, and between earlier turns, of a plain template.
        max_length: tokens of prompt and reply together at most; prompts lose their oldest tokens, replies their end.
        max_reply_length: tokens of a reply at most, with its end; null: what the prompt leaves, and half for sure.
        learn: the last message of the assistant, or all that are shown.
        packing: several pairs of a training batch share a sequence of up to `max_length`.
        prompts: batches have the prompts by themselves too, for losses that sample replies.
        batch_size, eval_batch_size: pairs in a training batch, for each process, and in a batch without gradients.
        val_share, test_share, folds, fold, near_duplicates, split_seed: see `arena.data.module.pairwise.PairData`.
        window, limit, num_workers, seed, cache: see `arena.data.module.pairwise.PairData`.
        labels: there are no classes.
    """

    def __init__(
        self,
        reader: Callable[..., Rows],
        tokenizer: Tokenizer,
        path: InputPath | list[InputPath] | None = None,
        prompt: str | None = None,
        reply: str | None = None,
        messages: str | None = None,
        id: str = "id",
        group: str | None = None,
        system: str | None = None,
        val_path: InputPath | None = None,
        test_path: InputPath | None = None,
        on_leak: Literal["drop", "error", "keep"] = "drop",
        on_bad_row: Literal["error", "quarantine"] = "error",
        max_rejected: Share = 0.005,
        repair: bool = False,
        rejects: OutputPath | None = None,
        template: str = "auto",
        separator: str = "\n",
        max_length: Count = 512,
        max_reply_length: Count | None = None,
        learn: Literal["last", "all"] = "last",
        packing: bool = False,
        prompts: bool = False,
        batch_size: Count = 16,
        eval_batch_size: Count = 32,
        val_share: Share = 0.1,
        test_share: Share = 0.1,
        folds: Count | None = None,
        fold: WholeNumber | None = None,
        near_duplicates: Share | None = None,
        split_seed: WholeNumber = 0,
        window: Count = 100,
        limit: Count | None = None,
        num_workers: WholeNumber = 0,
        seed: WholeNumber = 0,
        cache: str | None = None,
        labels: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path, self.limit = reader, tokenizer, path, limit
        self.labels = labels or []
        self.hold_outs = {"val": val_path, "test": test_path}
        self.rules, self.rejects = Rules(on_bad_row, max_rejected, repair), Path(rejects) if rejects else None
        self.division = Division(val_share, test_share, folds, fold, [], split_seed, on_leak).check()
        self.near_duplicates = near_duplicates
        self.template, self.separator = check_template(template), separator
        self.room = ReplyRoom(max_length, max_reply_length, learn).check()
        self.packing, self.prompts = check_packing(packing, batch_size), prompts
        self.serving = Serving(batch_size, eval_batch_size, window, num_workers, seed)
        self.cache = root_of(cache)
        self._layout: ReplyLayout | None = None
        self._priors = {}

    @property
    def layout(self) -> ReplyLayout:
        """What stands around prompts and replies for this tokenizer."""
        if self._layout is None:
            self._layout = layout_of(self.template, self.separator, self.tokenizer)
        return self._layout

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a reply."""
        return self.layout.end_ids

    def setup(self, stage: str | None = None) -> None:
        """Read, group, split and encode, once. Each new fit starts its order anew unless a checkpoint follows.

        Raises:
            UsageError, InputOutputError, DataError: as the reader, `divide`, `layout_of` and `fit_replies`.
        """
        self.begin(stage)
        if hasattr(self, "sequences"):
            return
        layout = self.layout
        self.divide_rows()
        self.sequences = self._encoded(self.source, self.positions)
        train = self._rows["train"]
        self._sampler = Sampler(train, self.table.num_rows, seed=self.serving.seed)
        shortest = np.sort(self.sequences.lengths[train])[:2]
        if self.packing and shortest.sum() > self.room.max_length:
            raise UsageError(
                f"data.packing: no two pairs fit into data.max_length={self.room.max_length} (the shortest have "
                f"{', '.join(map(str, shortest))} tokens); raise it, or set data.packing=false"
            )
        self.report()
        log.info("data: template %s, replies end with %s", layout.name, ", ".join(map(str, layout.end_ids)))

    def divide_rows(self) -> None:
        """Read, select, group and split, once; all of `setup` that needs no tokenizer.

        Raises:
            UsageError, InputOutputError, DataError: as the reader and `divide`.
        """
        if self._table is not None:
            return
        self.source, part = read_parts(self.reader, self.path, self.hold_outs, self.rules, self.cache, self.rejects)
        own = int((part == "").sum())
        positions = np.flatnonzero((part != "") | (np.arange(len(part)) < (self.limit or own)))
        left = self.source.num_rows - len(positions)
        self._dropped = {"limit": left} if left else {}
        self._groups = grouped(WholePrompts(self.source), positions, self.near_duplicates, self.cache)
        groups, facts = self._groups.group, self.source.facts.take(pa.array(positions))
        same = np.zeros(len(positions), dtype=np.int64)  # replies have no classes whose shares could be kept
        splits, leaked = divide(facts, groups, part[positions], self.division, same)
        if leaked.any():
            self._dropped["leaked"] = int(leaked.sum())
        kept = ~leaked
        self.positions, facts = positions[kept], facts.filter(pa.array(kept))
        splits, groups = splits[kept], groups[kept]
        self._rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
        self._table = facts.append_column("group", pa.array(groups)).append_column("split", pa.array(splits))

    def start(self, counts: Tensor) -> Start:
        """What a model may know before its first step: the shares of the tokens of replies, one added to each."""
        return Start((counts.double() + 1) / (counts.double() + 1).sum())

    def read(self) -> Rows:
        """All rows of `path`, with replies or without. Needs no `setup`."""
        if not hasattr(self.reader, "unlabelled"):
            return self.reader(self.path, self.rules, self.cache, None)
        return self.reader.unlabelled(self.path, self.rules, self.cache)  # pyright: ignore[reportFunctionMemberAccess]

    def predict_loader(self, rows: Rows, swapped: bool = False) -> tuple[EvaluationLoader, ReplyTokens]:
        """A loader over rows of their own and their token ids. Needs no `setup`.

        The batches come longest first: `batch.row` is the position in `rows`. There is nothing to exchange.
        """
        assert not swapped
        sequences = self._encoded(rows, None)
        collate = ReplyCollate(sequences, np.ones(rows.num_rows, np.float32), self.tokenizer.pad, None, self.prompts)
        serving, positions = self.serving, np.arange(rows.num_rows)
        return EvaluationLoader(positions, collate, serving.eval_batch_size, serving.num_workers), sequences

    def collate(self, training: bool) -> ReplyCollate:
        """The pairs in batches, packed in training only: then what is said of a row depends on no other."""
        weight = self.table["weight"].to_numpy().astype(np.float32)
        room = self.room.max_length if training and self.packing else None
        return ReplyCollate(self.sequences, weight, self.tokenizer.pad, room, self.prompts)

    def _encoded(self, rows: Rows, positions: np.ndarray | None) -> ReplyTokens:
        turns = tokenize(rows, self.tokenizer, positions, missing_text="", root=self.cache)
        return fit_replies(turns, self.layout, self.room)
