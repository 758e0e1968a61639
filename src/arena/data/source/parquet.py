"""Rows of parquet files as Python objects."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arena.core.errors import DataError
from arena.data.source.cells import RowError, not_utf8

Row = dict[str, Any]
ROWS_AT_ONCE = 256
"""Rows that are Python objects at the same time."""


def columns(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        DataError: this is no parquet file.
    """
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def rows(path: Path, wanted: Collection[str] | None = None) -> Iterator[tuple[Row, RowError | None]]:
    """Each row, only its `wanted` columns (all by default), and what is wrong with its bytes.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=names):
                try:
                    whole: list[Row] = batch.to_pylist()
                except (ValueError, OverflowError):  # bytes that are no text, or a date that Python does not know
                    yield from (_one_by_one(batch, index) for index in range(batch.num_rows))
                else:
                    yield from ((row, None) for row in whole)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _one_by_one(batch: pa.RecordBatch, index: int) -> tuple[Row, RowError | None]:
    """One row of a batch that cannot be turned into Python objects as a whole."""
    row, error = {}, None
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[index].as_py()
        except (ValueError, OverflowError):
            row[name] = _decoded(column[index])
            error = error or not_utf8(name)
    return row, error


def _decoded(scalar: Any) -> Any:
    """A value whose bytes are not all text; U+FFFD stands for the others."""
    if scalar.is_valid and pa.types.is_struct(scalar.type):
        return {name: _decoded(value) for name, value in scalar.items()}
    if scalar.is_valid and pa.types.is_nested(scalar.type):
        return [_decoded(value) for value in scalar.values]
    if scalar.is_valid and hasattr(scalar, "as_buffer"):
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace")
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a parquet file that can be read ({str(error).splitlines()[0]})")
