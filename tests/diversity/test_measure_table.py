"""The table of all measures: every cell against its own function, and what cannot be computed is NaN with a reason."""

import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.core.run import plain
from arena.diversity import table, vectors
from arena.diversity.encoder import HashEncoder, SentenceEncoder
from arena.diversity.ngrams import compression_ratio, count
from arena.diversity.ngrams import self_bleu as of_grams
from arena.diversity.table import UNDEFINED, measure
from arena.diversity.words import words

SETS = {
    "cats": ["the cat sat on the mat", "the cat sat on the rug", "a dog ran in the park"],
    "copies": ["so true", "So  true", "so true !", ""],
    "one": ["a single text of some words"],
    "empty": ["", "  "],
    "none": [],
}
TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), max_size=5)


def self_bleu(texts):
    """BLEU-2 of each text against the others."""
    return of_grams(count([words(text) for text in texts], 2))


@pytest.fixture(scope="module")
def measured():
    return measure(SETS, HashEncoder())


def row(measures, name: str) -> dict[str, float]:
    """All measures of one prompt."""
    return {column: float(values[measures.ids.index(name)]) for column, values in measures.columns.items()}


def test_every_cell(measured):
    texts, found = SETS["cats"], row(measured, "cats")
    embeddings = HashEncoder().encode(texts)
    expected = {
        **{"distinct_1": 11 / 18, "distinct_2": 11 / 15, "distinct_3": 9 / 12},
        # 15 pairs, of which "on the", "the cat", "cat sat" and "sat on" stand twice: 11 different ones.
        "expectation_adjusted_distinct_2": 11 / (30_522 * (1 - (30_521 / 30_522) ** 15)),
        "self_bleu_2": self_bleu(texts).mean(),
        "self_bleu_4": 0.5201654001,
        "compression_ratio": compression_ratio(texts),
        "vendi": float(vectors.vendi(vectors.kernel(vectors.unit(embeddings)))),
        "cosine_distance": float(vectors.cosine_distances(vectors.unit(embeddings)[None])[0]),
        "duplicate_share": 0,
        "empty_share": 0,
        "mean_words": 6,
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert list(measured.columns) == list(UNDEFINED)


def test_copies_and_empty_samples(measured):
    """Three of four samples have words; the second repeats the first, the third does not quite."""
    found = row(measured, "copies")
    assert found["duplicate_share"] == pytest.approx(1 / 3)
    assert found["empty_share"] == 0.25
    assert found["mean_words"] == pytest.approx((2 + 2 + 2 + 0) / 4)
    assert found["self_bleu_2"] == pytest.approx(self_bleu(SETS["copies"][:3]).mean())


def test_what_cannot_be_computed_is_missing(measured):
    missing = {name: {key for key, value in row(measured, name).items() if math.isnan(value)} for name in SETS}
    assert not missing["cats"]
    assert not missing["copies"]
    pairs = {"self_bleu_2", "self_bleu_4", "vendi", "cosine_distance", "duplicate_share"}
    assert missing["one"] == pairs
    assert missing["empty"] == set(UNDEFINED) - {"empty_share", "mean_words"}
    assert missing["none"] == set(UNDEFINED)
    assert row(measured, "empty")["empty_share"] == 1
    assert measured.reasons["self_bleu_4"] == "3 of 5 prompts: fewer than two texts with words"
    assert measured.reasons["empty_share"] == "1 of 5 prompts: no text"
    assert set(measure({"a": SETS["cats"]}, HashEncoder()).reasons) == set()


def test_without_an_encoder_and_with_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for encoder, why in ((None, "no encoder was given"), (SentenceEncoder("no/body", package=None), "not on this")):
        found = measure({"a": SETS["cats"], "b": SETS["cats"]}, encoder)
        assert set(found.reasons) == {"vendi", "cosine_distance"}
        for name in found.reasons:
            assert np.isnan(found.columns[name]).all()
            assert why in found.reasons[name]
        assert np.isfinite(found.columns["self_bleu_4"]).all()


def test_chunks_of_prompts_change_nothing(monkeypatch):
    whole = measure(SETS, HashEncoder())
    monkeypatch.setattr(table, "CHUNK", 2)
    parts = measure(SETS, HashEncoder())
    assert parts.reasons == whole.reasons
    for name, values in whole.columns.items():
        np.testing.assert_allclose(parts.columns[name], values, atol=1e-12)
    assert all(len(values) == 0 for values in measure({}).columns.values())


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(texts, draw):
    first = measure({"a": texts}, HashEncoder())
    second = measure({"a": draw.sample(texts, len(texts))}, HashEncoder())
    for name, values in first.columns.items():
        np.testing.assert_allclose(second.columns[name], values, atol=1e-9, err_msg=name)


def test_compression_is_one_pass():
    """gzip frames the same stream with 18 bytes instead of zlib's 6."""
    texts = ["the quick brown fox jumps over the lazy dog"] * 20
    joined = "\n".join(texts).encode()
    assert compression_ratio(texts) == pytest.approx(len(joined) / (len(gzip.compress(joined, 9)) - 12))
    assert compression_ratio(texts) > 10 > 1.2 > compression_ratio(texts[:1])
    assert compression_ratio(["b", "a", "c"]) == compression_ratio(["c", "a", "b"])
    assert math.isnan(compression_ratio([]))
    assert math.isnan(compression_ratio(["", " "]))
    assert compression_ratio(["half a pair: \ud800"]) > 0


def test_numbers_reach_json_and_parquet(tmp_path, measured):
    values = {
        "bool": np.bool_(True),
        "float32": np.float32(0.5),
        "int64": np.int64(3),
        "nan": np.float64("nan"),
        "infinite": np.float32("inf"),
        "array": np.array([1.5, np.nan]),
        "bools": [np.bool_(False), np.bool_(True)],
    }
    text = json.dumps(plain(values), allow_nan=False)
    assert json.loads(text) == {
        "bool": True, "float32": 0.5, "int64": 3, "nan": None, "infinite": None, "array": [1.5, None],
        "bools": [False, True],
    }  # fmt: skip
    path = tmp_path / "measures.parquet"
    cells = {name: [value, value] for name, value in values.items() if name not in ("array", "bools")}
    pq.write_table(pa.table({"id": ["a", "b"], **cells}), path)
    back = pq.read_table(path)
    assert back.column("bool").to_pylist() == [True, True]
    assert back.column("float32").type == pa.float32()
    assert back.column("int64").to_pylist() == [3, 3]
    assert np.isnan(back.column("nan").to_numpy()).all()
    pq.write_table(pa.table({"id": measured.ids, **measured.columns}), path)
    back = pq.read_table(path)
    np.testing.assert_array_equal(back.column("vendi").to_numpy(), measured.columns["vendi"])
    assert json.loads(json.dumps(plain(measured.columns), allow_nan=False))["vendi"][3] is None
    assert json.loads(json.dumps(measured.settings, allow_nan=False)) == measured.settings
