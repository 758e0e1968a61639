"""Hold-out files, folds, stratification and kept groups, through the data module on planted rows."""

import json

import numpy as np
import pyarrow as pa
import pytest
from support import built

from arena.core.errors import DataError, UsageError
from arena.data.module.pairwise import PairData
from arena.data.source.pairs import PairReader
from arena.data.split.prepare import leaks_into_hold_outs
from arena.data.text.tokenizer import ByteTokenizer

LABELS = ["model_a", "model_b", "tie"]


def write(path, numbers, **columns):
    """A jsonl file of one row for each number; the prompt is the number's."""
    with open(path, "w") as file:
        for i in numbers:
            row = {
                "id": f"{path.stem}-{i}", "prompt": [f"What is {i} times {i * 7919 % 1000}, in words?"],
                "response_a": [f"a{i}"], "response_b": [f"b{i}"], "winner": LABELS[i % 3], "source": path.stem,
            }  # fmt: skip
            row |= {name: function(i) for name, function in columns.items()}
            file.write(json.dumps(row) + "\n")
    return str(path)


def make_data(path, **options):
    data = built(PairData, PairReader(), ByteTokenizer(), LABELS, path=path, **options)
    data.setup()
    return data


def ids(data, split):
    return data.table["id"].take(pa.array(data.rows(split))).to_pylist()


def test_hold_out_files_validate_and_test(tmp_path):
    train = write(tmp_path / "train.jsonl", range(100))
    val, test = write(tmp_path / "val.jsonl", range(100, 120)), write(tmp_path / "test.jsonl", range(200, 230))
    data = make_data(train, val_path=val, test_path=test)
    assert [len(data.rows(split)) for split in ("train", "val", "test")] == [100, 20, 30]
    assert ids(data, "val") == [f"val-{i}" for i in range(100, 120)]
    assert data.summary()["rows_read"] == 150
    only = make_data(train, test_path=test, val_share=0.2)
    assert len(only.rows("test")) == 30
    assert abs(len(only.rows("val")) - 20) <= 2  # each of three classes is rounded


def test_rows_that_leak_into_a_hold_out_file(tmp_path):
    train, test = write(tmp_path / "train.jsonl", range(100)), write(tmp_path / "test.jsonl", range(90, 120))
    data = make_data(train, test_path=test, val_share=0.1)
    assert data.summary()["rows_dropped"] == {"leaked": 10}
    assert len(data.rows("train")) + len(data.rows("val")) == 90
    assert len(data.rows("test")) == 30
    kept = make_data(train, test_path=test, on_leak="keep")
    assert kept.table.num_rows == 130
    with pytest.raises(
        DataError, match=r"10 rows have a prompt of a hold-out file .first: id train-90.; data\.on_leak"
    ):
        make_data(train, test_path=test, on_leak="error")
    with pytest.raises(DataError, match="no row is left to train on"):
        make_data(train, test_path=write(tmp_path / "all.jsonl", range(100)))


def test_test_rows_count_more_than_validation_rows():
    groups = np.array(["a", "b", "c", "b", "c", "c"])
    held_out = np.array(["", "", "", "val", "val", "test"])
    assert leaks_into_hold_outs(groups, held_out).tolist() == [False, True, True, False, True, False]


def test_folds_validate_every_row_once_and_never_test(tmp_path):
    path = write(tmp_path / "rows.jsonl", range(200))
    folds = [make_data(path, folds=4, fold=fold, test_share=0.2) for fold in range(4)]
    tests = {tuple(ids(data, "test")) for data in folds}
    assert len(tests) == 1
    validated = [name for data in folds for name in ids(data, "val")]
    assert len(validated) == len(set(validated)) == 200 - len(next(iter(tests)))
    assert abs(len(validated) - 160) <= 2
    assert set(validated) | set(next(iter(tests))) == {f"rows-{i}" for i in range(200)}
    for data in folds:
        assert not set(ids(data, "train")) & set(ids(data, "val"))
    with pytest.raises(UsageError, match=r"data\.fold=4"):
        make_data(path, folds=4, fold=4)


def test_stratified_on_several_columns(tmp_path):
    path = write(tmp_path / "rows.jsonl", range(600), language=lambda i: ["English", "German", "Thai"][i % 5 % 3])
    data = make_data(path, stratify=["winner", "language"])
    table = data.table.to_pylist()
    for split in ("train", "val", "test"):
        rows = [table[i] for i in data.rows(split)]
        for winner in LABELS:
            for language in ("English", "German", "Thai"):
                share = np.mean([row["winner"] == winner and row["language"] == language for row in rows])
                whole = np.mean([row["winner"] == winner and row["language"] == language for row in table])
                assert abs(share - whole) < 0.02
    with pytest.raises(UsageError, match=r"data\.stratify: there is no column languge .*; did you mean 'language'\?"):
        make_data(path, stratify=["languge"])


def test_the_seed_of_the_run_leaves_the_split_alone(tmp_path):
    path = write(tmp_path / "rows.jsonl", range(90))
    one, two, other = (make_data(path, seed=seed, split_seed=split) for seed, split in ((0, 0), (1, 0), (0, 1)))
    assert ids(one, "test") == ids(two, "test") != ids(other, "test")


def test_groups_come_back_from_the_cache(tmp_path):
    path = write(
        tmp_path / "rows.jsonl",
        range(120),
        prompt=lambda i: [f"{i // 4 * 7919 % 1000} {'abcdefgh'[i // 4 % 8] * 30} {i // 32}?"],
    )
    plain, first, second = (
        make_data(path, near_duplicates=0.8, cache=cache) for cache in (None, str(tmp_path / "c"), str(tmp_path / "c"))
    )
    for data in (first, second):
        assert data.table.equals(plain.table)
        assert data.summary() == plain.summary()
    kinds = sorted(p.name.split("-")[0] for p in (tmp_path / "c").iterdir() if not p.name.startswith("."))
    assert kinds == ["groups", "rows", "tokens"]


def test_a_changed_file_is_noticed(tmp_path):
    cache = str(tmp_path / "c")
    path = write(tmp_path / "rows.jsonl", range(60))
    before = make_data(path, cache=cache)
    write(tmp_path / "rows.jsonl", range(60), response_a=lambda i: ["changed"])
    after = make_data(path, cache=cache)
    assert before.summary()["fingerprint"] != after.summary()["fingerprint"]
    assert {tuple(batch["response_a"][0].as_py()) for batch in after.texts()} == {("changed",)}
    assert not np.array_equal(before.sequences.row(0)[0], after.sequences.row(0)[0])


def test_rejects_are_left_in_the_run_s_folder(tmp_path):
    path = write(tmp_path / "rows.jsonl", range(60))
    with open(path, "a") as file:
        file.write("{broken\n")
    rejects = tmp_path / "run" / "rejects.jsonl"
    with pytest.raises(DataError):
        make_data(path)
    for cache in (None, str(tmp_path / "c"), str(tmp_path / "c")):
        rejects.unlink(missing_ok=True)
        data = make_data(path, on_bad_row="quarantine", max_rejected=0.05, rejects=str(rejects), cache=cache)
        assert data.summary()["rows_rejected"] == 1
        assert data.summary()["rows_read"] == 61
        assert len(rejects.read_text().splitlines()) == 1


def test_a_folder_mixes_files(tmp_path):
    (tmp_path / "files").mkdir()
    write(tmp_path / "files" / "one.jsonl", range(50))
    write(tmp_path / "files" / "two.jsonl", range(50, 80))
    data = make_data(str(tmp_path / "files"))
    assert data.table.num_rows == 80
    assert set(data.table["source"].to_pylist()) == {"one", "two"}
    listed = make_data([str(tmp_path / "files" / "two.jsonl"), str(tmp_path / "files" / "one.jsonl")])
    assert sorted(ids(listed, "test")) == sorted(ids(data, "test"))
