"""Shares of votes: how files tell them, what training is told, and that everything else still goes by the winner."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import PAIRWISE_ROWS, built

from arena.core.errors import DataError
from arena.data.module.pairwise import PairData
from arena.data.source.codes import RowError
from arena.data.source.pairs import PairReader
from arena.data.source.winners import check_votes
from arena.data.text.tokenizer import ByteTokenizer

LABELS = ["model_a", "model_b", "tie"]
VOTES = [[0.6, 0.3, 0.1], [0.25, 0.75, 0.0], None, [0.2, 0.2, 0.6]]


def write(path, rows=80, **columns):
    """A jsonl file in which the votes of `VOTES` come in turn; row 2 of four has a winner only."""
    with open(path, "w") as file:
        for i in range(rows):
            row = {
                "id": f"r{i}", "prompt": [f"What is {i} times {i * 7919 % 1000}?"], "response_a": [f"a{i}"],
                "response_b": [f"b{i}"], "winner": ["model_a", "model_b", "model_a", "tie"][i % 4],
                "probability": VOTES[i % 4], "source": "x",
            }  # fmt: skip
            file.write(json.dumps(row | {name: function(i) for name, function in columns.items()}) + "\n")
    return str(path)


def make_data(path, labels=LABELS, **options):
    data = built(PairData, PairReader(), ByteTokenizer(), labels, path=path, **{"batch_size": 8, **options})
    data.setup("fit")
    return data


def served(loader, name="target"):
    """What each row is told, by its id's number."""
    return {row: told for batch in loader for row, told in zip(batch.row.tolist(), getattr(batch, name), strict=True)}


def test_training_learns_from_votes_and_judges_by_winners(tmp_path):
    path = write(tmp_path / "x.jsonl")
    data, plain = make_data(path, target="votes"), make_data(path)
    numbers = [int(name[1:]) for name in data.table["id"].to_pylist()]
    for row, told in served(data.train_dataloader()).items():
        share = VOTES[numbers[row] % 4] or [1, 0, 0]
        assert told.tolist() == pytest.approx(share)
    for loader in (data.val_dataloader(), data.test_dataloader(), plain.train_dataloader()):
        for batch in loader:
            assert batch.target.dtype.is_floating_point is False
            assert batch.target.tolist() == [[0, 1, 0, 2][numbers[row] % 4] for row in batch.row.tolist()]
    assert data.summary() == plain.summary()
    assert data.table.equals(plain.table)


def test_two_classes_share_the_votes_for_them(tmp_path):
    """(.6, .3, .1) without ties is (2/3, 1/3); in the order of the labels B comes first."""
    path = write(tmp_path / "x.jsonl")
    data = make_data(path, ["model_b", "model_a"], on_tie="drop", target="votes", val_share=0, test_share=0)
    assert data.summary()["rows_dropped"] == {"tie": 20}
    numbers = [int(name[1:]) for name in data.table["id"].to_pylist()]
    expected = {0: [1 / 3, 2 / 3], 1: [0.75, 0.25], 2: [0, 1]}
    for row, told in served(data.train_dataloader()).items():
        assert told.tolist() == pytest.approx(expected[numbers[row] % 4])


def test_votes_for_a_tie_only(tmp_path):
    """The file names a winner, but all votes of row 5 are for the tie that has no class."""
    path = write(
        tmp_path / "x.jsonl", winner=lambda i: LABELS[i % 2], probability=lambda i: [0, 0, 1] if i == 5 else None
    )
    with pytest.raises(
        DataError, match=r"1 of 80 rows have no votes for data\.labels=.*first: id r5.*data\.on_tie=drop"
    ):
        make_data(path, LABELS[:2], target="votes")
    assert make_data(path, LABELS[:2]).table.num_rows == 80
    data = make_data(path, LABELS[:2], target="votes", on_tie="drop")
    assert data.summary()["rows_dropped"] == {"tie": 1}
    assert "r5" not in data.table["id"].to_pylist()


def test_votes_are_exchanged_with_the_answers(tmp_path):
    data = make_data(write(tmp_path / "x.jsonl"), target="votes", swap="both", val_share=0, test_share=0)
    numbers = [int(name[1:]) for name in data.table["id"].to_pylist()]
    found: dict[int, list] = {}
    for batch in data.train_dataloader():
        for row, told in zip(batch.row.tolist(), batch.target.tolist(), strict=True):
            found.setdefault(numbers[row], []).append(told)
    for i in (0, 1, 2, 3):
        a, b, tie = VOTES[i] or [1, 0, 0]
        assert sorted(found[i]) == [pytest.approx(told) for told in sorted([[a, b, tie], [b, a, tie]])]


@pytest.mark.parametrize(
    ("votes", "winner", "shares"),
    [
        ([1, 1, 2], "model_a", [2 / 3, 1 / 3, 0]),
        ([2, 2, 2], "model_b", [0, 1, 0]),
        ([0, 1, 2], "tie", [1 / 3, 1 / 3, 1 / 3]),
        ([1, 2, None], "tie", [0.5, 0.5, 0]),
        (["0", "0", "1", ""], "tie", [1 / 3, 0, 2 / 3]),
        ([2.0, None], "model_b", None),
        ([2.0, float("nan")], "model_b", None),
        ([None, ""], None, None),
        ([], None, None),
    ],
)
def test_votes_of_annotators(votes, winner, shares):
    found = check_votes({f"annotator{i + 1}": vote for i, vote in enumerate(votes)})
    assert found == (winner, shares if shares is None else pytest.approx(shares))


@pytest.mark.parametrize("cell", [3, "model_a", -1, 0.5, float("inf")])
def test_a_vote_that_is_none(cell):
    with pytest.raises(RowError, match=r"is none of 0 \(tie\), 1 \(response A\), 2 \(response B\)"):
        check_votes({"annotator1": 1, "annotator2": cell})


def test_annotators_fill_what_the_file_does_not_say(tmp_path):
    """The file's own probability and winner count; without a winner the votes decide."""
    rows = [
        {"winner": "model_b", "probability": None, "annotator1": 1, "annotator2": 1, "annotator3": 2},
        {"winner": "model_b", "probability": [0.1, 0.9, 0.0], "annotator1": 1, "annotator2": 1, "annotator3": 2},
        {"winner": None, "probability": None, "annotator1": 2, "annotator2": None, "annotator3": 2},
        {"winner": None, "probability": None, "annotator1": None, "annotator2": None, "annotator3": None},
    ]
    texts = {"prompt": ["p"], "response_a": ["a"], "response_b": ["b"]}
    table = pa.Table.from_pylist([texts | row | {"id": str(i)} for i, row in enumerate(rows)])
    pq.write_table(table, tmp_path / "x.parquet")
    facts = PairReader()(str(tmp_path / "x.parquet")).metadata
    assert facts["winner"].to_pylist() == ["model_b", "model_b", "model_b", None]
    assert facts["probability"].to_pylist() == [pytest.approx([2 / 3, 1 / 3, 0]), [0.1, 0.9, 0.0], [0, 1, 0], None]
    pq.write_table(table.drop_columns(["winner", "probability"]), tmp_path / "y.parquet")
    facts = PairReader()(str(tmp_path / "y.parquet")).metadata
    assert facts["winner"].to_pylist() == ["model_a", "model_a", "model_b", None]


def test_annotators_of_a_real_set(shared):
    """Three people judged every pair; counted here from the file itself."""
    path = shared / "data" / "pandalm_human" / "data.parquet"
    if not path.exists():
        pytest.skip("no pandalm_human here")
    raw = pq.read_table(path)
    votes = np.stack([raw[f"annotator{i}"].to_numpy() for i in (1, 2, 3)], axis=1)
    expected = np.stack([(votes == code).mean(axis=1) for code in (1, 2, 0)], axis=1)
    data = make_data(str(path), target="votes", limit=None)
    facts = data.source.metadata
    assert facts.num_rows == PAIRWISE_ROWS["pandalm_human/data.parquet"]
    assert facts["winner"].to_pylist() == raw["winner"].to_pylist()
    np.testing.assert_allclose(np.array(facts["probability"].to_pylist()), expected)
    told = served(data.train_dataloader())
    assert len(told) == len(data.rows("train"))
    for row, target in told.items():
        np.testing.assert_allclose(target.numpy(), expected[data.positions[row]], rtol=1e-6)


@pytest.mark.slow
def test_a_run_learns_from_votes(train_run, tmp_path):
    """B wins every row, by 55 votes of 100. Told winners, the best prediction is 1, told votes 0.55. The checkpoint is
    chosen by the winners, so of the latter the one that strays farthest above: hence the room."""
    path = write(tmp_path / "x.jsonl", winner=lambda i: "model_b", probability=lambda i: [0.45, 0.55, 0.0])
    common = ["data=pairs", f"data.path={path}", "data.labels=[model_a,model_b]", "metric=binary"]
    common += ["trainer.max_steps=120", "trainer.max_epochs=100", "optim.lr=3e-3", "data.cache=null"]
    means = []
    for target in ("winner", "votes"):
        run = train_run(target, *common, f"data.target={target}")
        means.append(np.mean(pq.read_table(run.predictions("test"))["probability_model_b"].to_numpy()))
    assert means[0] > 0.9
    assert 0.5 < means[1] < 0.75
