"""Files of records: csv, tsv, jsonl (each may end in .gz) and parquet, one `Record` at a time, good or broken.

The standard library's `csv` and `json` only, because every faster reader guesses: pandas turns the answers "null", "NA"
and "" into missing values, pyarrow turns a column of quoted digits into numbers. A broken record never hides the
records behind it, and its bytes can be had back.
"""

import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from arena.core.errors import DataError, InputOutputError
from arena.data.source import parquet
from arena.data.source.cells import LONGEST_CELL, RowError, not_utf8, without_bad_bytes

Row = dict[str, Any]
KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
LONGEST_LINE = 2**27
"""Characters. A longer line is no row, and reading it whole could fill the memory."""
LONGEST_RECORD = 2**26
"""Characters of one csv record on all its lines: where an open quote is no longer followed."""


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        number: of the record in its file, from 1; empty lines are not counted.
        row: its cells by column. None where the file's own syntax is broken. Where bytes are not UTF-8, `error` says
            so and U+FFFD stands for them here.
        error: why the record as it stands is no row.
        raw: gives its bytes as they are in the file; a parquet row as JSON.
    """

    number: int
    row: Row | None
    error: RowError | None
    raw: Callable[[], bytes]


def kind_of(path: Path) -> str | None:
    """Which of `KINDS` the ending of a name announces, if any."""
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return kind if kind in KINDS and not (kind == ".parquet" and path.suffix == ".gz") else None


def read_columns(path: Path) -> list[str]:
    """The names of the columns: of the header, of the first JSON object, or of the parquet schema.

    Raises:
        InputOutputError: no such file.
        DataError: the kind of the file is unknown, it is empty, or it is damaged.
    """
    if not path.exists():
        raise InputOutputError(f"{path}: no such file; give data.path=<file>")
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"{path}: unknown kind of file; accepted: .csv, .tsv, .jsonl (each may end in .gz), .parquet")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    readers = {".csv": _csv_columns, ".tsv": _csv_columns, ".jsonl": _jsonl_columns, ".parquet": parquet.columns}
    return readers[kind](path)


def read_records(path: Path, wanted: Collection[str] | None = None) -> Iterator[Record]:
    """The records of a file that `read_columns` accepts, in order.

    Args:
        path: the file.
        wanted: columns to read where the file is parquet; all by default.

    Raises:
        DataError: the file is damaged so that nothing behind the damage can be read.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        return _parquet_records(path, wanted)
    return _csv_records(path) if kind in (".csv", ".tsv") else _jsonl_records(path)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their line ends as they are; bytes that are not UTF-8 become U+DC80..U+DCFF."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        # csv needs the line ends inside quoted cells untouched: newline="". A byte order mark is no part of a name, but
        # the encoding utf-8-sig swallows half a mark too.
        with opener(path, "rt", encoding="utf-8", errors="surrogateescape", newline="") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise DataError(f"{path}: line {number} has {LONGEST_LINE} characters or more; that is no row")
                yield line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from error


def _bytes(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _is_utf8(text: str) -> bool:
    """Whether no byte of the text had to be escaped."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _CsvLines:
    """The lines that `csv.reader` asks for, which remembers those of the current record and can give them once more."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.again: deque[str] = deque()
        self.record: list[str] = []
        self.number = 0  # of the last line given out
        self.fresh = 0  # cost of all lines read from the file, and of those read more than once
        self.repeated = 0
        self._characters = 0

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        if self.again:
            line = self.again.popleft()
        else:
            line = next(self.lines)
            self.fresh += len(line) + 32
        self.number += 1
        self.record.append(line)
        self._characters += len(line)
        if self._characters > LONGEST_RECORD:
            raise RowError("E_TOO_LONG", "", f"the record that begins here has more than {LONGEST_RECORD} characters")
        return line

    def begin(self) -> None:
        """The next line begins a record."""
        self.record = []
        self._characters = 0

    def retry(self) -> list[str]:
        """Go back behind the first line of the record. Returns the lines that are given up instead, if any.

        Lines can be made so that each opens a quote that runs to the end of the file. Following them all would take
        time that is quadratic in the file, so re-reading has a budget.
        """
        rest = self.record[1:]
        self.repeated += sum(map(len, rest)) + 32 * len(rest)
        if self.repeated > 16 * self.fresh + 2**22:
            return rest
        self.again.extendleft(reversed(rest))
        self.number -= len(rest)
        return []


def _next_cells(cells: Iterator[list[str]]) -> list[str] | None:
    """The cells of the next record, under arena's own limit, which is the whole process's while it holds."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        return next(cells, None)
    finally:
        csv.field_size_limit(limit)


def delimiter_of(path: Path) -> str:
    """What separates the cells of a csv or tsv file."""
    return "\t" if kind_of(path) == ".tsv" else ","


def _csv_columns(path: Path) -> list[str]:
    lines = _lines(path)
    try:
        columns = _next_cells(csv.reader(lines, strict=True, delimiter=delimiter_of(path))) or []
    except csv.Error as error:
        raise DataError(f"{path}: the header is not csv: {error}") from error
    finally:
        lines.close()  # pyright: ignore[reportAttributeAccessIssue]
    if not all(map(_is_utf8, columns)):
        raise DataError(f"{path}: the header is not UTF-8; convert the file first")
    return columns


def _csv_records(path: Path) -> Iterator[Record]:
    """After a broken record reading goes on with the line behind its first, so an open quote costs one line."""
    lines = _CsvLines(_lines(path))
    cells = csv.reader(lines, strict=True, delimiter=delimiter_of(path))
    columns = _next_cells(cells) or []
    number = 0
    while True:
        lines.begin()
        first = lines.number + 1
        try:
            row = _next_cells(cells)
        except (csv.Error, RowError) as error:
            number += 1
            yield Record(number, None, _csv_error(error, first), partial(_bytes, lines.record[:1]))
            for line in lines.retry():
                number += 1
                given_up = RowError("E_CSV", "", "the line lies behind too many open quotes to look for rows in it")
                yield Record(number, None, given_up, partial(_bytes, [line]))
            continue
        if row is None:
            return
        if not row:
            continue  # an empty line, which holds no cell
        number += 1
        raw = partial(_bytes, lines.record)
        if len(row) != len(columns):
            reason = (
                f"it ends in line {lines.number} and has {len(row)} cells, the header has {len(columns)}; "
                "quote cells that contain commas or line breaks"
            )
            yield Record(number, None, RowError("E_RAGGED", "", reason), raw)
            continue
        bad = next((name for name, cell in zip(columns, row, strict=True) if not _is_utf8(cell)), None)
        if bad is None:
            yield Record(number, dict(zip(columns, row, strict=True)), None, raw)
        else:
            clean = {name: without_bad_bytes(cell) for name, cell in zip(columns, row, strict=True)}
            yield Record(number, clean, not_utf8(bad), raw)


def _csv_error(error: csv.Error | RowError, line: int) -> RowError:
    if isinstance(error, RowError):
        return RowError(error.code, "", f"line {line}: {error.reason}")
    if "field larger" in str(error):
        return RowError("E_TOO_LONG", "", f"line {line} begins a cell of more than {LONGEST_CELL} characters")
    return RowError("E_CSV", "", f"line {line} is not csv: {error}")


def _jsonl_columns(path: Path) -> list[str]:
    """The keys of the first object; a key that a later object lacks counts as null."""
    first_error = None
    records = _jsonl_records(path)
    for record in records:
        if record.row is not None:
            records.close()  # pyright: ignore[reportAttributeAccessIssue]
            return list(record.row)
        first_error = first_error or record.error
    if first_error is not None:
        raise DataError(f"{path}: row 1: {first_error.reason}; no line of the file is a JSON object")
    return []


def _jsonl_records(path: Path) -> Iterator[Record]:
    number = 0
    for line in _lines(path):
        if not line.strip(" \t\r\n"):
            continue
        number += 1
        raw = partial(_bytes, [line])
        error = None
        if not _is_utf8(line):
            line, error = without_bad_bytes(line), not_utf8("")
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as problem:
            yield Record(number, None, error or RowError("E_JSON", "", f"it is not JSON: {problem}"), raw)
            continue
        if not isinstance(row, dict):
            reason = "it is not a JSON object; each line must be one {...}"
            yield Record(number, None, error or RowError("E_JSON", "", reason), raw)
            continue
        yield Record(number, row, error, raw)


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object; of two values of one key Python would silently keep the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!a} occurs twice")
    return found


def _parquet_records(path: Path, wanted: Collection[str] | None) -> Iterator[Record]:
    for number, (row, error) in enumerate(parquet.rows(path, wanted), start=1):
        yield Record(number, row, error, partial(_as_json, row))


def _as_json(row: Row) -> bytes:
    return json.dumps(row, default=repr).encode()
