"""The answers of a row swapped: for models by the loader, for baselines by the rows."""

import numpy as np
import pyarrow as pa
import pytest
from support import built

from arena.data.module.pairwise import PairData
from arena.data.source.rows import Rows
from arena.data.text.tokenizer import ByteTokenizer
from arena.inference.swapped import SwappedRows

TABLE = pa.table(
    {
        "id": [str(i) for i in range(7)],
        "prompt": [["p" * (1 + i % 3)] for i in range(7)],
        "response_a": [["a" * (2 + 5 * (i % 4)), "x"] for i in range(7)],
        "response_b": [["b" * (3 + i)] for i in range(7)],
        "model_a": [f"m{i}" for i in range(7)],
        "model_b": [f"n{i}" for i in range(7)],
        "winner": ["model_a"] * 7,
    }
)
RENAMED = {"response_a": "response_b", "response_b": "response_a", "model_a": "model_b", "model_b": "model_a"}
OTHER = TABLE.rename_columns([RENAMED.get(name, name) for name in TABLE.column_names])
"""The same rows, written down the other way round."""


def data(labels: list[str]) -> PairData:
    return built(PairData, lambda *_: Rows.from_table(TABLE, "test"), ByteTokenizer(), labels, eval_batch_size=3)


@pytest.mark.parametrize("labels", [["model_a", "model_b", "tie"], ["model_b", "model_a"]])
def test_the_swapped_loader_serves_the_rows_of_the_other_file(labels):
    straight, _ = data(labels).predict_loader(Rows.from_table(OTHER, "other"))
    swapped, _ = data(labels).predict_loader(Rows.from_table(TABLE, "test"), swapped=True)
    plain, _ = data(labels).predict_loader(Rows.from_table(TABLE, "test"))
    batches = list(zip(straight, swapped, plain, strict=True))
    assert len(batches) == 3
    for one, other, own in batches:
        assert one.row.tolist() == other.row.tolist()
        assert one.input_ids.equal(other.input_ids)
        assert one.attention_mask.equal(other.attention_mask)
        assert not own.input_ids.equal(other.input_ids)
        assert other.supervised == 0


def test_swapped_rows_are_those_of_the_other_file():
    swapped, wanted = SwappedRows(Rows.from_table(TABLE, "test")), Rows.from_table(OTHER, "other")
    for positions in (None, np.array([1, 4, 6])):
        texts = [pa.Table.from_batches(list(rows.texts(positions))) for rows in (swapped, wanted)]
        assert texts[0].to_pylist() == texts[1].to_pylist()
    known = [name for name in wanted.metadata.column_names if name != "winner"]
    assert swapped.metadata.select(known).to_pylist() == wanted.metadata.select(known).to_pylist()
    assert swapped.metadata["winner"].null_count == 7
    assert swapped.fingerprint != Rows.from_table(TABLE, "test").fingerprint
