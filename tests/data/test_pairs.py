"""Every known format is read as it is, and every known way to be wrong is named with its row.

The Kaggle rows are written by hand after the real files: JSON lists in csv cells, with null, "[]" and [""].
"""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import PAIRWISE_ROWS

from arena.core.errors import DataError, InputOutputError, UsageError
from arena.data.source.examples import PAIR, WINNERS
from arena.data.source.ingest import Ingest
from arena.data.source.pairs import PairReader

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["id", "model_a", "model_b", "prompt", "response_a", "response_b"]
TRAIN += ["winner_model_a", "winner_model_b", "winner_tie"]
GOOD = ["30192", "gpt-4", "llama", '["Is it?"]', '["Yes."]', '["No."]', "1", "0", "0"]
ROW = {"id": "a", "prompt": ["p"], "response_a": ["r"], "response_b": ["s"], "source": "mine"}
NULL_LIKE = [
    "null",
    "NA",
    "N/A",
    "nan",
    "NaN",
    "NULL",
    "n/a",
    "",
    "None",
    "<NA>",
    "#N/A",
    "-nan",
    "0",
    "1e5",
    " ",
    "true",
]


def write_csv(path, header, *rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def read(path, **arguments):
    """Facts and texts of all rows in one table."""
    rows = PairReader(**arguments)(path)
    texts = pa.Table.from_batches(list(rows.texts()))
    assert texts.schema.equals(PAIR.text_schema)
    assert rows.metadata.schema.names[: len(PAIR.metadata_schema)] == PAIR.metadata_schema.names
    assert [rows.metadata.schema.field(f.name).type for f in PAIR.metadata_schema] == PAIR.metadata_schema.types
    return pa.table({name: table[name] for table in (rows.metadata, texts) for name in table.column_names})


def changed(column, cell):
    row = list(GOOD)
    row[TRAIN.index(column)] = cell
    return row


def test_kaggle_train_csv(tmp_path):
    text = '["line\\nbreak","second \\"turn\\""]'
    rows = [
        ["1", "gpt-4", "llama", text, '["a",null]', '["b","c"]', "0", "1", "0"],
        ["2", "llama", "gpt-4", '["q"]', "[]", '[""]', "0", "0", "1"],
        ["3", "llama", "gpt-4", '["\\ud83d\\ude00 ü"]', "[null]", '["null"]', "1", "0", "0"],
    ]
    table = read(write_csv(tmp_path / "train.csv", TRAIN, *rows))
    assert table["prompt"].to_pylist() == [["line\nbreak", 'second "turn"'], ["q"], ["😀 ü"]]
    assert table["response_a"].to_pylist() == [["a", None], [], [None]]
    assert table["response_b"].to_pylist() == [["b", "c"], [""], ["null"]]
    assert table["winner"].to_pylist() == ["model_b", "tie", "model_a"]
    assert table["id"].to_pylist() == ["1", "2", "3"]
    assert table["source"].to_pylist() == ["train.csv"] * 3
    assert table["language"].null_count == 3
    assert table["weight"].to_pylist() == [1.0] * 3


def test_kaggle_test_csv_has_no_winners(tmp_path):
    header = ["id", "prompt", "response_a", "response_b"]
    table = read(write_csv(tmp_path / "test.csv", header, ["7", '["q"]', '["a"]', '["b"]']))
    assert table["prompt"].to_pylist() == [["q"]]
    assert table["winner"].to_pylist() == [None]
    assert table["model_a"].to_pylist() == [None]


def test_wsdm_parquet_is_plain_text_and_keeps_ids_as_strings(tmp_path):
    """Plain text that looks like JSON or like arithmetic stays the text it is; nothing may evaluate it."""
    train = {"id": ["x1", "x2"], "prompt": ['["a","b"]', "1+1"], "response_a": ["null", ""], "response_b": ["[]", "c"]}
    train |= {
        "winner": ["model_a", "model_b"],
        "model_a": ["m", "n"],
        "model_b": ["n", "m"],
        "language": ["Thai", "Urdu"],
    }
    pq.write_table(pa.table(train), tmp_path / "train.parquet")
    table = read(str(tmp_path / "train.parquet"))
    assert table["prompt"].to_pylist() == [['["a","b"]'], ["1+1"]]
    assert table["response_a"].to_pylist() == [["null"], [""]]
    assert table["language"].to_pylist() == ["Thai", "Urdu"]

    test = {"id": [136060, 211333], "prompt": ["p", "q"], "response_a": ["a", "b"], "response_b": ["c", "d"]}
    pq.write_table(pa.table(test | {"scored": [True, False]}), tmp_path / "test.parquet")
    table = read(str(tmp_path / "test.parquet"))
    assert table["id"].to_pylist() == ["136060", "211333"]
    assert table["winner"].null_count == 2


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet", "lists.parquet"])
def test_arena_files(tmp_path, name):
    """Turns may be lists or JSON lists in strings; a file says the same in every container."""
    rows = [
        {"id": "a", "prompt": ["p", "q"], "response_a": ["r", None], "response_b": ["s", "t"], "winner": "tie"},
        {"id": "b", "prompt": ["p"], "response_a": ["u"], "response_b": ["v"], "winner": None},
    ]
    for row in rows:
        row |= {"source": "mine", "model_a": None, "model_b": "m", "language": "German", "weight": 0.5, "extra": 1}
    if name != "lists.parquet":
        rows = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    table = read(str(path))
    assert table["prompt"].to_pylist() == [["p", "q"], ["p"]]
    assert table["response_a"].to_pylist() == [["r", None], ["u"]]
    assert table["winner"].to_pylist() == ["tie", None]
    assert table["weight"].to_pylist() == [0.5, 0.5]
    assert table["source"].to_pylist() == ["mine", "mine"]


def test_true_probabilities_survive_a_file(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW | {"true_probability": [0.5, 0.25, 0.25]}) + "\n")
    assert read(str(tmp_path / "x.jsonl"))["true_probability"].to_pylist() == [[0.5, 0.25, 0.25]]
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW | {"true_probability": [0.5, "?"]}) + "\n")
    with pytest.raises(DataError, match="row 1, column true_probability"):
        read(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("text", NULL_LIKE)
def test_words_that_look_like_nothing_stay_words(tmp_path, text):
    path = write_csv(tmp_path / "x.csv", TRAIN, changed("response_a", json.dumps([text])))
    assert read(path)["response_a"].to_pylist() == [[text]]


def test_long_answers_and_marks_at_the_start_of_the_file(tmp_path):
    """Longer than Python's default limit for a cell (131,072), and a byte order mark before the first name."""
    answer = "x" * 300_000
    path = write_csv(tmp_path / "x.csv", TRAIN, changed("response_b", json.dumps([answer])))
    data = (tmp_path / "x.csv").read_bytes()
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf" + data)
    before = csv.field_size_limit()
    assert read(path)["response_b"].to_pylist() == [[answer]]
    assert csv.field_size_limit() == before


BAD_ROWS = [
    ("prompt", "Is it?", r"row 2, column prompt: 'Is it\?' is not a JSON list"),
    ("prompt", '{"a": 1}', "column prompt: .* is not a list of turns"),
    ("response_a", "[1]", "column response_a: the turn 1 is neither text nor null"),
    ("response_a", "[" * 100_000, "column response_a: .*is not a JSON list"),
    ("response_b", '["cut off', "column response_b: .* is not a JSON list"),
    ("response_b", '["\\ud83d"]', r"row 2, column response_b: half a surrogate pair '\\ud83d' at character 0"),
    ("winner_tie", "1", "row 2, column winner_.*: expected one 1 and two 0, or .*, found '1', '0', '1'"),
    ("winner_model_a", "0", "expected one 1 and two 0, or .*, found '0', '0', '0'"),
    ("winner_model_a", "yes", "expected one 1 and two 0, or .*, found 'yes', '0', '0'"),
    ("id", "first", "row 2, column id: 'first' is already the id of row 1"),
    ("id", "", "row 2, column id: '' is no id"),
]


@pytest.mark.parametrize(("column", "cell", "message"), BAD_ROWS, ids=[f"{c}-{v[:9]}" for c, v, _ in BAD_ROWS])
def test_bad_rows_are_named(tmp_path, column, cell, message):
    path = write_csv(tmp_path / "bad.csv", TRAIN, changed("id", "first"), changed(column, cell))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: row 2, ")
    assert "\n" not in str(caught.value)
    assert caught.value.code == 65


def test_a_winner_that_nobody_knows(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW | {"winner": "draw"}) + "\n")
    with pytest.raises(DataError, match="row 1, column winner: 'draw' is none of model_a, model_b, tie"):
        read(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("spelling", ["tie", "tie (bothbad)", "both_bad"])
def test_spellings_of_a_tie(tmp_path, spelling):
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW | {"winner": spelling}) + "\n")
    assert read(str(tmp_path / "x.jsonl"))["winner"].to_pylist() == ["tie"]


DAMAGED_GZIP = gzip.compress(b"id,prompt,response_a,response_b\n")[:10] + b"\xff" * 40

BAD_FILES = [
    ("x.csv", b"", "the file is empty"),
    ("x.csv", b"id,prompt,response_a,response_b\n", "no rows"),
    ("x.csv", b"id,prompt,answer\n1,a,b\n", "missing column response_a, response_b; found id, prompt, answer; acc"),
    ("x.csv", b"id,prompt,response_a,response_b,winner_tie\n", "missing column winner_model_a, winner_model_b"),
    ("x.csv", b"id,id,prompt,response_a,response_b\n1,1,[],[],[]\n", "column id occurs twice"),
    (
        "x.csv",
        b"id,prompt,response_a,response_b\n1,[],[]\n",
        r"row 1: it ends in line 2 and has 3 cells, the header has 4",
    ),
    ("x.csv", b'id,prompt,response_a,response_b\n1,"[],[],[]\n', r"row 1: line 2 is not csv"),
    (
        "x.csv",
        b"id,prompt,response_a,response_b\n1,\xff,[],[]\n",
        "row 1, column prompt: there are bytes that are not UTF-8",
    ),
    ("x.csv.gz", b"\x1f\x8bbroken", "damaged gzip|unknown compression"),
    ("x.csv.gz", DAMAGED_GZIP, "damaged gzip"),
    ("x.csv.gz", gzip.compress(b"id,prompt,response_a,response_b\n")[:-9], "damaged gzip"),
    ("x.jsonl", b"\n", "missing column prompt"),
    ("x.jsonl", b"[1]\n", "row 1: it is not a JSON object"),
    ("x.jsonl", b'{"id": 1\n', "row 1: it is not JSON"),
    ("x.parquet", b"PAR1 but not really", "not a parquet file"),
    ("x.txt", b"x", "unknown kind of file; accepted: .csv"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(InputOutputError, match=r"no such file; give data\.path"):
        read(str(tmp_path / "nothing.csv"))
    with pytest.raises(InputOutputError, match="no csv, jsonl or parquet file in this folder"):
        read(str(tmp_path))
    with pytest.raises(UsageError, match=r"data\.path=<file> is needed"):
        read(None)
    with pytest.raises(UsageError, match=r"data\.path: an empty list"):
        read([])
    with pytest.raises(UsageError, match=r"need data\.reader\.repo"):
        PairReader(file="train.csv")


def test_a_folder_and_a_list(tmp_path, caplog):
    header = ["id", "prompt", "response_a", "response_b"]
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "set" / ".hidden.csv").write_text("nothing")
    (tmp_path / "set" / "README.md").write_text("nothing")
    write_csv(tmp_path / "set" / "b.csv", header, ["2", '["q"]', '["a"]', '["b"]'])
    write_csv(tmp_path / "set" / "a.csv", header, ["1", '["q"]', '["a"]', '["c"]'])
    (tmp_path / "set" / "sub" / "c.jsonl").write_text(json.dumps(ROW | {"id": "3"}) + "\n")
    other = write_csv(tmp_path / "other.csv", header, ["4", '["q"]', '["a"]', '["d"]'])
    with caplog.at_level("INFO", "arena"):
        assert read(str(tmp_path / "set"))["id"].to_pylist() == ["1", "2", "3"]
    assert caplog.messages == [
        f"{tmp_path / 'set'}: 1 other files are not read (README.md)",
        "a.csv: read as Kaggle LMSYS without labels",
        "b.csv: read as Kaggle LMSYS without labels",
        "c.jsonl: read as arena",
        "read 3 = 3 kept + 0 rejected + 0 merged; nothing to remark",
    ]
    assert read([other, str(tmp_path / "set" / "sub")])["id"].to_pylist() == ["4", "3"]


def test_the_first_look_reads_no_rows(tmp_path):
    """Wrong columns are found without reading; what only the rows can tell is not looked for."""
    path = write_csv(tmp_path / "x.csv", TRAIN, changed("prompt", "not JSON"))
    ((place, columns, form),) = PairReader().open(path)
    assert (str(place), columns, form.name) == (path, TRAIN, "Kaggle LMSYS")
    (tmp_path / "y.csv").write_text("id,answer\n")
    with pytest.raises(DataError, match=r"y\.csv: missing column prompt"):
        PairReader().open([path, str(tmp_path / "y.csv")])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_folder_laid_out_like_a_repository(tmp_path, kind, monkeypatch):
    """`datasets` tells the splits and reads nothing: its csv reader would take the answer "null" for a missing one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "data").mkdir()
    names = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]
    for i, name in enumerate(names):
        row = {"id": str(i), "prompt": "2023-01-01", "response_a": "null", "response_b": "NA", "winner": "model_a"}
        path = tmp_path / "data" / f"{name}.{kind}"
        if kind == "csv":
            write_csv(path, list(row), list(row.values()))
        elif kind == "jsonl":
            path.write_text(json.dumps(row) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist([row]), path)
    table = read(None, repo=str(tmp_path))
    assert table["id"].to_pylist() == ["0", "1"]
    assert (
        table.select(PAIR.texts).to_pylist()
        == [{"prompt": ["2023-01-01"], "response_a": ["null"], "response_b": ["NA"]}] * 2
    )
    assert read(None, repo=str(tmp_path), split="test")["id"].to_pylist() == ["2"]
    assert read(None, repo=str(tmp_path), file=f"data/{names[1]}.{kind}")["id"].to_pylist() == ["1"]
    with pytest.raises(UsageError, match=r"data\.reader\.split=dev: data set .* has train, test"):
        read(None, repo=str(tmp_path), split="dev")


def test_an_offline_hub_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputOutputError, match=r"nobody/no-such-set: not on this machine.*data\.path=<file or folder>"):
        read(None, repo="nobody/no-such-set")


def test_a_hub_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens on the discard port
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    reader = PairReader(repo="nobody/no-such-set", file="train.csv")
    with pytest.raises(InputOutputError, match=r"cannot be reached; download train\.csv and give data\.path=<file>"):
        reader()
    with pytest.raises(InputOutputError, match=r"not on this machine and the hub cannot be reached"):
        PairReader(repo="nobody/no-such-set")()


def test_the_layout_can_be_given(tmp_path):
    """A Kaggle test file with a language column looks like WSDM's; its owner knows better."""
    header = ["id", "prompt", "response_a", "response_b", "language"]
    path = write_csv(tmp_path / "x.csv", header, ["1", '["q"]', '["a"]', '["b"]', "Thai"])
    assert read(path)["prompt"].to_pylist() == [['["q"]']]
    assert read(path, layout="kaggle_test")["prompt"].to_pylist() == [["q"]]


def test_reading_needs_no_torch():
    code = "import sys, arena.data.source.pairs; assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "src")})


SETS = PAIRWISE_ROWS | {"lmsys_kaggle_sample/kaggle_test.csv": 3}


@pytest.mark.parametrize("name", SETS)
def test_real_files(shared, name):
    """Row counts are those of the sets' own descriptions."""
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"no {name} here")
    table = read(str(path))
    assert table.num_rows == SETS[name]
    assert set(table["winner"].to_pylist()) <= ({None} if "test" in name.split("/")[1] else set(WINNERS))
    assert all(isinstance(turns, list) for turns in table["response_a"].to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SETS if name.endswith(".parquet")])
def test_real_files_say_what_they_hold(shared, name):
    """Read directly, without arena: the ids, the winners, and the JSON lists of the three texts."""
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"no {name} here")
    table, plain = read(str(path)), pq.read_table(path)
    for column in ("id", "winner", "model_a", "model_b", "language", "source"):
        assert table[column].to_pylist() == plain[column].to_pylist()
    for column in PAIR.texts:
        expected = [json.loads(cell) for cell in plain[column].to_pylist()]
        assert table[column].to_pylist() == expected
        counted = [sum(len(turn or "") for turn in turns) for turns in expected]
        assert np.array_equal(table[f"{column}_characters"], counted)
    account = PairReader()(str(path), Ingest(on_bad_row="quarantine", max_rejected=0.0)).statistics
    assert (account.read, account.rejected, account.merged) == (SETS[name], 0, 0)


def test_the_kaggle_csv_says_what_the_parquet_says(shared):
    """Both files hold the first rows of Kaggle's train.csv, converted by different programs."""
    folder = shared / "data" / "lmsys_kaggle_sample"
    if not folder.exists():
        pytest.skip("no lmsys_kaggle_sample here")
    columns = ["id", "prompt", "response_a", "response_b", "model_a", "model_b", "winner"]
    left = read(str(folder / "train.csv")).select(columns).to_pylist()
    right = {row["id"]: row for row in read(str(folder / "data.parquet")).select(columns).to_pylist()}
    assert left == [right[row["id"]] for row in left]
