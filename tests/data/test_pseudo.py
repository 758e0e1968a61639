"""Pseudo-labelled rows: who joins, who leaks, what they are told, and that the labelled rows stay where they are."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import built, compose

from arena.config.compose import resolved
from arena.config.options import read
from arena.core.errors import DataError, UsageError
from arena.data.module.pairwise import PairData
from arena.data.source.pairs import PairReader
from arena.data.text.tokenizer import ByteTokenizer
from arena.inference.options import PredictOptions
from arena.task.pairwise import Pairwise

LABELS = ["model_a", "model_b", "tie"]
SURE = {0: [0.9, 0.06, 0.04], 1: [0.05, 0.85, 0.1], 2: [0.5, 0.3, 0.2], 3: [0.1, 0.1, 0.8]}
"""Predictions of the pseudo-labelled rows in turn: of four one is unsure, and one exactly at the default's limit."""


def prompt(i):
    return f"What is {i} times {i * 7919 % 1000}, in words?"


def write(path, numbers, winner=lambda i: LABELS[i % 3], name="l", text=prompt, **columns):
    with open(path, "w") as file:
        for i in numbers:
            row = {
                "id": f"{name}{i}",
                "prompt": [text(i)],
                "response_a": [f"a{name}{i}"],
                "response_b": [f"b{name}{i}"],
            }
            row |= {"winner": winner(i), "source": "x"} | {key: function(i) for key, function in columns.items()}
            file.write(json.dumps(row) + "\n")
    return str(path)


def predictions(path, numbers, name="u", prefix="winner_", labels=LABELS, said=lambda i: SURE[i % 4]):
    numbers = list(numbers)
    columns = {prefix + label: [said(i)[LABELS.index(label)] for i in numbers] for label in labels}
    pq.write_table(pa.table({"id": [f"{name}{i}" for i in numbers]} | columns), path)
    return str(path)


def make_data(path, labels=LABELS, **options):
    data = built(PairData, PairReader(), ByteTokenizer(), labels, path=path, **{"batch_size": 8, **options})
    data.setup("fit")
    return data


def ids(data, split):
    return data.table["id"].take(pa.array(data.rows(split))).to_pylist()


@pytest.fixture
def labelled(tmp_path):
    return write(tmp_path / "labelled.jsonl", range(120))


@pytest.fixture
def pseudo(tmp_path):
    """Forty rows with prompts of their own, without winners; ten of them unsure."""
    rows = write(tmp_path / "u.jsonl", range(500, 540), winner=lambda i: None, name="u", weight=lambda i: 3.0)
    return {"pseudo_path": rows, "pseudo_labels": predictions(tmp_path / "u.parquet", range(500, 540))}


def told(data, name):
    """What training is served of each row, by id."""
    names = data.table["id"].to_pylist()
    batches = list(data.train_dataloader())
    return {
        names[row]: value.tolist() for b in batches for row, value in zip(b.row.tolist(), getattr(b, name), strict=True)
    }


def test_sure_rows_join_the_training_rows(labelled, pseudo):
    plain, data = make_data(labelled), make_data(labelled, **pseudo)
    for split in ("val", "test"):
        assert ids(data, split) == ids(plain, split)
    joined = [f"u{i}" for i in range(500, 540) if i % 4 != 2]
    assert ids(data, "train") == ids(plain, "train") + joined
    assert data.groups("val").tolist() == plain.groups("val").tolist()
    summary = data.summary()  # which adds up the rows itself
    assert summary["rows_read"] == 160
    assert summary["rows_dropped"] == {"unsure": 10}
    assert summary["rows_kept"] == 150
    assert summary["fingerprint"] != plain.summary()["fingerprint"]
    assert data.class_counts("train").tolist() == (plain.class_counts("train") + 10).tolist()
    target, weight = told(data, "target"), told(data, "weight")
    assert [target[name] for name in joined] == [{0: 0, 1: 1, 3: 2}[int(name[1:]) % 4] for name in joined]
    assert {weight[name] for name in joined} == {3.0}
    assert {weight[name] for name in ids(plain, "train")} == {1.0}


def test_confidence_and_weight(labelled, pseudo):
    data = make_data(labelled, **pseudo, pseudo_confidence=0.86, pseudo_weight=0.5)
    assert data.summary()["rows_dropped"] == {"unsure": 30}
    assert {told(data, "weight")[f"u{i}"] for i in range(500, 540, 4)} == {1.5}
    everyone = make_data(labelled, **pseudo, pseudo_confidence=0)
    assert "unsure" not in everyone.summary()["rows_dropped"]
    assert told(everyone, "target")["u502"] == 0
    nobody = make_data(labelled, **pseudo, pseudo_confidence=1)
    assert nobody.summary()["rows_dropped"] == {"unsure": 40}
    assert ids(nobody, "train") == ids(make_data(labelled), "train")


def test_soft_targets_are_for_the_pseudo_labelled_rows_only(labelled, pseudo):
    data = make_data(labelled, **pseudo, pseudo_soft=True)
    target = told(data, "target")
    for name, said in target.items():
        number = int(name[1:])
        expected = SURE[number % 4] if name[0] == "u" else np.eye(3)[number % 3].tolist()
        assert said == pytest.approx(expected)
    assert not next(iter(data.val_dataloader())).target.is_floating_point()
    assert next(iter(data.val_dataloader())).teacher is None


def test_two_classes_and_probability_columns(tmp_path, pseudo):
    path = write(tmp_path / "two.jsonl", range(120), winner=lambda i: LABELS[i % 2])
    said = lambda i: [0.9, 0.1] if i % 2 else [0.15, 0.85]  # noqa: E731
    file = predictions(tmp_path / "p.parquet", range(500, 540), prefix="probability_", labels=LABELS[:2], said=said)
    options = {"pseudo_path": pseudo["pseudo_path"], "pseudo_labels": file, "pseudo_soft": True}
    target = told(make_data(path, ["model_b", "model_a"], **options), "target")
    assert target["u501"] == pytest.approx([0.1, 0.9])
    assert target["u500"] == pytest.approx([0.85, 0.15])


@pytest.mark.parametrize("on_leak", ["drop", "keep"])
@pytest.mark.parametrize("near_duplicates", [None, 0.8])
def test_rows_of_validation_and_test_prompts_never_join(tmp_path, labelled, on_leak, near_duplicates):
    """Prompts 0 to 119 are the labelled rows'; what is near to a held-out one is left out too."""
    plain = make_data(labelled, near_duplicates=near_duplicates)
    held = {int(name[1:]) for split in ("val", "test") for name in ids(plain, split)}
    rows = write(tmp_path / "u.jsonl", range(140), winner=lambda i: None, name="u", text=lambda i: prompt(i).upper())
    file = predictions(tmp_path / "u.parquet", range(140), said=lambda i: [1, 0, 0])
    options = {"pseudo_path": rows, "pseudo_labels": file, "near_duplicates": near_duplicates}
    data = make_data(labelled, **options, on_leak=on_leak)
    for split in ("val", "test"):
        assert ids(data, split) == ids(plain, split)
    joined = {int(name[1:]) for name in ids(data, "train") if name[0] == "u"}
    assert not joined & held
    assert set(data.groups("train")).isdisjoint({*data.groups("val"), *data.groups("test")})
    assert data.summary()["rows_dropped"] == {"leaked": 140 - len(joined)}
    if near_duplicates is None:
        assert joined == set(range(140)) - held


def test_rows_of_hold_out_files_never_join(tmp_path, labelled, pseudo):
    test = write(tmp_path / "test.jsonl", range(500, 520), name="t")
    for on_leak in ("drop", "keep", "error"):
        data = make_data(labelled, test_path=test, on_leak=on_leak, **pseudo)
        assert data.summary()["rows_dropped"] == {"unsure": 10, "leaked": 15}
        assert [name for name in ids(data, "train") if name[0] == "u"] == [
            f"u{i}" for i in range(520, 540) if i % 4 != 2
        ]


def test_the_limit_is_for_the_labelled_rows(labelled, pseudo):
    data = make_data(labelled, limit=60, **pseudo)
    assert data.summary()["rows_dropped"] == {"limit": 60, "unsure": 10}
    assert data.table.num_rows == 90


def test_the_winner_of_its_own_file_is_ignored(tmp_path, labelled):
    rows = write(tmp_path / "u.jsonl", range(500, 508), winner=lambda i: "tie", name="u")
    file = predictions(tmp_path / "u.parquet", range(500, 508), said=lambda i: [0, 1, 0])
    data = make_data(labelled, LABELS, pseudo_path=rows, pseudo_labels=file)
    assert {told(data, "target")[f"u{i}"] for i in range(500, 508)} == {1}


def test_an_id_that_is_taken_becomes_another(tmp_path, labelled):
    rows = write(tmp_path / "u.jsonl", range(100, 108), name="l", text=lambda i: f"Something else, number {i}")
    file = predictions(tmp_path / "u.parquet", range(100, 108), name="l", said=lambda i: [1, 0, 0])
    data = make_data(labelled, pseudo_path=rows, pseudo_labels=file)
    names = data.table["id"].to_pylist()
    assert len(set(names)) == len(names) == 128
    assert names[-8:] == [f"pseudo:l{i}" for i in range(100, 108)]


def test_the_teacher_is_not_asked_for_pseudo_labelled_rows(tmp_path, labelled, pseudo):
    teacher = predictions(tmp_path / "t.parquet", range(120), name="l")
    said = told(make_data(labelled, teacher=teacher, **pseudo), "teacher")
    for name, shares in said.items():
        if name[0] == "u":
            assert np.isnan(shares).all()
        else:
            assert shares == pytest.approx(SURE[int(name[1:]) % 4])


def test_what_is_missing_is_said(tmp_path, labelled, pseudo):
    with pytest.raises(UsageError, match=r"data\.pseudo_path=.* needs data\.pseudo_labels=FILE, the predictions"):
        make_data(labelled, pseudo_path=pseudo["pseudo_path"])
    with pytest.raises(UsageError, match=r"data\.pseudo_labels=.* needs data\.pseudo_path=FILE, the rows"):
        make_data(labelled, pseudo_labels=pseudo["pseudo_labels"])
    fewer = predictions(tmp_path / "fewer.parquet", range(502, 540))
    with pytest.raises(
        DataError, match=r"2 of 40 rows of data\.pseudo_path have no prediction there \(first: id u500\)"
    ):
        make_data(labelled, pseudo_path=pseudo["pseudo_path"], pseudo_labels=fewer)


@pytest.mark.slow
def test_a_run_trains_on_what_an_earlier_run_predicts(train_run, tmp_path):
    """train, predict, train again: the second run has the first one's validation and test rows, and is rebuilt."""
    from arena import predict
    from arena.config import restore

    labelled = write(tmp_path / "l.jsonl", range(120))
    rows = write(tmp_path / "u.jsonl", range(500, 540), winner=lambda i: None, name="u")
    common = ["data=pairs", f"data.path={labelled}", "trainer.max_steps=4", "data.cache=null"]
    first = train_run("first", *common)
    given = [f"run={first.path}", f"data.path={rows}", f"output={tmp_path / 'said.csv'}"]
    file = predict.predict(read(PredictOptions, given))
    pseudo = [
        f"data.pseudo_path={rows}",
        f"data.pseudo_labels={file}",
        "data.pseudo_confidence=0",
        "data.pseudo_soft=true",
    ]
    second = train_run("second", *common, *pseudo)
    before, after = first.read_result()["data"], second.read_result()["data"]
    assert after["splits"] == before["splits"] | {"train": before["splits"]["train"] + 40}
    for split in ("val", "test"):
        one, two = (pq.read_table(run.predictions(split))["id"] for run in (first, second))
        assert one.equals(two)
    task = restore.rebuild(second, restore.settings_of(second))
    from arena.config import build

    settings = restore.settings_of(second)
    restore.verify(second, settings, task, build.evaluation_trainer(settings, second), build.data(settings))


def test_what_is_missing_is_found_before_the_rows_are_read(tmp_path, labelled):
    settings = resolved(compose("data=pairs", f"data.path={labelled}", "run_dir=out"))["data"]
    settings["pseudo"]["path"] = write(tmp_path / "u.jsonl", range(4))
    with pytest.raises(UsageError, match=r"needs data\.pseudo_labels=FILE"):
        Pairwise().check_data(settings, PairReader())
    settings["pseudo"]["predictions"] = predictions(tmp_path / "p.parquet", range(4), labels=LABELS[:2])
    with pytest.raises(DataError, match=r"data\.pseudo_labels=.*it has 2 classes .* but data\.labels has 3"):
        Pairwise().check_data(settings, PairReader())
    settings["pseudo"]["predictions"] = predictions(tmp_path / "q.parquet", range(4))
    Pairwise().check_data(settings, PairReader())
    settings["pseudo"]["path"] = settings["pseudo"]["predictions"]
    with pytest.raises(DataError, match="missing column"):
        Pairwise().check_data(settings, PairReader())
