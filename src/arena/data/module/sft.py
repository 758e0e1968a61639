"""Prompts and replies as Lightning wants them: read, split and encoded."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import InputPath
from arena.core.types import ClassPrior
from arena.data.loading.packing import check_packing
from arena.data.loading.reply_collate import ReplyCollate
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.ingest import Ingest
from arena.data.source.reply_reader import WholePrompts, said_before
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import SplitSettings
from arena.data.text.reply_layout import ReplyLayout, check_template, layout_of
from arena.data.text.reply_tokens import ReplyTokens, ReplyTruncationSettings, fit_replies
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize

log = logging.getLogger("arena")


class ReplyData(RowData):
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
        truncation: ReplyTruncationSettings | None = None,
        split: SplitSettings | None = None,
        ingest: Ingest | None = None,
        packing: bool = False,
        prompts: bool = False,
        loader: LoaderSettings | None = None,
        cache: str | None = None,
        labels: list[str] | None = None,
    ) -> None:
        super().__init__(
            reader, tokenizer, path, split or SplitSettings(0.1, 0.1), ingest, loader or LoaderSettings(16, 32), cache
        )
        self.labels = labels or []
        self.template, self.separator = check_template(template), separator
        self.room = (truncation or ReplyTruncationSettings()).check()
        self.packing, self.prompts = check_packing(packing, self.serving.batch_size), prompts
        self._layout: ReplyLayout | None = None
        self._priors: dict[Split, np.ndarray] = {}

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

    def prepare(self) -> None:
        """Make the template."""
        assert self.layout

    def whole(self, rows: Rows) -> Rows:
        """See `RowData.whole`: all that was said before the reply is the prompt."""
        return WholePrompts(rows)

    def stratified(self, facts: pa.Table) -> np.ndarray:
        """See `RowData.stratified`: replies have no classes."""
        return np.zeros(facts.num_rows, dtype=np.int64)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> ReplyTokens:
        """See `RowData.encode`."""
        turns = tokenize(rows, self.tokenizer, positions, missing_text="", root=self.cache)
        return fit_replies(turns, self.layout, self.room)

    def sampler(self) -> Sampler:
        """See `RowData.sampler`. Raises a `UsageError` where no two pairs can be packed."""
        shortest = np.sort(self.sequences.lengths[self._rows["train"]])[:2]
        if self.packing and shortest.sum() > self.room.max_length:
            raise UsageError(
                f"data.packing: no two pairs fit into data.max_length={self.room.max_length} (the shortest have "
                f"{', '.join(map(str, shortest))} tokens); raise it, or set data.packing=false"
            )
        return super().sampler()

    def start(self, counts: Tensor) -> ClassPrior:
        """What a model may know before its first step: the shares of the tokens of replies, one added to each."""
        return ClassPrior((counts.double() + 1) / (counts.double() + 1).sum())

    def predict_collate(self, rows: Rows, sequences: ReplyTokens) -> ReplyCollate:
        """See `RowData.predict_collate`."""
        return ReplyCollate(sequences, np.ones(rows.num_rows, np.float32), self.tokenizer.pad, None, self.prompts)

    def collate(self, training: bool) -> ReplyCollate:
        """The pairs in batches, packed in training only: then what is said of a row depends on no other."""
        room = self.room.max_length if training and self.packing else None
        return ReplyCollate(self.sequences, self.weights(), self.tokenizer.pad, room, self.prompts)

    @property
    def _tokens(self) -> ReplyTokens:
        return self.sequences

    def prompt_ids(self, row: int) -> np.ndarray:
        """The prompt of a row of `table` as the model reads it, up to where the reply begins, `[P]` int64."""
        return self._tokens.prompt(row).astype(np.int64)

    def reply_ids(self, row: int) -> np.ndarray:
        """The reply of a row of `table`, with the ids that end it unless it was cut, `[A]` int64."""
        return self._tokens.reply(row).astype(np.int64)

    def prompt_texts(self, split: Split) -> list[str]:
        """All that is said before the reply in each row of a split, a line for each turn, M texts."""
        return [said_before(asked, answers) for asked, answers in self._said(split)]

    def references(self, split: Split) -> list[str]:
        """The reply of each row of a split, M texts."""
        return [answers[-1] or "" for _, answers in self._said(split)]

    def _said(self, split: Split) -> list[tuple[list, list]]:
        """The turns of user and assistant of each row of a split."""
        found = []
        for batch in self.source.texts(self.positions[self.rows(split)]):
            found += zip(*(batch.column(name).to_pylist() for name in ("prompt", "reply")), strict=True)
        return found

    def targets(self, split: Split) -> np.ndarray:
        """Tokens that are learned in each row of a split, `[M]` int64 (of the reply, where only that is learned)."""
        return self._tokens.reply_lengths[self.rows(split)]

    def class_counts(self, split: Split) -> np.ndarray:
        """How often each token is learned in a split, `[V]` int64."""
        return self._tokens.counts(self.rows(split), self.tokenizer.size)

    def sampled_class_counts(self) -> np.ndarray:
        """How often an epoch of training serves each token as a target, `[V]` int64."""
        return self.class_counts("train")

    def covariates(self, split: Split) -> pa.Table:
        """See `Description.covariates`; tokens of prompt and reply too, and what a unigram model loses on the row."""
        sizes = {"prompt_characters": "prompt_characters", "answer_characters": "reply_characters", "turns": "turns"}
        made = self.described(split, {"language": "language", "source": "source"} | sizes)
        tokens, rows = made.column_names.index("tokens"), self.rows(split)
        for place, name in enumerate(("prompt_lengths", "reply_lengths")):
            known = getattr(self._tokens, name)[rows] if hasattr(self, "sequences") else pa.nulls(len(rows), pa.int64())
            made = made.add_column(tokens + place, name.replace("lengths", "tokens"), pa.array(known))
        if hasattr(self, "sequences"):
            made = made.append_column("prior_log_loss", pa.array(self._prior_losses(split)))
        return made

    def _prior_losses(self, split: Split) -> np.ndarray:
        """What a unigram model of the training replies (counts plus one) loses on each row, nats a token, `[M]`.

        The counterpart of knowing only the class shares; NaN where nothing is learned.
        """
        if split not in self._priors:
            counts = self.class_counts("train") + 1.0
            cost = -np.log(counts / counts.sum())
            made = self._tokens
            rows = (np.concatenate([made.prompt(r), made.reply(r)])[made.learned(r)] for r in self.rows(split).tolist())
            self._priors[split] = np.array([cost[ids].mean() if len(ids) else np.nan for ids in rows])
        return self._priors[split]

    def told_of_tokens(self) -> dict[str, Any]:
        """See `Description`. `truncated` has the shares of the prompts and replies in use that lost tokens, and of the
        tokens that they lost."""
        made = self._tokens
        lengths = np.stack([made.prompt_lengths, made.reply_lengths], axis=1)
        lost = (made.needed - lengths).sum(axis=0) / np.maximum(made.needed.sum(axis=0), 1)
        cut = {"prompts": made.prompt_cut, "replies": made.reply_cut, "rows": made.is_cut}
        truncated = {name: float(values.mean()) for name, values in cut.items()}
        truncated |= {"prompt_tokens": float(lost[0]), "reply_tokens": float(lost[1])}
        replies = {name: int(made.reply_lengths[self.rows(name)].sum()) for name in SPLITS}
        return {"truncated": truncated, "reply_tokens": replies}

    def report(self) -> None:
        """Say in the log what the rows in use are like."""
        super().report()
        made = self._tokens
        log.info("data: template %s, replies end with %s", self.layout.name, ", ".join(map(str, self.layout.end_ids)))
        if made.is_cut.any():
            log.info(
                "data: %.1f%% of the prompts lost their oldest tokens, %.1f%% of the replies their end",
                100 * made.prompt_cut.mean(), 100 * made.reply_cut.mean(),
            )  # fmt: skip
