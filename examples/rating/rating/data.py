"""Rated answers as Lightning wants them: arena's parts, and what is different about a score."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from arena.core.errors import DataError
from arena.core.schema import InputPath
from arena.core.types import ClassPrior
from arena.data.loading.collate import Collate
from arena.data.loading.sampling import LoaderSettings
from arena.data.module.base import RowData
from arena.data.module.description import Split
from arena.data.source.ingest import Ingest
from arena.data.source.rows import Rows
from arena.data.split.prepare import SplitSettings
from arena.data.text.input_views import InputViews
from arena.data.text.template import choose, compile_template
from arena.data.text.tokenizer import Tokenizer
from arena.data.text.tokens import tokenize
from arena.data.text.truncation import TruncationSettings, truncate
from rating.source import RatedReader

TEMPLATE = "{prompt}{separator}{response}"


class RatedData(RowData):
    """Answers with a score each; the target is a number and not a class.

    The split is stratified on the score and never divides equal or nearly equal prompts.

    Args:
        reader: of prompts, answers and scores.
        tokenizer: text -> token ids.
        path: file, folder, or a list of both.
        prompt, response, score, id, low, high: names of columns and the scale; the reader is made of them.
        template: a text with `{prompt}` and `{response}`.
        truncation, split, ingest, loader: see their classes.
        cache: see `arena.data.module.base.RowData`.
        labels: there are no classes.
    """

    def __init__(
        self,
        reader: RatedReader,
        tokenizer: Tokenizer,
        path: InputPath | list[InputPath] | None = None,
        prompt: str = "prompt",
        response: str = "response",
        score: str = "score",
        id: str = "id",
        low: float = 1.0,
        high: float = 10.0,
        template: str = TEMPLATE,
        truncation: TruncationSettings | None = None,
        split: SplitSettings | None = None,
        ingest: Ingest | None = None,
        loader: LoaderSettings | None = None,
        cache: str | None = None,
        labels: list[str] | None = None,
    ) -> None:
        super().__init__(reader, tokenizer, path, split or SplitSettings(), ingest, loader, cache)
        self.low, self.high, self.labels = low, high, labels or []
        self.template, self.truncation = choose(template, {}, "score"), truncation or TruncationSettings()

    def select(self, part: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """See `RowData.select`: the rows with a score."""
        positions, dropped = super().select(part)
        scored = pc.is_valid(self.source.metadata["score"]).to_numpy()[positions]  # pyright: ignore
        if not scored.any():
            raise DataError("no row has a score: there is nothing to learn from")
        return positions[scored], dropped | ({"unlabelled": int((~scored).sum())} if not scored.all() else {})

    def stratified(self, metadata: pa.Table) -> np.ndarray:
        """See `RowData.stratified`: the score, rounded."""
        return np.rint(metadata["score"].to_numpy() - self.low).astype(np.int64)

    def label(self, metadata: pa.Table, pseudo: np.ndarray) -> None:
        """See `RowData.label`."""
        self._target = metadata["score"].to_numpy().astype(np.float32)

    def encode(self, rows: Rows, positions: np.ndarray | None) -> InputViews:
        """See `RowData.encode`."""
        tokens = tokenize(rows, self.tokenizer, positions, root=self.cache)
        layout = compile_template(self.tokenizer, **self.template)
        return InputViews([truncate(tokens, layout, self.truncation)], [False])

    def class_prior(self, counts: Any) -> ClassPrior:
        """See `RowData.class_prior`: none; the loss knows the scores of the training rows."""
        return ClassPrior(torch.ones(1, dtype=torch.float64))

    def class_counts(self, split: Split) -> np.ndarray:
        """Rows at each half point of the scale in a split, `[2 (high - low) + 1]` int64."""
        half = np.rint(2 * (self._target[self.rows(split)] - self.low)).astype(np.int64)
        return np.bincount(half, minlength=round(2 * (self.high - self.low)) + 1)

    def collate(self, training: bool) -> Collate:
        """See `RowData.collate`."""
        return Collate(self.sequences, self._target, self.weights(), self.tokenizer.pad)

    def predict_collate(self, rows: Rows, sequences: InputViews) -> Collate:
        """See `RowData.predict_collate`."""
        unknown, ones = np.full(rows.num_rows, np.nan, np.float32), np.ones(rows.num_rows, np.float32)
        return Collate(sequences, unknown, ones, self.tokenizer.pad)
