"""The part of the data module for prompts and replies that answers questions."""

import logging
from typing import Any

import numpy as np
import pyarrow as pa

from arena.data.module.description import Description, Split
from arena.data.source.reply_reader import said_before
from arena.data.source.rows import SIZES, TEXTS, Rows
from arena.data.split.assignment import SPLITS
from arena.data.split.groups import Groups
from arena.data.text.reply_tokens import ReplyTokens
from arena.data.text.tokenizer import Tokenizer

log = logging.getLogger("arena")


class ReplyDescription(Description):
    """See `Description`. The classes are the V tokens of the vocabulary, and what is counted are tokens of replies.

    Attributes:
        tokenizer: text -> ids.
        sequences: prompts and replies of the rows in use.
    """

    tokenizer: Tokenizer
    sequences: Any
    source: Rows
    _groups: Groups
    _priors: dict[Split, np.ndarray]

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
            found += zip(*(batch.column(name).to_pylist() for name in TEXTS[:2]), strict=True)
        return found

    def targets(self, split: Split) -> np.ndarray:
        """Tokens that are learned in each row of a split, `[M]` int64 (of the reply, where only that is learned)."""
        return self._tokens.reply_lengths[self.rows(split)]

    def class_counts(self, split: Split) -> np.ndarray:
        """How often each token is learned in a split, `[V]` int64."""
        return self._tokens.counts(self.rows(split), self.tokenizer.size)

    def served_counts(self) -> np.ndarray:
        """How often an epoch of training serves each token as a target, `[V]` int64."""
        return self.class_counts("train")

    def class_shares(self, split: Split) -> dict[str, float]:
        """Nothing: there are too many tokens to tell of each."""
        return {}

    def absent(self) -> list[str]:
        """Nothing: most tokens of a vocabulary occur in no reply."""
        return []

    def true_probabilities(self, split: Split) -> np.ndarray | None:
        """Not known."""
        return None

    def covariates(self, split: Split) -> pa.Table:
        """Row (position in `table`), id, group, language, source and sizes of the rows of a split; the columns of
        tokens are null where the rows were divided but never tokenised."""
        rows = self.rows(split)
        known = self.table.take(pa.array(rows))
        made: dict[str, Any] = {"row": rows, **{name: known[name] for name in ("id", "group", "language", "source")}}
        made |= {"prompt_characters": known[SIZES[0].name], "answer_characters": known[SIZES[1].name]}
        made["turns"] = known[SIZES[-1].name]
        for name in ("prompt_lengths", "reply_lengths", "lengths"):
            counted = getattr(self._tokens, name)[rows] if hasattr(self, "sequences") else None
            column = {"lengths": "tokens"}.get(name, name.replace("lengths", "tokens"))
            made[column] = pa.nulls(len(rows), pa.int64()) if counted is None else counted
        if hasattr(self, "sequences"):
            made["prior_log_loss"] = self._prior_losses(split)
        return pa.table(made)

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

    def summary(self) -> dict[str, Any]:
        """The facts for `result.json`, in JSON's types; see `Description.summary`. `truncated` has the shares of the
        prompts and replies in use that lost tokens, and of the tokens that they lost."""
        found = super().summary()
        for name in ("class_shares", "truncated_share", "answer_invisible_share", "rows_alike_after_cut"):
            found.pop(name, None)
        if hasattr(self, "sequences"):
            made = self._tokens
            lengths = np.stack([made.prompt_lengths, made.reply_lengths], axis=1)
            lost = (made.needed - lengths).sum(axis=0) / np.maximum(made.needed.sum(axis=0), 1)
            cut = {"prompts": made.prompt_cut, "replies": made.reply_cut, "rows": made.is_cut}
            found["truncated"] = {name: float(values.mean()) for name, values in cut.items()}
            found["truncated"] |= {"prompt_tokens": float(lost[0]), "reply_tokens": float(lost[1])}
            found["reply_tokens"] = {name: int(made.reply_lengths[self.rows(name)].sum()) for name in SPLITS}
        return found

    def _alike(self) -> int:
        return 0

    def report(self) -> None:
        """Say in the log what the rows in use are like."""
        super().report()
        made = self._tokens
        if made.is_cut.any():
            log.info(
                "data: %.1f%% of the prompts lost their oldest tokens, %.1f%% of the replies their end",
                100 * made.prompt_cut.mean(), 100 * made.reply_cut.mean(),
            )  # fmt: skip
