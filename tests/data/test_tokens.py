"""Token ids of every turn: in the right order, the same from memory and from disk, new when anything changes."""

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from arena.core.cache import cached, default_root, file_fingerprint, key_of
from arena.core.errors import InputOutputError
from arena.data.source.examples import PAIR
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.text.tokenizer import ByteTokenizer
from arena.data.text.tokens import flatten, tokenize

ROWS = [
    {"prompt": ["p", None], "response_a": ["a", "c"], "response_b": [None, "d"]},
    {"prompt": ["q"], "response_a": [], "response_b": [""]},
    {"prompt": [], "response_a": ["e"], "response_b": ["f"]},
]


def make_rows(rows=ROWS, fingerprint="x"):
    return Rows.from_table(pa.Table.from_pylist(rows, PAIR.text_schema), fingerprint)


def texts_of(tokens):
    return [bytes(tokens.ids[a:b].tolist()).decode() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]


def test_turns_lie_end_to_end():
    tokens = tokenize(make_rows(), ByteTokenizer(), missing_text="?")
    assert texts_of(tokens) == ["p", "a", "?", "?", "c", "d", "q", "?", "", "", "e", "f"]
    assert tokens.first.tolist() == [0, 6, 9, 12]
    assert tokens.turns.tolist() == [2, 1, 1]
    assert tokens.field_counts().tolist() == [[2, 2, 2], [1, 1, 0], [0, 1, 1]]


def test_flatten_counts_turns():
    [batch] = pa.Table.from_pylist(ROWS, PAIR.text_schema).to_batches()
    texts, turns = flatten(batch, "?")
    assert turns.tolist() == [2, 1, 1]
    assert len(texts) == 3 * turns.sum()


def test_chosen_rows_only():
    tokens = tokenize(make_rows(), ByteTokenizer(), np.array([0, 2]), "?")
    assert texts_of(tokens) == ["p", "a", "?", "?", "c", "d", "", "e", "f"]


def test_disk_and_memory_hold_the_same(tmp_path):
    rows = Rows.from_table(ToyReader(rows=2500).table(), "toy")
    chosen = np.arange(0, 2500, 2)
    for positions in (None, chosen):
        plain = tokenize(rows, ByteTokenizer(), positions)
        stored = tokenize(rows, ByteTokenizer(), positions, root=tmp_path)
        assert isinstance(stored.ids, np.memmap)
        for name in ("ids", "offsets", "first"):
            assert np.array_equal(getattr(plain, name), getattr(stored, name))


def test_empty_texts_on_disk(tmp_path):
    empty = make_rows([dict.fromkeys(PAIR.texts, [""])])
    assert len(tokenize(empty, ByteTokenizer(), root=tmp_path).ids) == 0
    assert len(tokenize(make_rows([], "none"), ByteTokenizer(), root=tmp_path)) == 0


class Counting(ByteTokenizer):
    """Counts the calls."""

    calls = 0

    def encode_first(self, texts):
        Counting.calls += 1
        return super().encode_first(texts)


def test_what_is_known_is_not_made_again(tmp_path):
    Counting.calls = 0
    tokenizer = Counting()
    tokenize(make_rows(), tokenizer, root=tmp_path)
    tokenize(make_rows(), tokenizer, root=tmp_path)
    assert Counting.calls == 1
    tokenize(make_rows(fingerprint="changed"), tokenizer, root=tmp_path)
    tokenize(make_rows(), tokenizer, np.array([1]), root=tmp_path)
    tokenize(make_rows(), tokenizer, missing_text="nothing", root=tmp_path)
    tokenizer.fingerprint = "other vocabulary"
    tokenize(make_rows(), tokenizer, root=tmp_path)
    assert Counting.calls == 5


# --- the cache itself -----------------------------------------------------------------------------------------------


def write_slowly(folder: Path) -> None:
    with open(folder.parent / "builds", "a") as file:
        file.write("x")
    time.sleep(0.3)
    (folder / "result").write_text("whole")


def build_in_a_process(root: Path) -> None:
    folder, _ = cached(root, "thing", "key", write_slowly)
    assert (folder / "result").read_text() == "whole"


def test_two_processes_do_the_work_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=build_in_a_process, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert (tmp_path / "builds").read_text() == "x"


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("h")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        cached(tmp_path, "thing", "key", fail)
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
    assert cached(tmp_path, "thing", "key", write_slowly)[1] is False
    assert cached(tmp_path, "thing", "key", write_slowly)[1] is True


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputOutputError, match=r"the cache cannot be written .*; set data\.cache=FOLDER or .*null"):
        cached(tmp_path / "file" / "cache", "thing", "key", write_slowly)


def test_keys_and_places(tmp_path, monkeypatch):
    assert key_of("a", 1) == key_of("a", 1) != key_of("a1") != key_of("a", "1")
    assert len(key_of()) == 32
    (tmp_path / "f").write_bytes(b"1")
    before = file_fingerprint(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"2")
    assert file_fingerprint(tmp_path / "f") != before
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
    monkeypatch.delenv("ARENA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "arena"
