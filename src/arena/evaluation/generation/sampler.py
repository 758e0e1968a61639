"""Replies of a model to the prompts of a split, several to each prompt, kept on disk while they are made.

A stopped generation goes on where it stopped, to the same texts: the batches are made from the prompts alone, and the
seed of each comes from `seed` and the ids of its rows. Neither the order of the batches nor a new process changes a
text. Only a batch that did not fit into memory is drawn anew in halves, with seeds of their own.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from arena.callback.predictions import write_table
from arena.core.cache import key_of
from arena.core.console import echo
from arena.core.errors import DataError, OutOfMemoryError
from arena.data.loading.reply_collate import left_padded
from arena.diversity.batches import attempt
from arena.evaluation.generation.store import FILE, Parts, read_settings, require_same_settings, write_settings
from arena.inference.partial import Partial
from arena.model.sampling import Sampling, evaluating

DRAWING = ("samples", "max_new_tokens", "temperature", "top_p", "top_k")
SECONDS = 10.0
"""Between two lines of progress."""


@dataclass(frozen=True)
class Prompts:
    """Positions of the prompts in the data table, `[P]` int64, and id, group, prompt and reference of each."""

    row: np.ndarray
    columns: pa.Table


def generate(
    model: Any,
    data: Any,
    split: str,
    sampling: Sampling,
    folder: Path,
    seed: int = 0,
    prompts: int | None = 200,
    batch_size: int = 16,
    weights: str = "",
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Path:
    """Write `generations.parquet` and `settings.json`; returns the former.

    Columns as `arena.evaluation.generation.store.COLUMNS`; the samples of a prompt stand beside each other, the prompts
    in the order of the split.

    Args:
        model: has `sample` and `log_probabilities` (`arena.model.causal`); switched to evaluation and back.
        data: prompts and references, set up.
        folder: where the files go; what a stopped generation left there is used.
        seed: of the choice of prompts and of every draw.
        prompts: at most so many of the split, see `choose`.
        batch_size: prompts in one batch; each takes `samples` sequences of memory.
        weights: a fingerprint of the weights.
        context: made anew around each batch (autocast).

    Raises:
        UsageError: the folder belongs to other settings, or another process writes there.
        DataError: the split is empty.
        OutOfMemoryError: not even the replies to one prompt fit.
    """
    drawing = {name: getattr(sampling, name) for name in DRAWING} | {"seed": seed}
    settings: dict[str, Any] = {"sampling": drawing, "split": split, "prompts": prompts}
    settings |= {"batch_size": batch_size, "fingerprint": data.summary()["fingerprint"], "weights": weights}
    target = folder / FILE
    if target.is_file():
        require_same_settings(read_settings(folder), settings, folder)
        echo(f"{target}: these replies are there already, nothing is generated")
        return target
    chosen = choose(data, split, prompts, seed)
    partial = Partial(target)
    with partial.locked(), evaluating(model):
        parts = Parts(partial.folder)
        if parts.rows:
            require_same_settings(read_settings(partial.folder), settings, partial.folder)
        write_settings(partial.folder, settings)
        Work(model, data, sampling, seed, chosen, parts, context).run(batch_size)
        table = parts.table(chosen.row.tolist())
        write_settings(folder, settings | {"rows": len(chosen.row), "measures": None, "checker": None})
        write_table(target, table)
    return target


def choose(data: Any, split: str, prompts: int | None, seed: int) -> Prompts:
    """Choose the prompts to answer: groups in an order drawn with `seed`, all rows of each, until there are enough.

    A prompt that occurs in several rows is answered once, for the first of them: the prompt is the unit of every
    measure. The prompts of a smaller choice are all in a larger one. A `DataError` for an empty split.
    """
    table = data.covariates(split)
    if not table.num_rows:
        raise DataError(f"split={split}: the run has no rows there; give another split (train, val, test)")
    texts, references = data.prompt_texts(split), data.reference_replies(split)
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    numbers = np.unique(np.asarray(table["group"]), return_inverse=True)[1]
    rank = np.random.default_rng(seed).permutation(int(numbers.max()) + 1)[numbers]
    drawn = [place for place in np.argsort(rank, kind="stable").tolist() if first[texts[place]] == place]
    places = sorted(drawn[:prompts])
    columns = pa.table(
        {
            "id": table["id"].take(places).cast(pa.string()),
            "group": table["group"].take(places),
            "prompt": pa.array([texts[place] for place in places], pa.string()),
            "reference": pa.array([references[place] for place in places], pa.string()),
        }
    )
    return Prompts(np.asarray(table["row"])[places], columns)


class Work:
    """The batches that are still to be done; arguments as `generate`, with the prompts chosen and the parts on disk."""

    def __init__(
        self, model: Any, data: Any, sampling: Any, seed: int, prompts: Prompts, parts: Parts, context: Any
    ) -> None:
        self.model, self.data, self.sampling, self.seed = model, data, sampling, seed
        self.prompts, self.parts, self.context = prompts, parts, context
        self.device = next(model.parameters()).device
        self.ids = [np.asarray(data.prompt_ids(int(row)), dtype=np.int64) for row in prompts.row]
        self.tokens, self.began, self.logged = 0, time.monotonic(), time.monotonic()

    def run(self, batch_size: int) -> None:
        """Answer all prompts, the longest first: what does not fit into memory shows at once."""
        total = len(self.ids)
        if self.parts.rows:
            echo(f"goes on after {len(self.parts.rows)} of {total} prompts, which an earlier process answered")
        order = np.argsort([-len(ids) for ids in self.ids], kind="stable")
        for start in range(0, total, batch_size):
            self._batch(order[start : start + batch_size])
            if time.monotonic() - self.logged > SECONDS or start + batch_size >= total:
                self.logged = time.monotonic()
                rate = self.tokens / max(self.logged - self.began, 1e-9)
                done = len(self.parts.rows)
                echo(f"{done} of {total} prompts, {done * self.sampling.samples} replies, {rate:.0f} tokens a second")

    def _batch(self, batch: np.ndarray) -> None:
        """Answer one batch, in halves or smaller where memory asked for it."""
        while not all(map(self._answered, pieces(batch, self.parts.halvings))):
            self.parts.halve()
            echo(f"out of memory: from here on {len(pieces(batch, self.parts.halvings)[0])} prompts at a time")

    def _answered(self, piece: np.ndarray) -> bool:
        """Answer these prompts, unless they are; false where they do not fit into memory."""
        if self.parts.rows >= set(self.prompts.row[piece].tolist()):
            return True
        named = self.prompts.columns.take(pa.array(piece))
        samples = attempt(self._sample, piece, int(key_of(self.seed, named["id"].to_pylist())[:15], 16))
        if samples is None and len(piece) == 1:
            raise OutOfMemoryError(
                f"out of memory: {self.sampling.samples} replies to one prompt do not fit; lower samples or "
                "max_new_tokens"
            )
        if samples is None:
            return False
        n = self.sampling.samples
        ids, length, finished, log_probability = (each.cpu().numpy() for each in samples)
        repeated = named.take(pa.array(np.repeat(np.arange(len(piece)), n)))
        columns = {name: repeated[name] for name in repeated.column_names} | {
            "row": np.repeat(self.prompts.row[piece], n),
            "sample": np.tile(np.arange(n), len(piece)),
            "text": [self.data.tokenizer.decode(one[:end]) for one, end in zip(ids, length, strict=True)],
            "tokens": length.astype(np.int64),
            "finished": finished.astype(bool),
            "log_probability": log_probability.astype(np.float64),
        }
        self.parts.add(pa.table(columns))
        self.tokens += int(length.sum())
        return True

    @torch.no_grad()
    def _sample(self, piece: np.ndarray, seed: int) -> tuple[torch.Tensor, ...]:
        padded = left_padded([self.ids[i] for i in piece.tolist()], self.data.tokenizer.pad)
        ids, mask = (each.to(self.device) for each in padded)
        with self.context():
            found = self.model.sample(ids, mask, self.sampling, seed)
            log_probability = self.model.log_probabilities(ids, mask, found, self.sampling.temperature)
        return found.ids, found.length, found.finished, log_probability


def pieces(batch: np.ndarray, halvings: int) -> list[np.ndarray]:
    """Divide a batch in halves so many times, the first half never the smaller one."""
    found = [batch]
    for _ in range(halvings):
        found = [half for one in found for half in np.split(one, [(len(one) + 1) // 2]) if len(half)]
    return found
