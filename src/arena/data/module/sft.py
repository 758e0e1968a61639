"""Prompts and replies as Lightning wants them: read, split and encoded."""

import logging
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from torch import Tensor

from arena.core.cache import root_of
from arena.core.errors import UsageError
from arena.core.schema import InputPath
from arena.core.types import Start
from arena.data.loading.loader import EvaluationLoader
from arena.data.loading.packing import check_packing
from arena.data.loading.reply_collate import ReplyCollate
from arena.data.loading.sampling import Sampler, Serving
from arena.data.module.reply_description import ReplyDescription
from arena.data.module.served import Served
from arena.data.source.ingest import Ingest
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
        path: file, folder, or a list of both.
        template: "chat" for the model's own chat template, "plain" for prompt, separator, reply, or a text with
            `{prompt}` and `{reply}`; "auto" for chat where the tokenizer has a template.
        separator: stands between prompt and reply, and between earlier turns, of a plain template.
        truncation, split, ingest, loader: see their classes.
        packing: several pairs of a training batch share a sequence of up to `truncation.max_length`.
        prompts: batches have the prompts by themselves too, for losses that sample replies.
        cache: see `arena.data.module.pairwise.PairData`.
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
        template: str = "auto",
        separator: str = "\n",
        truncation: ReplyRoom | None = None,
        split: Division | None = None,
        ingest: Ingest | None = None,
        packing: bool = False,
        prompts: bool = False,
        loader: Serving | None = None,
        cache: str | None = None,
        labels: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokenizer, self.path = reader, tokenizer, path
        self.labels = labels or []
        self.template, self.separator = check_template(template), separator
        self.room = (truncation or ReplyRoom()).check()
        self.division, self.ingest = (split or Division(0.1, 0.1)).check(), ingest or Ingest()
        self.serving = loader or Serving(16, 32)
        self.packing, self.prompts = check_packing(packing, self.serving.batch_size), prompts
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
        self.source, part = read_parts(self.reader, self.path, self.division.hold_outs, self.ingest, self.cache)
        own = int((part == "").sum())
        positions = np.flatnonzero((part != "") | (np.arange(len(part)) < (self.ingest.limit or own)))
        left = self.source.num_rows - len(positions)
        self._dropped = {"limit": left} if left else {}
        self._groups = grouped(WholePrompts(self.source), positions, self.division.near_duplicates, self.cache)
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
            return self.reader(self.path, self.ingest.rules, self.cache, None)
        return self.reader.unlabelled(self.path, self.ingest.rules, self.cache)  # pyright: ignore[reportFunctionMemberAccess]

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
