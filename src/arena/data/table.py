"""Questions that one asks of a table of comparisons (`arena.data.pairs.SCHEMA`), answered as arrays."""

import hashlib
import io
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arena.data.pairs import WINNERS
from arena.data.split import group_key
from arena.errors import DataError, UsageError
from arena.types import UNLABELLED


def fingerprint(table: pa.Table, path: str | None) -> str:
    """BLAKE2b of the file's bytes, or of the table where it came from no file; 32 hexadecimal digits."""
    if path is not None and Path(path).expanduser().is_file():
        with open(Path(path).expanduser(), "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.blake2b(stream.getbuffer(), digest_size=16).hexdigest()


def check_labels(labels: list[str]) -> list[str]:
    """The class names, if they are two or three different ones of `WINNERS`; otherwise a `UsageError`."""
    labels = list(labels)
    if not set(labels) <= set(WINNERS) or len(set(labels)) != len(labels) or len(labels) < 2:
        raise UsageError(f"data.labels={labels}: two or three of {', '.join(WINNERS)} are needed, each once")
    return labels


def class_indices(table: pa.Table, labels: list[str]) -> np.ndarray:
    """The index of each row's winner in `labels`, `UNLABELLED` where there is none or another one; `[R]` int64."""
    index = pc.index_in(table["winner"], pa.array(labels)).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    return np.where(np.isnan(index.astype(np.float64)), UNLABELLED, index).astype(np.int64)


def select_rows(
    table: pa.Table, labels: list[str], limit: int | None, on_tie: Literal["error", "drop"]
) -> tuple[pa.Table, dict[str, int]]:
    """The rows that a model with these classes can learn from, and how many others there were, by reason.

    Raises:
        DataError: there are ties, but no class for them; or no row is left.
    """
    dropped = {"limit": max(0, table.num_rows - (limit or table.num_rows)), "unlabelled": 0, "tie": 0}
    table = table.slice(0, limit)
    dropped["unlabelled"] = table["winner"].null_count
    table = table.filter(pc.is_valid(table["winner"]))  # pyright: ignore[reportAttributeAccessIssue]
    known = class_indices(table, labels) != UNLABELLED
    others = sorted(set(table.filter(pa.array(~known))["winner"].to_pylist()))
    if others == ["tie"] and on_tie == "drop":
        dropped["tie"] = int((~known).sum())
        table = table.filter(pa.array(known))
    elif others:
        drop = " or leave them out (data.on_tie=drop)" if others == ["tie"] else ""
        raise DataError(
            f"{(~known).sum()} of {table.num_rows} rows have the winner {', '.join(others)}, which is not in "
            f"data.labels={labels}; add it{drop}"
        )
    if table.num_rows == 0:
        raise DataError(f"no row has a winner among {', '.join(labels)}: there is nothing to learn from ({dropped})")
    return table, {reason: rows for reason, rows in dropped.items() if rows}


def swapped(table: pa.Table) -> pa.Table:
    """The same rows with A and B exchanged: answers, models, and the winner's name. Ties stay ties."""
    other = {"model_a": "model_b", "model_b": "model_a", "response_a": "response_b", "response_b": "response_a"}
    winner = pa.array([other.get(name, name) for name in table["winner"].to_pylist()], pa.string())
    columns = [winner if name == "winner" else table[other.get(name, name)] for name in table.column_names]
    return pa.table(dict(zip(table.column_names, columns, strict=True)), schema=table.schema)


def group_keys(table: pa.Table) -> list[str]:
    """The group of each row, by its first user turn."""
    return [group_key(turns[0] if turns else None) for turns in table["prompt"].to_pylist()]


def characters(table: pa.Table, column: str) -> np.ndarray:
    """Characters in all turns of each row, `[R]` int64; missing turns have none."""
    lists = table[column].combine_chunks()
    counts = pc.fill_null(pc.utf8_length(pc.list_flatten(lists)), 0)  # pyright: ignore[reportAttributeAccessIssue]
    parents = pc.list_parent_indices(lists)  # pyright: ignore[reportAttributeAccessIssue]
    return np.bincount(parents.to_numpy(), weights=counts.to_numpy(), minlength=table.num_rows).astype(np.int64)


def turns(table: pa.Table) -> np.ndarray:
    """User turns of each row, `[R]` int64."""
    return pc.list_value_length(table["prompt"]).to_numpy().astype(np.int64)  # pyright: ignore


def covariates(table: pa.Table, rows: np.ndarray, tokens: np.ndarray) -> pa.Table:
    """What is known of some rows besides their text and outcome.

    Args:
        table: with the column `group`.
        rows: positions in the table, `[M]`; they become the column `row`.
        tokens: tokens of each row of the table as the model sees it, `[R]`.
    """
    chosen = table.take(pa.array(rows))
    known = {name: chosen[name] for name in ("id", "group", "model_a", "model_b", "language", "source")}
    sizes = {f"{name}_characters": characters(chosen, name) for name in ("prompt", "response_a", "response_b")}
    return pa.table({"row": rows, **known, **sizes, "turns": turns(chosen), "tokens": tokens[rows]})
