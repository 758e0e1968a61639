"""Files of rows: each reader yields the list of the column names first and then one dictionary a row.

The standard library's `csv` and `json` only, because every faster reader guesses: pandas turns the answers "null", "NA"
and "" into missing values, pyarrow turns a column of quoted digits into numbers.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arena.errors import DataError, InputOutputError
from arena.hub import reachable

Row = dict[str, Any]
LONGEST_CELL = 2**27
"""Characters in one csv cell; Python's own limit of 131,072 is shorter than real answers."""
ROWS_AT_ONCE = 4096


def download(repo: str, file: str) -> Path:
    """The file of a hub data set: from the local cache, otherwise from the hub if it answers within seconds."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    known = try_to_load_from_cache(repo, file, repo_type="dataset")
    if isinstance(known, str):
        return Path(known)
    advice = f"download {file} and give data.path=<file>"
    if not reachable():
        raise InputOutputError(f"data set {repo}: the hub cannot be reached; {advice}")
    try:
        return Path(hf_hub_download(repo, file, repo_type="dataset"))
    except Exception as error:  # the client raises many unrelated types; each means the same to the reader
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputOutputError(f"data set {repo}: the hub refused ({reason}); {advice}") from error


def open_rows(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Column names and raw rows of a file, by the ending of its name."""
    readers: dict[str, Callable[[Path], Iterator[Any]]] = {
        ".csv": read_csv,
        ".jsonl": read_jsonl,
        ".parquet": read_parquet,
    }
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if not path.exists():
        raise InputOutputError(f"{path}: no such file; give data.path=<file>")
    if path.is_dir():
        raise InputOutputError(f"{path}: a folder; give one file in it as data.path=<file>")
    if kind not in readers:
        raise DataError(f"{path}: unknown kind of file; accepted: .csv, .csv.gz, .jsonl, .jsonl.gz, .parquet")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    rows = readers[kind](path)
    return next(rows), rows


def read_text(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, unpacked if its name ends in .gz, with their line ends as they are."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        # csv needs the line ends inside quoted cells untouched: newline="". A byte order mark is no part of a name.
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert it first") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from error


def read_csv(path: Path) -> Iterator[Any]:
    """Cells of a comma-separated file as they stand, all of them strings."""
    limit = csv.field_size_limit(LONGEST_CELL)
    cells = csv.reader(read_text(path), strict=True)
    number = 0
    try:
        columns = next(cells, [])
        yield columns
        for row in cells:
            if not row:
                continue  # an empty line, which holds no cell
            number += 1
            if len(row) != len(columns):
                raise DataError(
                    f"{path}: row {number} (it ends in line {cells.line_num}) has {len(row)} cells, the header has "
                    f"{len(columns)}; quote cells that contain commas or line breaks"
                )
            yield dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1} (line {cells.line_num}) is not csv: {error}") from error
    finally:
        csv.field_size_limit(limit)


def read_jsonl(path: Path) -> Iterator[Any]:
    """One JSON object a line. The first object names the columns; a key that a later one lacks counts as null."""
    number = 0
    for line in read_text(path):
        if not line.strip():
            continue
        number += 1
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: row {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is not a JSON object; each line must be one {{...}}")
        if number == 1:
            yield list(row)
        yield row
    if number == 0:
        yield []


def read_parquet(path: Path) -> Iterator[Any]:
    """Rows of a parquet file as Python objects."""
    try:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow.names
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a parquet file that can be read ({str(error).splitlines()[0]})") from error
