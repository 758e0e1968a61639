"""Token ids of every turn of every text, made once and kept on disk.

Each turn is tokenised by itself, without template and without a limit of length: so another template, another length or
the exchanged order of two answers is only another way to put the same pieces together.
"""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from arena.core.cache import cached, key_of
from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows
from arena.data.text.tokenizer import Finish, Tokenizer

log = logging.getLogger("arena")

MISSING = "(no answer)"
VERSION = 2
"""Raised when the same texts give another file."""
TALK_AFTER = 5.0
"""Seconds of tokenising after which it is worth a line, and between two lines."""


@dataclass(frozen=True)
class TurnTokens:
    """Token ids of R rows. The F texts of a row lie end to end: those of the first turn in the order of
    `arena.data.source.examples.Example.texts`, then those of the second, and so on.

    Attributes:
        ids: all ids, `[T]` int32, perhaps memory-mapped.
        offsets: text x is `ids[offsets[x]:offsets[x + 1]]`, `[X + 1]` int64.
        first: row r has the texts `first[r]` to `first[r + 1]`, F for each turn, `[R + 1]` int64.
        names: of the columns of text, F.
    """

    ids: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    names: tuple[str, ...] = PAIR.texts

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def counts(self) -> np.ndarray:
        """Tokens of each text, `[X]` int64."""
        return np.diff(self.offsets)

    @property
    def turns(self) -> np.ndarray:
        """Turns of each row, `[R]` int64."""
        return np.diff(self.first) // len(self.names)

    @property
    def row_of_text(self) -> np.ndarray:
        """The row of each text, `[X]` int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def field_counts(self) -> np.ndarray:
        """Tokens of each column of each row over all turns, `[R, F]` int64."""
        return self.by_field(self.counts)

    def by_field(self, values: np.ndarray) -> np.ndarray:
        """The sum over all turns of a number that each text has, `[R, F]` int64."""
        fields = len(self.names)
        index = self.row_of_text * fields + np.arange(len(values)) % fields
        flat = np.bincount(index, weights=values, minlength=len(self) * fields)
        return flat.astype(np.int64).reshape(-1, fields)


def tokenize(
    rows: Rows,
    tokenizer: Tokenizer,
    positions: np.ndarray | None = None,
    missing_text: str = MISSING,
    root: Path | None = None,
) -> TurnTokens:
    """The token ids of these rows (all by default), from the cache where they were made before.

    Args:
        rows: see `Rows`.
        tokenizer: text -> ids.
        positions: increasing positions in `rows`, `[R]`.
        missing_text: stands for a missing turn of an answer, and for a null turn of a prompt.
        root: folder of the cache, None for no cache.
    """
    names = rows.example.texts
    if root is None:
        parts = list(_encoded(rows, tokenizer, positions, missing_text))
        ids = np.concatenate([np.empty(0, np.int32), *(p[0] for p in parts)])
        counts = np.concatenate([np.empty(0, np.int64), *(p[1] for p in parts)])
        turns = np.concatenate([np.empty(0, np.int64), *(p[2] for p in parts)])
        return TurnTokens(ids, _ends(counts), _ends(turns * len(names)), names)
    chosen = "all" if positions is None else key_of(np.asarray(positions, np.int64).tobytes())
    key = key_of(VERSION, rows.fingerprint, chosen, tokenizer.fingerprint, missing_text)
    folder, _ = cached(root, "tokens", key, lambda f: _write(f, rows, tokenizer, positions, missing_text))
    offsets, first = np.load(folder / "offsets.npy"), np.load(folder / "first.npy")
    empty = offsets[-1] == 0  # no bytes cannot be mapped
    ids = np.empty(0, np.int32) if empty else np.memmap(folder / "ids.bin", np.int32, "r")
    return TurnTokens(ids, offsets, first, names)


def _write(folder: Path, rows: Rows, tokenizer: Tokenizer, positions: np.ndarray | None, missing_text: str) -> None:
    counts, turns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    with open(folder / "ids.bin", "wb") as file:
        for ids, some_counts, some_turns in _encoded(rows, tokenizer, positions, missing_text):
            file.write(ids.tobytes())
            counts.append(some_counts)
            turns.append(some_turns)
    np.save(folder / "offsets.npy", _ends(np.concatenate(counts)))
    np.save(folder / "first.npy", _ends(np.concatenate(turns) * len(rows.example.texts)))


def _ends(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], sizes.cumsum()]).astype(np.int64)


def _encoded(
    rows: Rows, tokenizer: Tokenizer, positions: np.ndarray | None, missing_text: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Ids end to end, tokens of each text and turns of each row, for some rows at a time.

    One thread calls the library, which uses every core and lets go of Python's lock; meanwhile this one packs what came
    before.
    """
    total = rows.num_rows if positions is None else len(positions)
    began = spoken = time.monotonic()
    done = 0

    def encode(batch: pa.RecordBatch) -> tuple[Finish, np.ndarray]:
        texts, turns = flatten(batch, missing_text)
        # Conversations repeat what was said before, and every missing turn is the same text: each is encoded once.
        places: dict[str, int] = {}
        index = [places.setdefault(text, len(places)) for text in texts]
        finish = tokenizer.encode_first(list(places))

        def spread() -> list[np.ndarray]:
            made = finish()
            return [made[place] for place in index]

        return spread, turns

    with ThreadPoolExecutor(1) as thread:
        waiting: list[Future] = []
        for batch in rows.texts(positions):
            waiting.append(thread.submit(encode, batch))
            if len(waiting) > 1:
                result = _packed(waiting.pop(0).result())
                yield result
                done += len(result[2])
                if time.monotonic() - spoken > TALK_AFTER:
                    spoken = time.monotonic()
                    log.info("tokenised %d of %d rows, %.0f a second", done, total, done / (spoken - began))
        for future in waiting:
            yield _packed(future.result())


def _packed(encoded: tuple[Finish, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    finish, turns = encoded
    arrays = finish()
    counts = np.array([len(ids) for ids in arrays], np.int64)
    return np.concatenate([np.empty(0, np.int32), *arrays]), counts, turns


def flatten(batch: pa.RecordBatch, missing_text: str) -> tuple[list[str], np.ndarray]:
    """The texts of some rows in the order of `TurnTokens`, and the turns of each row.

    A row has as many turns as its longest text, and at least one. A turn that the first text does not have is empty;
    one that another does not have, and every null, is `missing_text`.
    """
    texts: list[str] = []
    turns = []
    for prompt, *others in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        count = max(len(prompt), *map(len, others), 1)
        turns.append(count)
        for turn in range(count):
            asked = prompt[turn] if turn < len(prompt) else ""
            texts.append(missing_text if asked is None else asked)
            for answers in others:
                answer = answers[turn] if turn < len(answers) else None
                texts.append(missing_text if answer is None else answer)
    return texts, np.array(turns, np.int64)
