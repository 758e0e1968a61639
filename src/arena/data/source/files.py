"""Files of records: csv, tsv, jsonl (each may end in .gz) and parquet, one `Record` at a time, good or broken.

The standard library's `csv` and `json`, because faster readers guess: pandas turns the answers "null", "NA" and "" into
missing values, and pyarrow joins what an open quote swallowed to one cell without an error (docs/adr/0082).
"""

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from arena.core.errors import DataError, InputOutputError
from arena.data.source.codes import LONGEST_CELL, RowError

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
LONGEST_LINE = 2**27
"""Characters. A longer line is no row, and reading it whole could fill the memory."""
PARQUET_ROWS = 256
"""Rows of a parquet file that are Python objects at the same time."""


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        number: of the record in its file, from 1; empty lines are not counted.
        row: its cells by column, or those that can be told where the record is broken; None where there are none.
        error: why the record is no row.
    """

    number: int
    row: dict[str, Any] | None
    error: RowError | None = None


def kind_of(path: Path) -> str | None:
    """The one of `KINDS` that the ending of a name announces, if any."""
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
    if kind == ".parquet":
        try:
            return pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error
    return _jsonl_columns(path) if kind == ".jsonl" else _csv_columns(path)


def read_records(path: Path, wanted: Collection[str] | None = None) -> Iterator[Record]:
    """The records of a file that `read_columns` accepts, in order.

    Args:
        path: the file.
        wanted: columns to read where the file is parquet; all by default.

    Raises:
        DataError: the file is damaged so that nothing after the damage can be read.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        return _parquet_records(path, wanted)
    return _jsonl_records(path) if kind == ".jsonl" else _csv_records(path)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their line ends as they are; bytes that are not UTF-8 become U+DC80..U+DCFF."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        # csv needs the line ends inside quoted cells untouched: newline="". A byte order mark is no part of a name, but
        # the encoding utf-8-sig swallows half a mark too.
        with opener(path, "rt", encoding="utf-8", errors="surrogateescape", newline="") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), start=1):
                if len(line) == LONGEST_LINE:
                    raise DataError(f"{path}: line {number} has {LONGEST_LINE} characters or more; that is no row")
                yield line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from error


def _delimiter(path: Path) -> str:
    return "\t" if kind_of(path) == ".tsv" else ","


def _csv_columns(path: Path) -> list[str]:
    try:
        columns = next(csv.reader(_lines(path), strict=True, delimiter=_delimiter(path)), [])
        "".join(columns).encode()
    except csv.Error as error:
        raise DataError(f"{path}: the header is not csv: {error}") from error
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: the header is not UTF-8; convert the file first") from error
    return columns


def _csv_records(path: Path) -> Iterator[Record]:
    """Every line that was read before a record turned out to be broken counts as a broken record of its own."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in _lines(path):
            taken.append(line)
            yield line

    limit = csv.field_size_limit(LONGEST_CELL)  # of the whole process, while this file is read
    try:
        reader = csv.reader(lines(), strict=True, delimiter=_delimiter(path))
        columns = next(reader, [])
        number = 0
        while True:
            taken.clear()
            try:
                row = next(reader, None)
            except csv.Error as error:
                code = "E_TOO_LONG" if "field larger" in str(error) else "E_CSV"
                first = reader.line_num - len(taken)
                for place, line in enumerate(taken, start=1):
                    number += 1
                    cells = next(csv.reader([line[:1000]], delimiter=_delimiter(path)), [])
                    reason = f"line {first + place} is not csv: {error}"
                    yield Record(number, dict(zip(columns, cells, strict=False)), RowError(code, "", reason))
                continue
            if row is None:
                return
            if row:  # an empty line holds no cell
                number += 1
                ragged = None if len(row) == len(columns) else _ragged(reader.line_num, row, columns)
                yield Record(number, dict(zip(columns, row, strict=False)), ragged)
    finally:
        csv.field_size_limit(limit)


def _ragged(line: int, row: list[str], columns: list[str]) -> RowError:
    reason = f"it ends in line {line} and has {len(row)} cells, the header has {len(columns)}"
    return RowError("E_RAGGED", "", f"{reason}; quote cells that contain commas or line breaks")


def _jsonl_columns(path: Path) -> list[str]:
    """The keys of the first object; a key that a later object lacks counts as null."""
    reason = None
    for record in _jsonl_records(path):
        if record.row is not None:
            return list(record.row)
        reason = reason or (record.error and record.error.reason)
    if reason is not None:
        raise DataError(f"{path}: row 1: {reason}; no line of the file is a JSON object")
    return []


def _jsonl_records(path: Path) -> Iterator[Record]:
    number = 0
    for line in _lines(path):
        if not line.strip(" \t\r\n"):
            continue
        number += 1
        reason = "it is not a JSON object; each line must be one {...}"
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            row, reason = None, f"it is not JSON: {error}"
        is_object = isinstance(row, dict)
        yield Record(number, row, None) if is_object else Record(number, None, RowError("E_JSON", "", reason))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two values of one key Python would silently keep the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!a} occurs twice")
    return found


def _parquet_records(path: Path, wanted: Collection[str] | None) -> Iterator[Record]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
            for batch in file.iter_batches(PARQUET_ROWS, columns=names):
                try:
                    records = [(row, None) for row in batch.to_pylist()]
                except (ValueError, OverflowError):  # bytes that are no text, or a date that Python does not know
                    records = [_one_by_one(batch, index) for index in range(batch.num_rows)]
                for row, error in records:
                    number += 1
                    yield Record(number, row, error)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _one_by_one(batch: pa.RecordBatch, index: int) -> tuple[dict[str, Any], RowError | None]:
    """The cells of a row that can be read, and why the first of the others cannot."""
    row, error = {}, None
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[index].as_py()
        except (ValueError, OverflowError) as problem:
            error = error or RowError("E_ENCODING", name, f"it cannot be read ({problem})")
    return row, error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a parquet file that can be read ({str(error).splitlines()[0]})")
