"""Which classes label columns have, and what is said of columns that are none."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.core.heads import Heads
from arena.data.source.classes import MAX_CLASSES, classes_of, is_gap, label_of
from arena.data.source.codes import RowError

ROWS = [
    {"id": "a", "text": "one", "stance": "FAVOR", "grade": 10},
    {"id": "b", "text": "two", "stance": "AGAINST", "grade": 2},
    {"id": "c", "text": "three", "stance": None, "grade": 1},
]


def write(path, rows=ROWS):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_every_kind_of_file_has_the_same_classes_and_numbers_are_sorted_as_numbers(tmp_path, name):
    found = classes_of(write(tmp_path / name), ["stance", "grade"])
    assert found == {"stance": ["AGAINST", "FAVOR"], "grade": ["1", "2", "10"]}
    assert list(found) == ["stance", "grade"]


def test_given_classes_keep_their_order_and_need_no_file():
    given = {"stance": ["NONE", "FAVOR"], "grade": [2, 1]}
    assert classes_of(None, None, given) == {"stance": ["NONE", "FAVOR"], "grade": ["2", "1"]}


def test_classes_of_one_head_may_be_given_and_those_of_the_others_read(tmp_path):
    found = classes_of(write(tmp_path / "rows.csv"), ["grade", "stance"], {"stance": ["NONE", "FAVOR", "AGAINST"]})
    assert found == {"grade": ["1", "2", "10"], "stance": ["NONE", "FAVOR", "AGAINST"]}


@pytest.mark.parametrize(
    ("heads", "kind", "message"),
    [
        (["stanze"], DataError, "no column stanze (data.heads); did you mean 'stance'?"),
        (["text"], None, ""),
        (None, UsageError, "data.heads: a value is needed"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(tmp_path, heads, kind, message):
    path = write(tmp_path / "rows.csv")
    if kind is None:
        assert len(classes_of(path, heads)["text"]) == 3
        return
    with pytest.raises(kind) as raised:
        classes_of(path, heads)
    assert message in str(raised.value)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputOutputError, match="no such file"):
        classes_of(str(tmp_path / "none.csv"), ["stance"])


@pytest.mark.parametrize("number", [1, MAX_CLASSES + 1])
def test_a_column_with_one_value_or_very_many_is_no_head(tmp_path, number):
    path = write(tmp_path / "rows.csv", [{"text": f"t{i}", "stance": f"class {i}"} for i in range(number)])
    with pytest.raises(DataError, match="needs 2 to 200 classes"):
        classes_of(path, ["stance"])


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        *((None, None), ("", None), ("  ", None), (float("nan"), None), (" x ", "x"), (3, "3"), (3.0, "3")),
        *(("3.0", "3"), ("3", "3"), ("-1.00", "-1"), ("-0", "0"), (-0.0, "0"), ("1e3", "1000"), (1e3, "1000")),
        *((1.5, "1.5"), ("1.50", "1.5"), (float(np.float32(1.1)), "1.1"), ("1.1", "1.1")),
        *((True, "true"), ("True", "true"), ("FALSE", "false"), ("007", "007"), ("1.0.0", "1.0.0"), ("NaN", "NaN")),
    ],
)
def test_cells_become_labels(cell, label):
    assert label_of("head", cell) == label


def test_a_missing_number_is_no_class():
    """Text is text; but beside numbers "NaN" can only be a gap."""
    assert is_gap("NaN", {"NaN", "1", "-2.5", "null"})
    assert not is_gap("None", {"None", "1", "FAVOR"})
    assert not is_gap("none", {"none", "true", "false"})
    assert not is_gap("NA", {"NA"})
    assert not is_gap("1", {"NaN", "1"})


@pytest.mark.parametrize("cell", [float("inf"), ["a"], {"a": 1}])
def test_other_cells_are_no_labels(cell):
    with pytest.raises(RowError, match="is no class"):
        label_of("head", cell)


def test_heads_lay_classes_side_by_side():
    heads = Heads({"stance": ["A", "B", "C"], "tone": ["x", "y"]})
    assert (len(heads), heads.width, heads.sizes) == (2, 5, [3, 2])
    assert heads.columns == ["stance_A", "stance_B", "stance_C", "tone_x", "tone_y"]
    assert heads.slices == {"stance": slice(0, 3), "tone": slice(3, 5)}
    assert heads.probability_columns("tone") == ["probability_tone_x", "probability_tone_y"]
    assert heads.target_column("tone") == "target_tone"
    single = Heads(["model_a", "tie"])
    assert (single.columns, single.target_column(""), single.named) == (["model_a", "tie"], "target", False)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "at least one head"),
        ({"a": ["x"]}, "two or more different classes"),
        ({"a": ["x", "x"]}, "two or more different classes"),
        ({"mean": ["x", "y"]}, "cannot be the name of a head"),
        ({"a/b": ["x", "y"]}, "cannot be the name of a head"),
        ({"a": ["b_c", "d"], "a_b": ["c", "d"]}, "two classes would have one column"),
    ],
)
def test_heads_that_cannot_be_told_apart_are_refused(labels, message):
    with pytest.raises(UsageError, match=message):
        Heads(labels)
