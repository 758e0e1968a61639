"""The data module: which rows are kept, how they are described, and what its loaders serve."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import built

from arena.core.errors import DataError, UsageError
from arena.core.types import UNLABELLED
from arena.data.module.pairwise import PairData
from arena.data.source.examples import PAIR
from arena.data.source.pairs import PairReader
from arena.data.source.rows import Rows
from arena.data.source.toy import ToyReader
from arena.data.text.tokenizer import ByteTokenizer

THREE = ["model_a", "model_b", "tie"]
SPLITS = ("train", "val", "test")


def make_data(rows=240, labels=THREE, **options):
    return built(PairData, ToyReader(rows=rows), ByteTokenizer(), labels, **{"batch_size": 16, "window": 4, **options})


def ready(*arguments, **options):
    data = make_data(*arguments, **options)
    data.setup()
    return data


def table_of(winners, prompts=None):
    rows = [
        {
            "id": f"r{i}",
            "prompt": [f"p{i}" if prompts is None else prompts[i]],
            "response_a": ["a"],
            "response_b": ["b"],
        }
        for i in range(len(winners))
    ]
    voted = [row | {"winner": winner, "source": "x"} for row, winner in zip(rows, winners, strict=True)]
    return pa.Table.from_pylist(voted, pa.schema([*PAIR.metadata_schema, *PAIR.text_schema]))


def reads(table):
    """A reader of this table, whatever it is asked for."""
    return lambda *arguments: Rows.from_table(table, "test")


def test_setup_reads_once():
    calls = []

    def reader(path, *others):
        calls.append(path)
        return ToyReader(rows=60)(path)

    data = built(PairData, reader, ByteTokenizer(), THREE, path=None)
    data.setup("fit")
    data.setup("test")
    data.setup()
    assert calls == [None]


def test_rows_are_accounted_for():
    """60 read, 40 within the limit; every fourth of them has no winner and every fifth of the rest is a tie."""
    winners = [None if i % 4 == 0 else "tie" if i % 5 == 0 else ("model_a", "model_b")[i % 2] for i in range(60)]
    table = table_of(winners)
    data = built(
        PairData, reads(table), ByteTokenizer(), ["model_a", "model_b"], limit=40, on_tie="drop", test_share=0.2
    )
    data.setup()
    summary = data.summary()
    ties = sum(winner == "tie" for winner in winners[:40])
    assert summary["rows_read"] == 60
    assert summary["rows_dropped"] == {"limit": 20, "unlabelled": 10, "tie": ties}
    assert summary["rows_kept"] == 30 - ties == data.table.num_rows == sum(summary["splits"].values())
    assert set(data.table["winner"].to_pylist()) == {"model_a", "model_b"}


def test_ties_need_a_class_or_a_decision():
    data = make_data(labels=["model_a", "model_b"])
    with pytest.raises(DataError, match=r"rows have the winner tie, .* add it or leave them out \(data\.on_tie=drop\)"):
        data.setup()


def test_nothing_to_learn_from():
    data = built(PairData, reads(table_of([None, None])), ByteTokenizer(), THREE)
    with pytest.raises(DataError, match="no row has a winner among model_a, model_b, tie"):
        data.setup()


@pytest.mark.parametrize("labels", [["model_a"], ["model_a", "model_a"], ["A", "B"], THREE + ["tie"]])
def test_wrong_labels(labels):
    with pytest.raises(UsageError, match=r"data\.labels=.*two or three of model_a, model_b, tie"):
        make_data(labels=labels)


def test_a_class_without_rows_is_said(caplog):
    table = table_of(["model_a", "model_b"] * 30)
    with caplog.at_level("WARNING", logger="arena"):
        built(PairData, reads(table), ByteTokenizer(), THREE).setup()
    assert "no training row has the class tie" in caplog.text


def test_splits_share_no_group():
    data = ready()
    assert sum(len(data.rows(split)) for split in SPLITS) == 240
    sides = [set(data.groups(split)) for split in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides))
    for split in SPLITS:
        rows = data.table.take(pa.array(data.rows(split)))
        assert set(rows["split"].to_pylist()) == {split}
        assert rows["group"].to_pylist() == data.groups(split).tolist()
        assert rows["winner"].to_pylist() == [THREE[index] for index in data.targets(split)]
        assert data.class_counts(split).tolist() == [rows["winner"].to_pylist().count(label) for label in THREE]


def test_questions_before_setup():
    with pytest.raises(UsageError, match="once the data are set up"):
        make_data().rows("train")
    with pytest.raises(UsageError, match="the data must be set up before"):
        _ = make_data().table


def test_summary_is_json_and_true():
    data = ready(max_length=150)
    summary = json.loads(json.dumps(data.summary()))
    assert summary["rows_kept"] == 240
    assert summary["groups"]["train"] == len(set(data.groups("train")))
    assert summary["class_shares"]["val"]["tie"] == pytest.approx((data.targets("val") == 2).mean())
    assert sum(summary["class_shares"]["test"].values()) == pytest.approx(1)
    tokens = np.concatenate([data.covariates(split)["tokens"].to_numpy() for split in SPLITS])
    assert sum(summary["tokens"].values()) == tokens.sum()
    assert 0 < summary["truncated_share"] < 1
    assert tokens.max() <= 150


def test_the_fingerprint_is_of_the_content(tmp_path):
    toy = [ready(rows=60, split_seed=seed).summary()["fingerprint"] for seed in (0, 1)]
    assert toy[0] == toy[1]
    assert ready(rows=61).summary()["fingerprint"] != toy[0]

    found = []
    for name in ("one.parquet", "other.parquet"):
        pq.write_table(table_of(["model_a", "model_b", "tie"] * 20), tmp_path / name)
        data = built(PairData, PairReader(), ByteTokenizer(), THREE, path=str(tmp_path / name))
        data.setup()
        found.append(data.summary()["fingerprint"])
    assert found[0] == found[1]
    assert len(found[0]) == 32


def test_covariates_describe_the_rows():
    data = ready()
    texts = pa.Table.from_batches(data.texts()).to_pylist()
    covariates = data.covariates("val")
    assert covariates["row"].to_pylist() == data.rows("val").tolist()
    for found in covariates.to_pylist()[:10]:
        row = data.table.slice(found["row"], 1).to_pylist()[0] | texts[found["row"]]
        assert found["id"] == row["id"]
        assert found["group"] == row["group"]
        assert found["language"] == row["language"]
        assert found["prompt_characters"] == sum(map(len, row["prompt"]))
        assert found["response_b_characters"] == sum(map(len, row["response_b"]))
        assert found["turns"] == len(row["prompt"])


def test_missing_turns_have_no_characters():
    table = table_of(["model_a", "model_b"] * 10).to_pylist()
    table[0] |= {"prompt": ["ä", "b"], "response_a": [None, "cd"], "response_b": []}
    made = pa.Table.from_pylist(table, pa.schema([*PAIR.metadata_schema, *PAIR.text_schema]))
    data = built(PairData, reads(made), ByteTokenizer(), THREE[:2], val_share=0, test_share=0)
    data.setup()
    first = data.covariates("train").to_pylist()[0]
    sizes = [first[f"{name}_characters"] for name in ("prompt", "response_a", "response_b")]
    assert sizes == [2, 2, 0]
    assert first["turns"] == 2


def test_write_splits(tmp_path):
    data = ready()
    data.write_splits(tmp_path / "deep" / "splits.parquet")
    written = pq.read_table(tmp_path / "deep" / "splits.parquet")
    assert written.column_names == ["id", "split", "group", "content"]
    assert written.drop(["content"]).equals(data.table.select(["id", "split", "group"]))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["splits.parquet"]


def test_true_probabilities_follow_the_labels():
    """Over model_b and model_a only: p(b) / (p(a) + p(b)), p(a) / (p(a) + p(b))."""
    three = ready().true_probabilities("val")
    assert three is not None
    assert three.sum(axis=1) == pytest.approx(1)
    data = ready(labels=["model_b", "model_a"], on_tie="drop")
    known = np.array(data.table["true_probability"].to_pylist())[data.rows("val")]
    expected = known[:, [1, 0]] / known[:, :2].sum(axis=1, keepdims=True)
    assert data.true_probabilities("val") == pytest.approx(expected)
    table = table_of(["model_a", "model_b"] * 20)
    plain = built(PairData, reads(table), ByteTokenizer(), THREE[:2])
    plain.setup()
    assert plain.true_probabilities("val") is None


def test_predictions_need_no_winner_and_no_setup():
    table = table_of([None] * 7, prompts=["p" * (1 + 5 * (i % 3)) for i in range(7)])
    loader, store = make_data(eval_batch_size=3).predict_loader(Rows.from_table(table, "test"))
    batches = list(loader)
    rows = [row for batch in batches for row in batch.row.tolist()]
    assert sorted(rows) == list(range(7))
    assert len(store) == 7
    assert all(batch.supervised == 0 for batch in batches)
    assert {target for batch in batches for target in batch.target.tolist()} == {UNLABELLED}
    for batch in batches:
        for ids, mask, row in zip(batch.input_ids, batch.attention_mask, batch.row.tolist(), strict=True):
            assert ids[mask.bool()].tolist() == store.row(row)[0].tolist()


def test_loaders_serve_their_split():
    data = ready()
    for split, loader in [
        ("train", data.train_dataloader()),
        ("val", data.val_dataloader()),
        ("test", data.test_dataloader()),
    ]:
        batches = list(loader)
        target = dict(zip(data.rows(split).tolist(), data.targets(split).tolist(), strict=True))
        served = {
            row: index
            for batch in batches
            for row, index in zip(batch.row.tolist(), batch.target.tolist(), strict=True)
        }
        assert served == target
        assert sum(batch.supervised for batch in batches) == len(target)


@pytest.mark.parametrize("name", ["lmsys_kaggle_sample", "hh_harmless_test", "ja_vicuna_judged"])
def test_real_sets(shared, name):
    path = shared / "data" / name / "data.parquet"
    if not path.exists():
        pytest.skip(f"no {name} here")
    data = built(PairData, PairReader(), ByteTokenizer(), THREE, path=str(path), max_length=256, limit=600)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch.input_ids.shape[1] <= 256
    assert batch.supervised == len(batch) == 32
    groups = Counter(group for split in SPLITS for group in set(data.groups(split)))
    assert set(groups.values()) == {1}
