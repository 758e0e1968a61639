"""The files of `arena.predict`, read back by csv and pyarrow."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from arena.core.errors import UsageError
from arena.inference import formats

THREE = ["model_a", "model_b", "tie"]
IDS = ["007", "1e5", 'ü,"x"', "-3"]


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def random_probabilities(classes: int) -> np.ndarray:
    drawn = np.random.default_rng(0).uniform(0, 1, (len(IDS), classes)).astype(np.float32).astype(np.float64)
    return drawn / drawn.sum(axis=1, keepdims=True)


def test_kaggle_has_exactly_its_columns_whatever_the_order_of_the_classes(tmp_path):
    probabilities = random_probabilities(3)
    formats.write(tmp_path / "x.csv", "kaggle", IDS, probabilities, ["tie", "model_b", "model_a"])
    header, *lines = read(tmp_path / "x.csv")
    assert header == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert [line[0] for line in lines] == IDS
    found = np.array([list(map(float, line[1:])) for line in lines])
    assert found == pytest.approx(probabilities[:, [2, 1, 0]], abs=1e-15)
    assert abs(found.sum(axis=1) - 1).max() < 1e-12
    assert (found >= 0).all()


def test_kaggle_without_a_class_for_ties_keeps_the_log_loss_finite(tmp_path):
    formats.write(tmp_path / "x.csv", "kaggle", ["1"], np.array([[1.0, 0.0]]), THREE[:2])
    [_, line] = read(tmp_path / "x.csv")
    a, b, tie = map(float, line[1:])
    assert (a, b, tie) == pytest.approx((1 - 1e-6, 0, 1e-6), abs=1e-12)
    assert abs(a + b + tie - 1) < 1e-12


def test_wsdm_names_the_winner(tmp_path):
    probabilities = np.array([[0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.1, 0.1 + 1e-16, 0.8]])
    formats.write(tmp_path / "x.csv", "wsdm", IDS, probabilities, THREE)
    winners = ["model_a", "model_b", "model_a", "model_b"]
    assert read(tmp_path / "x.csv") == [["id", "winner"], *map(list, zip(IDS, winners, strict=True))]


def test_probabilities_in_both_kinds_of_file(tmp_path):
    probabilities = random_probabilities(2)
    for name in ("x.csv", "x.parquet"):
        formats.write(tmp_path / "new" / name, "probabilities", IDS, probabilities, ["model_b", "model_a"])
    table = pq.read_table(tmp_path / "new" / "x.parquet")
    assert table.column_names == read(tmp_path / "new" / "x.csv")[0] == ["id", "winner_model_b", "winner_model_a"]
    assert table["id"].to_pylist() == IDS
    written = np.array([list(map(float, line[1:])) for line in read(tmp_path / "new" / "x.csv")[1:]])
    assert (written == probabilities).all()
    assert (table["winner_model_a"].to_numpy() == probabilities[:, 1]).all()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["x.csv", "x.parquet"]


@pytest.mark.parametrize(
    ("name", "output", "labels", "message"),
    [
        ("kaggle", "x.parquet", THREE, "output=x.parquet: with format=kaggle the name must end in .csv"),
        ("probabilities", "x.txt", THREE, "the name must end in .csv or .parquet"),
        ("wsdm", "x.csv", ["model_a", "tie"], "it needs the classes model_a and model_b, the run has model_a, tie"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, name, output, labels, message):
    from pathlib import Path

    with pytest.raises(UsageError, match=message):
        formats.check(name, Path(output), labels)
