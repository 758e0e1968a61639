"""Prompts and replies as Lightning wants them: read, split and encoded."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from arena.core.errors import UsageError
from arena.core.schema import InputPath
from arena.core.types import ClassPrior
from arena.data.loading.reply_collate import ReplyCollate, check_packing
from arena.data.loading.sampling import LoaderSettings, Sampler
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.ingest import Ingest
from arena.data.source.reply_reader import WholePrompts, conversation_text
from arena.data.source.rows import Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.prepare import SplitSettings
from arena.data.text.reply_layout import ReplyLayout, check_template, layout_of
from arena.data.text.reply_tokens import ReplyTokens, ReplyTruncationSettings, truncate_replies
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize

log = logging.getLogger("arena")


class ReplyData(RowData):
    """Prompts with the reply to each, from which a language model learns to reply (supervised fine-tuning).

    Only tokens of replies have a loss. Equal or nearly equal prompts are never divided between training and test, nor
    the rows of one group.

    Args:
        reader, tokenizer, path, cache: see `RowData`.
        prompt, reply, messages, id, group, system: names of columns, and the system message of rows that bring none;
            the reader is made of them.
        template: "chat" for the model's own chat template, "plain" for prompt, separator, reply, or a text with
            `{prompt}` and `{reply}`; "auto" for chat where the tokenizer has a template.
        separator: stands between prompt and reply, and between earlier turns, of a plain template.
        truncation, split, ingest, loader: see their classes.
        packing: several pairs of a training batch share a sequence of up to `truncation.max_length`.
        prompts: batches have the prompts by themselves too, for losses that sample replies.
        labels: there are no classes.
    """

    sequences: ReplyTokens

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
        how, sizes = split or SplitSettings(0.1, 0.1), loader or LoaderSettings(16, 32)
        super().__init__(reader, tokenizer, path, how, ingest, sizes, cache)
        self.labels = labels or []
        self.template, self.separator = check_template(template), separator
        self.truncation = (truncation or ReplyTruncationSettings()).check()
        self.packing, self.prompts = check_packing(packing, sizes.batch_size), prompts
        self._priors: dict[Split, np.ndarray] = {}

    @cached_property
    def layout(self) -> ReplyLayout:
        """The layout of prompts and replies for this tokenizer."""
        return layout_of(self.template, self.separator, self.tokenizer)

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a reply."""
        return self.layout.end_ids

    def prepare(self) -> None:
        """See `RowData.prepare`."""
        assert self.layout

    def grouping_view(self, rows: Rows) -> Rows:
        """See `RowData.grouping_view`: everything before the reply is the prompt."""
        return WholePrompts(rows)

    def stratified(self, metadata: pa.Table) -> np.ndarray:
        """See `RowData.stratified`: replies have no classes."""
        return np.zeros(metadata.num_rows, dtype=np.int64)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> ReplyTokens:
        """See `RowData.encode`."""
        turns = tokenize(rows, self.tokenizer, positions, missing_text="", root=self.cache)
        return truncate_replies(turns, self.layout, self.truncation)

    def sampler(self) -> Sampler:
        """See `RowData.sampler`. Raises a `UsageError` where no two pairs can be packed."""
        shortest = np.sort(self.sequences.lengths[self._rows["train"]])[:2]
        if self.packing and shortest.sum() > self.truncation.max_length:
            raise UsageError(
                f"data.packing: no two pairs fit into data.max_length={self.truncation.max_length} (the shortest have "
                f"{', '.join(map(str, shortest))} tokens); raise it, or set data.packing=false"
            )
        return super().sampler()

    def class_prior(self, counts: Tensor) -> ClassPrior:
        """See `RowData.class_prior`: the shares of the tokens of replies, one added to each."""
        return ClassPrior((counts.double() + 1) / (counts.double() + 1).sum())

    def predict_collate(self, rows: Rows, sequences: ReplyTokens) -> ReplyCollate:
        """See `RowData.predict_collate`."""
        return ReplyCollate(sequences, np.ones(rows.num_rows, np.float32), self.tokenizer.pad, None, self.prompts)

    def collate(self, training: bool) -> ReplyCollate:
        """See `RowData.collate`; packed in training only, so that the measures of a row depend on no other."""
        length = self.truncation.max_length if training and self.packing else None
        return ReplyCollate(self.sequences, self.weights(), self.tokenizer.pad, length, self.prompts)

    def prompt_ids(self, row: int) -> np.ndarray:
        """The prompt of a row of `table` as the model reads it, up to where the reply begins, `[P]` int64."""
        return self.sequences.prompt(row).astype(np.int64)

    def prompt_texts(self, split: Split) -> list[str]:
        """Everything before the reply in each row of a split, a line for each turn, M texts."""
        return [conversation_text(user, assistant) for user, assistant in self._turns(split)]

    def reference_replies(self, split: Split) -> list[str]:
        """The reply of each row of a split, M texts."""
        return [assistant[-1] or "" for _, assistant in self._turns(split)]

    def _turns(self, split: Split) -> list[tuple[list, list]]:
        """The turns of user and assistant of each row of a split."""
        found = []
        for batch in self.source.texts(self.positions[self.rows(split)]):
            found += zip(*(batch.column(name).to_pylist() for name in ("prompt", "reply")), strict=True)
        return found

    def targets(self, split: Split) -> np.ndarray:
        """Tokens of the reply in each row of a split, `[M]` int64."""
        return self.sequences.reply_lengths[self.rows(split)]

    def class_counts(self, split: Split) -> np.ndarray:
        """How often each token has a loss in a split, `[V]` int64."""
        return self.sequences.counts(self.rows(split), self.tokenizer.size)

    def covariates(self, split: Split) -> pa.Table:
        """See `Description.covariates`; tokens of prompt and reply too, and the loss of a unigram model on the row."""
        sizes = {"prompt_characters": "prompt_characters", "answer_characters": "reply_characters", "turns": "turns"}
        made = self.described(split, sizes)
        tokens, rows = made.column_names.index("tokens"), self.rows(split)
        known = hasattr(self, "sequences")
        for place, name in enumerate(("prompt", "reply")):
            lengths = getattr(self.sequences, f"{name}_lengths")[rows] if known else pa.nulls(len(rows), pa.int64())
            made = made.add_column(tokens + place, f"{name}_tokens", pa.array(lengths))
        return made.append_column("prior_log_loss", pa.array(self._prior_losses(split))) if known else made

    def _prior_losses(self, split: Split) -> np.ndarray:
        """Loss of a unigram model of the training replies (counts plus one) on each row, nats a token, `[M]`.

        The counterpart of knowing only the class shares; NaN where no token has a loss.
        """
        if split not in self._priors:
            counts = self.class_counts("train") + 1.0
            cost = -np.log(counts / counts.sum())
            rows = map(self.sequences.supervised_ids, self.rows(split).tolist())
            self._priors[split] = np.array([cost[ids].mean() if len(ids) else np.nan for ids in rows])
        return self._priors[split]

    def token_summary(self) -> dict[str, Any]:
        """See `Description`. `truncated` has the shares of the prompts and replies in use that lost tokens, and of the
        tokens that they lost."""
        made = self.sequences
        lengths = np.stack([made.prompt_lengths, made.reply_lengths], axis=1)
        lost = (made.needed - lengths).sum(axis=0) / np.maximum(made.needed.sum(axis=0), 1)
        cut = {"prompts": made.prompt_cut, "replies": made.reply_cut, "rows": made.is_cut}
        truncated = {name: float(values.mean()) for name, values in cut.items()}
        truncated |= {"prompt_tokens": float(lost[0]), "reply_tokens": float(lost[1])}
        replies = {name: int(made.reply_lengths[self.rows(name)].sum()) for name in SPLITS}
        return {"truncated": truncated, "reply_tokens": replies}

    def report(self) -> None:
        """See `Description.report`; the template, and the shares that were truncated."""
        super().report()
        made = self.sequences
        log.info("data: template %s, replies end with %s", self.layout.name, ", ".join(map(str, self.layout.end_ids)))
        if made.is_cut.any():
            log.info(
                "data: %.1f%% of the prompts lost their oldest tokens, %.1f%% of the replies their end",
                100 * made.prompt_cut.mean(), 100 * made.reply_cut.mean(),
            )  # fmt: skip
