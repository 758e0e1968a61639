"""Real pairwise sets: all rows load, no prompt is in two splits, a model trains on them, predictions come out."""

import csv
import json
import unicodedata

import pyarrow.parquet as pq
import pytest
from support import PAIRWISE_ROWS

from arena import predict
from arena.config.options import read
from arena.data.source.examples import PAIR
from arena.inference.options import PredictOptions


def normalised(prompt: str | None) -> str:
    """Independent of arena: Unicode form, case and blanks do not make another prompt."""
    return " ".join(unicodedata.normalize("NFC", prompt or "").casefold().split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "lmsys_kaggle_sample/train.csv",
        "pandalm_human/data.parquet",
        "llmbar/data.parquet",
        "ja_vicuna_judged/data.parquet",
    ],
)
def test_a_real_set_trains_and_its_splits_share_no_prompt(name, shared, train_run):
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"no {name} here")
    tests = ["test_share=0.2", "val_share=0.2"] if PAIRWISE_ROWS[name] < 200 else []
    run = train_run(
        "run", "data=pairs", f"data.path={path}", "data.limit=null", "data.max_length=128", "trainer.max_steps=2",
        "data.cache=null", "test=false", *(f"data.{key}" for key in tests),
    )  # fmt: skip
    result = run.read_result()
    assert result["data"]["rows_read"] == result["data"]["rows_kept"] == PAIRWISE_ROWS[name]
    assert result["data"]["answer_invisible_share"] < 0.01
    split_of = {row["id"]: row["split"] for row in pq.read_table(run.splits).to_pylist()}
    assert len(split_of) == PAIRWISE_ROWS[name]
    seen: dict[str, set[str]] = {}
    for row in rows_of(path):
        seen.setdefault(normalised((json.loads(row["prompt"]) or [""])[0]), set()).add(split_of[str(row["id"])])
    assert {len(splits) for splits in seen.values()} == {1}


def rows_of(path):
    if path.suffix == ".parquet":
        return pq.read_table(path, columns=["id", *PAIR.texts]).to_pylist()
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_kaggle_test_file_becomes_a_submission(shared, train_run, tmp_path):
    folder = shared / "data" / "lmsys_kaggle_sample"
    if not folder.is_dir():
        pytest.skip("no lmsys_kaggle_sample here")
    run = train_run(
        "run", "data=kaggle", f"data.path={folder / 'train.csv'}", "data.limit=null", "trainer.max_steps=2",
        "data.cache=null", "test=false",
    )  # fmt: skip
    output = tmp_path / "submission.csv"
    arguments = [f"run={run.path}", f"data.path={folder / 'kaggle_test.csv'}", f"output={output}"]
    predict.predict(read(PredictOptions, arguments))
    with open(output, newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    with open(folder / "kaggle_test.csv", newline="", encoding="utf-8") as file:
        assert [line[0] for line in lines[1:]] == [row["id"] for row in csv.DictReader(file)]
    for line in lines[1:]:
        probabilities = [float(cell) for cell in line[1:]]
        assert all(0 < p < 1 for p in probabilities)
        assert abs(sum(probabilities) - 1) < 1e-12
