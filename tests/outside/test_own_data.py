"""Files as their owners have them: other names of columns, no ids, label columns of numbers with gaps."""

import csv
import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

OWN = "data.columns={prompt: question, response_a: answer_1, response_b: answer_2, winner: label}"
FEW = ["trainer.max_steps=2", "test=false", "baselines=[]", "resamples=0", "data.near_duplicates=null"]


def write_csv(path, header, rows, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([header, *rows])


def write_pairs(folder):
    """`own.csv` with names of its own and no ids, `new.csv` without labels, `usual.csv` with arena's names."""
    draw = random.Random(0)
    rows = []
    for i in range(60):
        answers = [" ".join(draw.choices(["tea", "sea", "old", "fox"], k=draw.randint(2, 9))) for _ in range(2)]
        rows.append([f"question {i}?", *answers, draw.choice(["model_a", "model_b", "tie"])])
    write_csv(folder / "own.csv", ["question", "answer_1", "answer_2", "label"], rows)
    write_csv(folder / "new.csv", ["question", "answer_1", "answer_2"], [row[:3] for row in rows[:5]])
    usual = [[i + 1, *row] for i, row in enumerate(rows)]
    write_csv(folder / "usual.csv", ["id", "prompt", "response_a", "response_b", "winner"], usual)


@pytest.mark.slow
def test_pairs_with_names_of_their_own_and_without_ids(shell, tmp_path):
    write_pairs(tmp_path)
    shell("train", "data=pairs", "data.path=own.csv", OWN, *FEW, "hydra.run.dir=run").ok()
    splits = pq.read_table(tmp_path / "run" / "splits.parquet")["id"].to_pylist()
    assert sorted(splits, key=int) == [str(i) for i in range(1, 61)]
    shell("predict", "run=run", "data.path=new.csv", "output=o.csv").ok()
    shell("predict", "run=run", "data.path=usual.csv", "data.columns=null", "data.limit=5", "output=usual_o.csv").ok()
    found = (tmp_path / "o.csv").read_text()
    assert found == (tmp_path / "usual_o.csv").read_text()
    assert [line.partition(",")[0] for line in found.splitlines()] == ["id", "1", "2", "3", "4", "5"]
    shell("evaluate", "run=run", "data.path=own.csv", "resamples=0", "output=out").ok()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["rows"] == 60
    shell("baseline", "data=pairs", "data.path=own.csv", OWN, "models=[length]", "resamples=0", "output=base").ok()
    shell("predict", "run=base", "data.path=new.csv", "output=base.csv").ok()
    assert len((tmp_path / "base.csv").read_text().splitlines()) == 6
    shell("explore", "data=pairs", "data.path=own.csv", OWN, "output=page").ok()


@pytest.mark.parametrize(
    ("command", "columns", "code", "words"),
    [
        pytest.param(
            "train",
            "{prompt: qestion}",
            65,
            ["no column qestion (data.columns.prompt)", "'question'"],
            marks=pytest.mark.slow,
        ),
        pytest.param("baseline", "{promt: question}", 2, ["data.columns.promt", "'prompt'"], marks=pytest.mark.slow),
        pytest.param(
            "explore",
            "{response_a: answer_1, response_b: answer_1}",
            2,
            ["answer_1 is named twice"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "baseline", "null", 65, ["missing column prompt", "data.columns={prompt: COLUMN"], marks=pytest.mark.slow
        ),
    ],
)
def test_wrong_names_of_columns_are_named(shell, tmp_path, command, columns, code, words):
    write_pairs(tmp_path)
    place = "hydra.run.dir=out" if command == "train" else "output=out"
    shell(command, "data=pairs", "data.path=own.csv", f"data.columns={columns}", place).refused(code, *words)
    assert not (tmp_path / "out" / "checkpoints").exists()


def write_labels(folder):
    """One table as four programs write it: whole numbers with gaps are floats, truth values are capitalised in csv."""
    draw = random.Random(0)
    rows = []
    for i in range(60):
        stars, spam = draw.randrange(3), draw.random() < 0.5
        rows.append([f"r{i}", f"{'abc'[stars] * 4} {'xy'[spam] * 4} {i}", None if i % 10 == 0 else float(stars), spam])
    header = ["id", "text", "stars", "spam"]
    records = [dict(zip(header, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(records), folder / "a.parquet")
    with_nan = [{name: float("nan") if cell is None else cell for name, cell in row.items()} for row in records]
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in with_nan))
    for name, gap in (("c.csv", "NaN"), ("d.tsv", "")):
        filled = [[gap if cell is None else cell for cell in row] for row in rows]
        write_csv(folder / name, header, filled, "\t" if name == "d.tsv" else ",")
    whole = [["" if row[2] is None else int(row[2]), str(row[3]).lower()] for row in rows]
    write_csv(folder / "whole.csv", header, [[*row[:2], *more] for row, more in zip(rows, whole, strict=True)])


@pytest.mark.parametrize(
    "name",
    ["a.parquet", "c.csv", *(pytest.param(name, marks=pytest.mark.slow) for name in ("b.jsonl", "d.tsv", "whole.csv"))],
)
def test_classes_do_not_depend_on_the_kind_of_file(shell, tmp_path, name):
    write_labels(tmp_path)
    heads = ["task=multihead", f"data.path={name}", "data.text=text", "data.heads=[stars,spam]"]
    answer = shell("train", *heads, "--cfg", "job", "--resolve", "-p", "data.labels").ok()
    assert answer.out.strip() == "{'stars': ['0', '1', '2'], 'spam': ['false', 'true']}"


@pytest.mark.slow
def test_a_run_on_parquet_judges_every_kind_of_file(shell, tmp_path):
    write_labels(tmp_path)
    heads = ["task=multihead", "data.path=a.parquet", "data.text=text", "data.heads=[stars,spam]"]
    shell("train", *heads, *FEW, "hydra.run.dir=run").ok()
    found = []
    for name in ("c.csv", "whole.csv"):
        shell("evaluate", "run=run", f"data.path={name}", "resamples=0", "verify=false").ok()
        judged = json.loads((tmp_path / "run" / "evaluation" / name[:-4] / "evaluation.json").read_text())
        found.append((judged["rows"], judged["loss"]))
    assert found[0] == found[1]
    assert found[0][0] == 60


@pytest.mark.slow
def test_the_text_column_of_another_file_can_be_named(shell, heads_run, tmp_path):
    text = (heads_run.parent / "heads.csv").read_text()
    (tmp_path / "tweets.csv").write_text(text.replace("id,text,", "id,tweet,", 1))
    run = f"run={heads_run}"
    shell("predict", run, "data.path=tweets.csv", "output=o.csv").refused(65, "missing column text", "data.text=COLUMN")
    shell("predict", run, "data.path=tweets.csv", "data.text=twet", "output=o.csv").refused(65, "'tweet'")
    for key in ("data.text", "data.reader.text"):
        shell("predict", run, "data.path=tweets.csv", f"{key}=tweet", "data.limit=20", f"output={key}.csv").ok()
    assert (tmp_path / "data.text.csv").read_text() == (tmp_path / "data.reader.text.csv").read_text()
    judged = ["data.path=tweets.csv", "data.text=tweet", "verify=false", "resamples=0", "output=out"]
    shell("evaluate", run, *judged).ok()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["rows"] > 280  # a few have no label


@pytest.mark.slow
def test_disguised_copies_stay_in_one_split(shell, tmp_path):
    """20 prompts, each again with zero-width characters, in full-width letters, without blanks, and in capitals with
    new answers; and each pair of answers, short as they are, with another prompt."""
    draw = random.Random(0)
    disguises = [
        lambda text: text,
        lambda text: "\u200b".join(text),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
        lambda text: text.replace(" ", ""),
        lambda text: f"  {text.upper()} \n",
    ]

    def words(count):
        return " ".join("".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(count))

    prompts = ["How can I rob a casino?", *(words(5) for _ in range(19))]
    rows = []
    for family, prompt in enumerate(prompts):
        answers = [words(3), words(2)]
        rows += [[f"{family}-{i}", change(prompt), words(3), words(3)] for i, change in enumerate(disguises)]
        rows += [[f"{family}-5", prompt, *answers], [f"{family}-6", words(4), *map(str.upper, reversed(answers))]]
    labelled = [[*row, draw.choice(["model_a", "model_b", "tie"])] for row in rows]
    write_csv(tmp_path / "rows.csv", ["id", "prompt", "response_a", "response_b", "winner"], labelled)
    options = ["models=[prior]", "resamples=0", "data.val_share=0.3", "data.test_share=0.3", "output=base"]
    shell("baseline", "data=pairs", "data.path=rows.csv", *options).ok()
    groups: dict[str, set[str]] = {}
    for row in pq.read_table(tmp_path / "base" / "splits.parquet").to_pylist():
        groups.setdefault(row["id"].split("-")[0], set()).add(row["group"])
    assert len(groups) == 20
    assert all(len(found) == 1 for found in groups.values())
    assert len(set.union(*groups.values())) == 20


@pytest.mark.slow
def test_predictions_of_training_rows_must_be_out_of_fold(shell, tmp_path):
    """What a model says of its own training rows is refused where the file shows it, and named where nothing does."""
    write_pairs(tmp_path)
    data = ["data=pairs", "data.path=usual.csv"]
    shell("baseline", *data, "models=[prior]", "resamples=0", "output=base").ok()
    answer = shell("predict", "run=base", "data.path=usual.csv", "output=said.parquet").ok()
    assert "rows were training rows of these runs" in answer.out
    table = pq.read_table(tmp_path / "said.parquet")
    splits = {row["id"]: row["split"] for row in pq.read_table(tmp_path / "base" / "splits.parquet").to_pylist()}
    assert {row["id"]: row["in_sample"] == "true" for row in table.to_pylist()} == {
        name: split == "train" for name, split in splits.items()
    }
    for keys in (["data.offset=said.parquet"], ["data.hardness=said.parquet", "data.sampling=hard"]):
        line = shell("train", *data, *FEW[:4], *keys, "hydra.run.dir=out").refused(65, keys[0], "trained on them")
        assert "arena.baseline" in line
    pq.write_table(table.drop_columns(["in_sample"]), tmp_path / "copy.parquet")
    for place, said in (("copy.parquet", True), ("base", False)):
        answer = shell("train", *data, *FEW[:4], f"data.offset={place}", f"hydra.run.dir={place}.run").ok()
        assert ("nothing says that a model that had not seen them" in answer.out + answer.err) == said


@pytest.mark.slow
def test_predictions_hold_log_probabilities(pairwise_run):
    table = pq.read_table(pairwise_run / "predictions" / "val.parquet")
    logs = [table[f"log_probability_{name}"] for name in ("model_a", "model_b", "tie")]
    assert all(column.type == pa.float64() for column in logs)
    for row in zip(*(column.to_pylist() for column in logs), strict=True):
        assert math.fsum(map(math.exp, row)) == pytest.approx(1, abs=1e-12)
    wanted = table["probability_tie"].to_pylist()
    assert [math.exp(value) for value in logs[2].to_pylist()] == pytest.approx(wanted, abs=1e-6)
