"""Whatever the bytes: one `ArenaError`, or rows and rejects that account for every record, and texts as they stand."""

import csv
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arena.core.errors import ArenaError
from arena.data.source.files import LONGEST_CELL, read_columns, read_records
from arena.data.source.ingest import Ingest
from arena.data.source.pairs import PairReader

RULES = Ingest(on_bad_row="quarantine", max_rejected=1.0)
HEADER = b"id,prompt,response_a,response_b\n"
GOOD = b'1,"[""p"",null]","[""a"",""\xc3\xbc""]",[]\n'
OBJECT = b'{"id": "1", "prompt": ["p"], "response_a": ["\\u00fc"], "response_b": [null], "source": "s"}\n'
PIECES = [
    b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\\u0000", b"\\ud83d", b"\\ude00", b"\xff", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"x", b"\xe4\xbd\xa0", b'2,"[""q""]",[],[]', b"[", b"]", b"{", b"}", b"null", b":", b" ",
    b'",x","\n', b"\xe2\x80\xae", b"\x85", b"\x0c",
]  # fmt: skip
LINE = re.compile("[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
some_bytes = st.one_of(
    st.binary(max_size=200), st.lists(st.sampled_from([*PIECES, GOOD, OBJECT]), max_size=40).map(b"".join)
)
quick = settings(max_examples=60, deadline=None)


def lines_of(data: bytes) -> list[str]:
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return LINE.findall(text)


def csv_records(data: bytes) -> list[dict[str, str] | None]:
    """The plain reading of what `read_records` promises: each record anew from a list of lines. None for every line of
    a broken one."""
    lines, columns, found = lines_of(data), None, []
    while lines:
        rest = iter(lines)
        try:
            cells = next(csv.reader(rest, strict=True))
        except csv.Error:
            left = list(rest)
            found += [None] * (len(lines) - len(left))
            lines = left
            continue
        lines = list(rest)
        if columns is None:
            columns = cells
        elif cells:
            fits = len(cells) == len(columns)
            found.append(dict(zip(columns, cells, strict=True)) if fits else None)
    return found


def json_records(data: bytes) -> list[dict | None]:
    found = []
    for line in lines_of(data):
        if line.strip(" \t\r\n"):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            found.append(row if isinstance(row, dict) else None)
    return found


def check_records(data: bytes, name: str, expected) -> None:
    """Each record as an independent reading finds it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            read_columns(path)
        except ArenaError:
            return
        limit = csv.field_size_limit()
        records = list(read_records(path))
        assert csv.field_size_limit() == limit
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert [record.row if record.error is None else None for record in records] == expected


@quick
@given(some_bytes)
@example(b'x,"[""p""],[],[]\n' + GOOD * 3)
@example(b'"')
@example(b"\r1,\r\n2,[],[],[]")
def test_csv_records(data):
    data = HEADER + data
    check_records(data, "x.csv", csv_records(data))


@quick
@given(some_bytes)
@example(b'{"a": "\\ud83d"}\n{"a": "\xff"}\n{}')
@example(b"\xef\xbb\xbf" + OBJECT)
@example(b"\xef\xbb")
def test_jsonl_records(data):
    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        for line in lines_of(data):
            json.loads(line, object_pairs_hook=once)
    except AssertionError:
        return  # a key that occurs twice is tested by hand
    except ValueError:
        pass  # lines that are no JSON are what this is about
    check_records(data, "x.jsonl", json_records(data))


def turns(cell):
    return json.loads(cell) if isinstance(cell, str) else cell


def check_rows(data: bytes, name: str, expected) -> None:
    """Kept rows say what an independent reading says, and rejects hold their bytes; each record is one of the two."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            rows = PairReader(layout="arena")(str(path), RULES)
        except ArenaError:
            return
        account = rows.statistics
        rejects = [json.loads(line) for line in rows.rejects.read_text().splitlines()] if rows.rejects else []
    assert account.read == account.kept + account.rejected == len(expected)
    assert (account.kept, account.rejected, account.merged) == (rows.num_rows, len(rejects), 0)
    assert sum(account.codes.values()) == account.rejected
    rejected = {entry["row"] for entry in rejects}
    kept = [row for number, row in enumerate(expected, start=1) if number not in rejected]
    assert rows.metadata["id"].to_pylist() == [str(row["id"]) for row in kept]
    found = [row for batch in rows.texts() for row in batch.to_pylist()]
    assert found == [{key: turns(row[key]) for key in ("prompt", "response_a", "response_b")} for row in kept]


@quick
@given(some_bytes)
@example(GOOD + b'2,"[""\\u0000""]",[],[]\n3,"[""\\ud83d""]",[],[]\n' + GOOD)
def test_csv_rows(data):
    data = HEADER + GOOD + data
    check_rows(data, "x.csv", csv_records(data))


@quick
@given(some_bytes)
@example(OBJECT.replace(b'"1"', b'"2"') * 2 + b'{"id": 3}\n[]\n"x')
def test_jsonl_rows(data):
    data = OBJECT + data
    check_rows(data, "x.jsonl", json_records(data))


@quick
@given(st.binary(max_size=300), st.sampled_from(["x.csv", "x.jsonl", "x.csv.gz", "x.jsonl.gz", "x.parquet"]))
def test_any_bytes_in_any_file(data, name):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        with pytest.raises(ArenaError) as caught:
            PairReader()(str(Path(folder) / name), RULES)
    assert "\n" not in str(caught.value)


@quick
@given(st.lists(st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=1, max_size=3), min_size=1, max_size=5))
def test_what_csv_and_json_write_is_read_back(rows):
    """Any text that Python can write; only rows with NUL or half a pair are set aside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            cells = [[i, json.dumps(turns), json.dumps(turns), json.dumps([])] for i, turns in enumerate(rows)]
            csv.writer(file).writerows(
                [["id", "prompt", "response_a", "response_b"], [-1, '["p"]', "[]", "[]"], *cells]
            )
        found = PairReader()(str(path), RULES)
    texts = [row["prompt"] for batch in found.texts() for row in batch.to_pylist()]
    kept = [
        row for row in rows if any((turn or "").strip() for turn in row) and not any("\0" in (t or "") for t in row)
    ]
    assert texts[1:] == kept


def test_a_cell_of_ten_megabytes(tmp_path):
    assert LONGEST_CELL > 10_000_000
    data = HEADER + GOOD.replace(b"p", b"p" * 10_000_000) + GOOD.replace(b"1,", b"2,", 1)
    check_rows(data, "x.csv", [*csv_records_without_limit(data)])


def csv_records_without_limit(data: bytes):
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        return csv_records(data)
    finally:
        csv.field_size_limit(limit)
