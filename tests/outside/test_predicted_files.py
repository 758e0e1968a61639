"""`python -m arena.predict` and what `arena.evaluate` takes of `data.*`, typed."""

import csv
import json

import pytest

pytestmark = pytest.mark.slow


def write_rows(path, answers):
    """Kaggle's test file: one row for each pair of answers."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b"])
        for i, pair in enumerate(answers):
            writer.writerow([f"r{i}", json.dumps([f"question {i}?"]), *(json.dumps([each]) for each in pair)])


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_limit_takes_the_first_rows_and_rules_are_by_choice(shell, pairwise_run, tmp_path):
    write_rows(tmp_path / "rows.csv", [("one", "two"), ("same", "same"), ("", "something"), ("a", "b"), ("c", "d")])
    common = [f"run={pairwise_run}", "data.path=rows.csv", "data.limit=3"]
    shell("predict", *common, "output=own.csv").ok()
    ruled = shell("predict", *common, "output=rules.csv", "rules=true").ok()
    own, rules = read_rows(tmp_path / "own.csv"), read_rows(tmp_path / "rules.csv")
    assert [row["id"] for row in own] == ["r0", "r1", "r2"]
    assert own[0] == rules[0]
    assert float(rules[1]["winner_tie"]) == pytest.approx(0.88)
    assert float(own[1]["winner_tie"]) != pytest.approx(0.88, abs=1e-3)
    assert "1 rows with identical answers, 1 with one empty answer" in ruled.out
    shell("predict", *common, "output=both.csv", "swap=true").ok()
    assert len(read_rows(tmp_path / "both.csv")) == 3


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("predict", ["data.path=rows.csv", "output=o.csv", "data.batch_size=4"], ["data.batch_size", "no use"]),
        ("predict", ["data.path=rows.csv", "output=o.csv", "data.swap=both"], ["data.swap", "no use"]),
        ("predict", ["data.path=rows.csv", "output=o.csv", "data.limti=3"], ["data.limti", "'limit'"]),
        ("predict", ["output=o.parquet", "out_of_fold=true", "data.limit=3"], ["data.limit", "joins"]),
        ("predict", ["data.path=rows.csv", "output=o.csv", "on_bad_row=skip"], ["on_bad_row=skip", "prior"]),
        ("evaluate", ["data.path=rows.csv", "data.val_share=0.5"], ["data.val_share", "settled"]),
        ("evaluate", ["data.limit=3"], ["data.limit", "data.path=FILE"]),
    ],
)
def test_keys_without_an_effect_are_refused(shell, pairwise_run, tmp_path, command, arguments, words):
    write_rows(tmp_path / "rows.csv", [("one", "two")])
    shell(command, f"run={pairwise_run}", *arguments).refused(2, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_every_id_of_a_hidden_test_file_is_in_the_submission(shell, pairwise_run, tmp_path):
    """No JSON, half a surrogate pair, no text, a cell too few, an open quote: the class shares of the training."""
    write_rows(tmp_path / "rows.csv", [("one", "two"), ("three", "four")])
    bad = [
        "b0,x,x,x",
        r'b1,"[""p""]","[""\ud800""]","[""b""]"',
        'b2,"[""""]","[""""]","[""""]"',
        "b3,x,x",
        'b4,"["p,x,x',
    ]
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join([*lines[:2], *bad, lines[2]]) + "\n")
    common = [f"run={pairwise_run}", "data.path=test.csv", "output=s.csv", "format=kaggle"]
    quarantine = ["data.on_bad_row=quarantine", "data.max_rejected=1"]
    shell("predict", *common, *quarantine).refused(65, "5 of 7 records", "on_bad_row=prior")
    assert not (tmp_path / "s.csv").exists()
    answer = shell("predict", *common, "on_bad_row=prior").ok()
    assert "5 of 7 rows cannot be used" in answer.out
    found = read_rows(tmp_path / "s.csv")
    assert list(found[0]) == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert [row["id"] for row in found] == ["r0", "b0", "b1", "b2", "b3", "b4", "r1"]
    data = json.loads((pairwise_run / "result.json").read_text())["data"]
    rows = data["splits"]["train"]
    for name, share in data["class_shares"]["train"].items():
        for row in found[1:6]:  # one row is added to each class
            assert float(row[f"winner_{name}"]) == pytest.approx((share * rows + 1) / (rows + 3), abs=1e-6)
    shell("predict", f"run={pairwise_run}", "data.path=rows.csv", "output=o.csv").ok()
    assert float(found[0]["winner_tie"]) == pytest.approx(
        float(read_rows(tmp_path / "o.csv")[0]["winner_tie"]), abs=1e-6
    )
