"""Every record is kept, merged, or set aside with its reason; nothing else can happen to it."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arena.core.errors import DataError
from arena.data.source import files
from arena.data.source.codes import CODES
from arena.data.source.ingest import Ingest
from arena.data.source.pairs import PairReader

QUARANTINE = Ingest(on_bad_row="quarantine", max_rejected=1.0)
GOOD = {"id": "good", "prompt": ["p"], "response_a": ["a"], "response_b": ["b"], "winner": "tie", "source": "mine"}
CSV_HEADER = b"id,prompt,response_a,response_b,winner,source\r\n"
CSV_GOOD = b'good,"[""p""]","[""a""]","[""b""]",tie,mine\r\n'


def line(**changes) -> bytes:
    return json.dumps(GOOD | {"id": "x"} | changes).encode() + b"\n"


def image() -> bytes:
    message = {"role": "user", "content": [{"type": "image", "text": None, "image": "x", "mimeType": None}]}
    return json.dumps({"id": "x", "winner": "tie", "conversation_a": [message], "conversation_b": [message]}).encode()


def roles() -> bytes:
    talk = [{"role": "user", "content": "p"}, {"role": "user", "content": "q"}]
    return json.dumps({"id": "x", "winner": "tie", "conversation_a": talk, "conversation_b": talk}).encode()


KAGGLE = b"id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
CONVERSATION = {"id": "good", "winner": "tie"}
CONVERSATION |= dict.fromkeys(
    ["conversation_a", "conversation_b"], [{"role": "user", "content": "p"}, {"role": "assistant", "content": "a"}]
)
TALK_GOOD = json.dumps(CONVERSATION).encode() + b"\n"
BAD = {  # code: name of the file, all before the bad record (with the good row), the bad record, its column
    "E_CSV": ("x.csv", CSV_HEADER + CSV_GOOD, b'x,"[]"x,[],[],tie,mine\n', ""),
    "E_RAGGED": ("x.csv", CSV_HEADER + CSV_GOOD, b"x,[],[]\n", ""),
    "E_JSON": ("x.csv", CSV_HEADER + CSV_GOOD, b"x,Is it?,[],[],tie,mine\n", "prompt"),
    "E_ENCODING": ("x.csv", CSV_HEADER + CSV_GOOD, b'x,"[""\xff""]",[],[],tie,mine\n', "prompt"),
    "E_TOO_LONG": ("x.csv", CSV_HEADER + CSV_GOOD, b"x," + b"y" * (2**24 + 1) + b",[],[],tie,mine\n", ""),
    "E_TYPE": ("x.jsonl", line(id="good"), line(response_a=[1]), "response_a"),
    "E_IMAGE": ("x.jsonl", TALK_GOOD, image() + b"\n", "conversation_a"),
    "E_ROLES": ("x.jsonl", TALK_GOOD, roles() + b"\n", "conversation_a"),
    "E_TURNS_MISMATCH": ("x.jsonl", line(id="good"), line(response_b=["b", "c"]), "response_b"),
    "E_EMPTY_ALL": ("x.jsonl", line(id="good"), line(prompt=[" "], response_a=[], response_b=[None]), "prompt"),
    "E_LABEL": ("x.jsonl", line(id="good"), line(winner="draw"), "winner"),
    "E_LABEL_SUM": ("x.csv", KAGGLE + b'good,"[""p""]",[],[],1,0,0\n', b'x,"[""p""]",[],[],1,0,1\n', "winner_*"),
    "E_DUP_ID": ("x.jsonl", line(id="good"), line(id="good"), "id"),
}
NOTED = {
    "W_NULL_TURN": line(response_a=[None]),
    "W_IDENTICAL_AB": line(response_a=["b"]),
    "W_JSON_TEXT": b'{"id": "x", "prompt": "[1]", "response_a": "[]", "response_b": "[\\"b\\"]", "winner": "tie"}\n',
    "W_SYSTEM": TALK_GOOD.replace(b'[{"role": "user"', b'[{"role": "system", "content": "s"}, {"role": "user"'),
    "W_CONFLICT": line(id="y", winner="model_a") + line(id="z", winner="model_b") + line(id="w", prompt=["q"]),
}


def read(folder, *contents: tuple[str, bytes], rules=QUARANTINE, **arguments):
    for name, content in contents:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return PairReader()([str(folder / name) for name, _ in contents], rules, **arguments)


def rejects_of(rows):
    return [json.loads(text) for text in rows.rejects.read_text().splitlines()] if rows.rejects else []


def ids(rows):
    return rows.metadata["id"].to_pylist()


def texts(rows, name):
    return [turns for batch in rows.texts() for turns in batch[name].to_pylist()]


def test_every_code_has_a_fixture():
    of_replies = {"E_EMPTY_REPLY", "W_EMPTY_PROMPT", "W_AFTER_REPLY", "W_OPENED"}  # test_reply_format.py
    assert set(BAD) | set(NOTED) | of_replies == set(CODES)


@pytest.mark.parametrize("code", BAD)
def test_a_bad_record_is_set_aside_with_its_cells(tmp_path, code):
    name, before, bad, column = BAD[code]
    after = before.splitlines(keepends=True)[-1].replace(b"good", b"last")
    rows = read(tmp_path, (name, before + bad + after))
    assert ids(rows) == ["good", "last"]
    account = rows.statistics
    assert (account.read, account.kept, account.rejected, account.merged) == (3, 2, 1, 0)
    assert account.codes == {code: 1}
    (entry,) = rejects_of(rows)
    assert (entry["file"], entry["row"], entry["code"], entry["column"]) == (name, 2, code, column)
    assert entry["record"] is None or str(entry["record"].get("id", "x")) in ("x", "good")
    assert entry["reason"]


@pytest.mark.parametrize("code", BAD)
def test_a_bad_record_ends_the_work_by_default(tmp_path, code):
    name, before, bad, column = BAD[code]
    where = f", column {column}" if column else ""
    with pytest.raises(DataError) as caught:
        read(tmp_path, (name, before + bad), rules=Ingest())
    assert str(caught.value).startswith(f"{tmp_path / name}: row 2{where}: ")
    assert str(caught.value).endswith(f"({code}); data.on_bad_row=quarantine sets such rows aside")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", NOTED)
def test_a_row_that_deserves_a_look_is_kept_and_counted(tmp_path, code):
    rows = read(tmp_path, ("x.jsonl", NOTED[code]))
    assert rows.statistics.rejected == 0
    assert rows.statistics.notes[code] == (2 if code == "W_CONFLICT" else 1)
    assert set(rows.statistics.notes) - {"W_IDENTICAL_AB"} == {code} - {"W_IDENTICAL_AB"}


def test_a_good_row_has_no_notes(tmp_path):
    rows = read(tmp_path, ("x.jsonl", line(prompt=["Ça va, Zoë? – «да» 例 naïve"])))
    assert rows.statistics.notes == {}


@pytest.mark.parametrize(("old", "new"), [(b"a", b"\\u0000"), (b"a", b"\\ud83d"), (b"a", b"\xff")])
def test_text_that_is_none_is_no_text(tmp_path, old, new):
    """NUL, half a surrogate pair, a byte that is not UTF-8; a whole pair is the character that it stands for."""
    bad = line(response_a=["a"]).replace(b'["a"]', b'["' + new + b'"]')
    rows = read(tmp_path, ("x.jsonl", line(id="1", prompt=["\ud83d\ude00"]) + bad))
    assert (texts(rows, "prompt"), rows.statistics.codes) == ([["\U0001f600"]], {"E_ENCODING": 1})


def test_too_many_rejects(tmp_path):
    content = line(id="1") + line(id="2") + line(id="3", winner="draw") + b"{\n"
    copy = tmp_path / "run" / "rejects.jsonl"
    with pytest.raises(DataError) as caught:
        read(tmp_path, ("x.jsonl", content), rules=Ingest(None, "quarantine", 0.49, str(copy)))
    assert "2 of 4 records cannot be used (E_JSON 25.00%, E_LABEL 25.00%)" in str(caught.value)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [json.loads(text)["row"] for text in copy.read_text().splitlines()] == [3, 4]
    assert read(tmp_path, ("x.jsonl", content), rules=Ingest(None, "quarantine", 0.5)).statistics.rejected == 2


def test_no_row_at_all(tmp_path):
    with pytest.raises(DataError, match=r"no rows \(1 records, none of which can be used: E_LABEL 1\)"):
        read(tmp_path, ("x.jsonl", line(winner="draw")))
    with pytest.raises(DataError, match="no rows; accepted"):
        read(tmp_path, ("x.csv", CSV_HEADER))


def test_the_same_id_in_two_files(tmp_path):
    same, other = line(id="7"), line(id="7", response_a=["other"])
    rows = read(tmp_path, ("a.jsonl", same), ("b.jsonl", other + line(id="8")), ("c.jsonl", other), ("d.jsonl", same))
    assert ids(rows) == ["7", "b.jsonl:7", "8"]
    assert (rows.statistics.read, rows.statistics.kept, rows.statistics.merged) == (5, 3, 2)
    assert read(tmp_path, ("a.jsonl", same), ("b.jsonl", line(id="7", weight=2))).statistics.merged == 0
    twice = read(tmp_path, ("a.jsonl", same), ("b.jsonl", same + other))
    assert (ids(twice), twice.statistics.merged, twice.statistics.codes) == (["7"], 1, {"E_DUP_ID": 1})


def test_files_of_one_name_stay_apart(tmp_path):
    rows = read(tmp_path, ("en/x.jsonl", line(id="7", source=None)), ("de/x.jsonl", line(id="7", winner=None)))
    assert ids(rows) == ["7", "de/x.jsonl:7"]
    assert rows.metadata["source"].to_pylist() == ["en/x.jsonl", "mine"]
    assert rows.statistics.formats == {"en/x.jsonl": "arena", "de/x.jsonl": "arena"}
    assert rows.statistics.notes == {}, "a row without a label contradicts nobody"


def test_an_open_quote_costs_the_lines_up_to_where_it_shows(tmp_path):
    """Each of them is a record that is set aside, with the id that its line begins with."""
    rest = b"".join(CSV_GOOD.replace(b"good", b"%d" % i) for i in range(5))
    rows = read(tmp_path, ("x.csv", CSV_HEADER + b'x,"[""p""],[],[],tie,mine\r\n' + rest))
    assert ids(rows) == ["1", "2", "3", "4"]
    assert rows.statistics.codes == {"E_CSV": 2}
    assert [(entry["row"], entry["record"]["id"]) for entry in rejects_of(rows)] == [(1, "x"), (2, "0")]


def test_a_quote_that_nothing_closes_hides_no_line_from_the_account(tmp_path):
    rows = read(tmp_path, ("x.csv", CSV_HEADER + CSV_GOOD + b'x,"[\n' + b"y,a,b,c,d,e\n" * 3))
    assert ids(rows) == ["good"]
    assert rows.statistics.codes == {"E_CSV": 4}
    rows = read(tmp_path, ("y.csv", CSV_HEADER + CSV_GOOD + b'x,"[""p"'))
    assert [entry["record"]["id"] for entry in rejects_of(rows)] == ["x"]


def test_long_cells(tmp_path):
    """10 MB are kept; a cell that never ends is too long and does not hide what follows."""
    long = "x" * 10_000_000
    rows = read(tmp_path, ("x.csv", CSV_HEADER + CSV_GOOD.replace(b"a", long.encode())))
    assert texts(rows, "response_a") == [[long]]
    lines = b"y" * 2**20 + b"\n"
    content = CSV_HEADER + b'x,"' + lines * 17 + CSV_GOOD
    before = csv.field_size_limit()
    rows = read(tmp_path, ("x.csv", content))
    assert csv.field_size_limit() == before
    assert ids(rows) == ["good"]
    assert rows.statistics.codes == {"E_RAGGED": 1, "E_TOO_LONG": 16}


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="line 2 has 1000 characters or more"):
        read(tmp_path, ("x.jsonl", line(id="1") + line(prompt=["x" * 1000])))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_marks_and_empty_lines(tmp_path, end, mark):
    header, good = CSV_HEADER.strip(), CSV_GOOD.strip()
    inside = good.replace(b"good", b'"go' + end + b'od"')
    rows = read(tmp_path, ("x.csv", mark + end.join([header, b"", good, b"", inside, b"", b""])))
    assert ids(rows) == ["good", "go" + end.decode() + "od"]
    rows = read(tmp_path, ("x.jsonl", mark + end.join([line(id="1").strip(), b" ", line(id="2").strip()])))
    assert ids(rows) == ["1", "2"]
    assert rows.statistics.read == 2


def test_the_first_object_may_come_late(tmp_path):
    rows = read(tmp_path, ("x.jsonl", b"[1]\n{\n" + line(id="1") + b'{"id": 1, "id": 2}\n' + b'"x"'))
    assert ids(rows) == ["1"]
    assert [entry["row"] for entry in rejects_of(rows)] == [1, 2, 4, 5]
    assert "'id' occurs twice" in rejects_of(rows)[2]["reason"]


def test_parquet_rows_that_are_no_text(tmp_path):
    """Parquet files may hold any bytes in a column of text; their own row is the only one that suffers."""
    texts = [b"good", b"b\xff", b"last"]
    strings = pa.Array.from_buffers(pa.string(), 3, pa.array(texts, pa.binary()).buffers())
    columns = {"id": ["1", "2", "3"], "prompt": strings, "response_a": ["a"] * 3, "response_b": ["b"] * 3}
    pq.write_table(pa.table(columns | {"winner": ["tie"] * 3, "extra": [1, 2, 3]}), tmp_path / "x.parquet")
    rows = PairReader()(str(tmp_path / "x.parquet"), QUARANTINE)
    assert ids(rows) == ["1", "3"]
    (entry,) = rejects_of(rows)
    assert (entry["row"], entry["code"], entry["column"]) == (2, "E_ENCODING", "prompt")
    assert entry["record"] == {"id": "2", "response_a": "a", "response_b": "b", "winner": "tie"}


def test_what_was_read_is_kept_until_a_file_changes(tmp_path, caplog):
    cache, source = tmp_path / "cache", tmp_path / "x.jsonl"
    source.write_bytes(line(id="1") + line(id="2", winner="draw"))
    first = PairReader()(str(source), QUARANTINE, cache)
    (folder,) = cache.glob("rows-*")
    before = (folder / "texts.arrow").stat().st_mtime_ns
    again = PairReader()(str(source), QUARANTINE, cache)
    assert again.fingerprint == first.fingerprint
    assert (folder / "texts.arrow").stat().st_mtime_ns == before
    assert again.statistics == first.statistics
    assert rejects_of(again) == rejects_of(first)
    source.write_bytes(line(id="1") + line(id="3"))
    assert ids(PairReader()(str(source), QUARANTINE, cache)) == ["1", "3"]
    assert len(list(cache.glob("rows-*"))) == 2


def test_nothing_is_kept_of_a_file_that_fails(tmp_path):
    source = tmp_path / "x.jsonl"
    source.write_bytes(line(id="1", winner="draw"))
    with pytest.raises(DataError, match=r"1 of 1 records cannot be used .*; they are in .*rejects-"):
        PairReader()(str(source), Ingest(on_bad_row="quarantine"), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("rows-*"))
    (rejects,) = (tmp_path / "cache").glob("rejects-*.jsonl")
    assert json.loads(rejects.read_text())["code"] == "E_LABEL"


def test_gzip(tmp_path):
    rows = read(
        tmp_path,
        ("x.jsonl.gz", gzip.compress(line(id="1") + b"{\n")),
        ("y.csv.gz", gzip.compress(CSV_HEADER + CSV_GOOD)),
    )
    assert ids(rows) == ["1", "good"]
    assert rows.statistics.codes == {"E_JSON": 1}
