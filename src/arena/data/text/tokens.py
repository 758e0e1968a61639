"""Token ids of every turn of every text, made once and kept on disk.

Each turn is tokenised by itself, without template and without a limit of length: so another template, another length or
the swapped order of two answers is only another way to put the same pieces together.
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
from arena.data.text.backend import Finish
from arena.data.text.tokenizer import Tokenizer

log = logging.getLogger("arena")

MISSING = "(no answer)"
VERSION = 2
"""Raised when the same texts give another file."""
LOG_AFTER = 5.0
"""Seconds of tokenising after which it is worth a line, and between two lines."""
Encoded = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids end to end, tokens of each text, and turns of each row, of some rows."""


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

    def field_counts(self) -> np.ndarray:
        """Tokens of each column of each row over all turns, `[R, F]` int64."""
        return self.by_field(self.counts)

    def by_field(self, values: np.ndarray) -> np.ndarray:
        """The sum over all turns of a number that each text has, `[R, F]` int64."""
        fields = len(self.names)
        row = np.repeat(np.arange(len(self)), np.diff(self.first))
        index = row * fields + np.arange(len(values)) % fields
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
        rows, tokenizer: the texts, and text -> ids.
        positions: increasing positions in `rows`, `[R]`.
        missing_text: stands for a missing turn of an answer, and for a null turn of a prompt.
        root: folder of the cache, None for no cache.
    """
    names = rows.example.texts
    if root is None:
        parts = [*_encoded(rows, tokenizer, positions, missing_text), _nothing()]
        ids, counts, turns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return TurnTokens(ids, _ends(counts), _ends(turns * len(names)), names)

    def write(folder: Path) -> None:
        parts = [_nothing()[1:]]
        with open(folder / "ids.bin", "wb") as file:
            for ids, *sizes in _encoded(rows, tokenizer, positions, missing_text):
                file.write(ids.tobytes())
                parts.append((sizes[0], sizes[1]))
        counts, turns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        np.save(folder / "offsets.npy", _ends(counts))
        np.save(folder / "first.npy", _ends(turns * len(names)))

    chosen = "all" if positions is None else key_of(np.asarray(positions, np.int64).tobytes())
    key = key_of(VERSION, rows.fingerprint, chosen, tokenizer.fingerprint, missing_text)
    folder, _ = cached(root, "tokens", key, write)
    offsets, first = np.load(folder / "offsets.npy"), np.load(folder / "first.npy")
    empty = offsets[-1] == 0  # no bytes cannot be mapped
    ids = np.empty(0, np.int32) if empty else np.memmap(folder / "ids.bin", np.int32, "r")
    return TurnTokens(ids, offsets, first, names)


def _nothing() -> Encoded:
    return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)


def _ends(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], sizes.cumsum()]).astype(np.int64)


def _encoded(rows: Rows, tokenizer: Tokenizer, positions: np.ndarray | None, missing_text: str) -> Iterator[Encoded]:
    """The ids of some rows at a time.

    One thread calls the library, which uses every core and lets go of Python's lock; meanwhile this one packs what came
    before.
    """
    total = rows.num_rows if positions is None else len(positions)
    began = logged = time.monotonic()
    done = 0

    def encode(batch: pa.RecordBatch) -> tuple[Finish, list[int], np.ndarray]:
        texts, turns = flatten(batch, missing_text)
        # Conversations repeat earlier turns, and every missing turn is the same text: each is encoded once.
        places: dict[str, int] = {}
        index = [places.setdefault(text, len(places)) for text in texts]
        return tokenizer.encode_first(list(places)), index, turns

    with ThreadPoolExecutor(1) as thread:
        waiting: list[Future] = []
        for batch in rows.texts(positions):
            waiting.append(thread.submit(encode, batch))
            if len(waiting) > 1:
                result = _packed(*waiting.pop(0).result())
                yield result
                done += len(result[2])
                if time.monotonic() - logged > LOG_AFTER:
                    logged = time.monotonic()
                    log.info("tokenised %d of %d rows, %.0f a second", done, total, done / (logged - began))
        for future in waiting:
            yield _packed(*future.result())


def _packed(finish: Finish, index: list[int], turns: np.ndarray) -> Encoded:
    made = finish()
    arrays = [made[place] for place in index]
    counts = np.array([len(ids) for ids in arrays], np.int64)
    return np.concatenate([np.empty(0, np.int32), *arrays]), counts, turns


def flatten(batch: pa.RecordBatch, missing_text: str) -> tuple[list[str], np.ndarray]:
    """The texts of some rows in the order of `TurnTokens`, and the turns of each row.

    A row has as many turns as its longest text, and at least one. A turn that the first text does not have is empty;
    one that another does not have, and every null, is `missing_text`.
    """
    texts: list[str] = []
    turns = []
    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        count = max(1, *map(len, row))
        turns.append(count)
        for turn in range(count):
            for place, text in enumerate(row):
                found = text[turn] if turn < len(text) else None if place else ""
                texts.append(missing_text if found is None else found)
    return texts, np.array(turns, np.int64)
