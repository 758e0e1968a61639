"""The rows of a data set: metadata in memory, texts on disk, streamed when needed.

A folder of two Arrow files holds them: `metadata.arrow` (everything short) is loaded, `texts.arrow` is read a batch at
a time, so memory does not grow with the length of the texts.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arena.data.source.examples import PAIR, Example

ROWS_AT_ONCE = 1024


@dataclass
class IngestStatistics:
    """Where the rows of the files went: `read = kept + rejected + merged`.

    Attributes:
        read: records found in the files.
        kept: rows that can be used.
        rejected: records set aside in `rejects.jsonl`.
        merged: rows that repeat a row of another file (same id, same content).
        codes: rejected records by reason code.
        notes: kept rows that deserve a look, by code (W_...).
        formats: format of each file.
    """

    read: int = 0
    kept: int = 0
    rejected: int = 0
    merged: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)

    def add(self, other: "IngestStatistics") -> None:
        """Count the rows of other files too."""
        for name in ("read", "kept", "rejected", "merged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in ((self.codes, other.codes), (self.notes, other.notes)):
            for code, rows in theirs.items():
                mine[code] = mine.get(code, 0) + rows
        self.formats |= other.formats


class Rows:
    """The rows of a data set.

    Attributes:
        metadata: columns of `Example.metadata_schema` and `Example.sizes`, and `true_probability` where it is known.
        statistics: where the rows of the files went.
        fingerprint: changes when the content does.
        rejects: `rejects.jsonl`, where records were set aside.
        example: the schema.
    """

    def __init__(
        self,
        metadata: pa.Table,
        texts: pa.Table | Path | list["Rows"],
        statistics: IngestStatistics,
        fingerprint: str,
        rejects: Path | None = None,
        example: Example = PAIR,
    ) -> None:
        self.metadata, self._texts, self.statistics = metadata, texts, statistics
        self.fingerprint, self.rejects, self.example = fingerprint, rejects, example

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.metadata.num_rows

    @classmethod
    def open(cls, folder: Path, fingerprint: str, example: Example = PAIR) -> "Rows":
        """The rows in a folder that `RowWriter` filled."""
        with pa.ipc.open_file(pa.OSFile(str(folder / "metadata.arrow"))) as file:
            metadata = file.read_all()
        statistics = IngestStatistics(**json.loads((folder / "statistics.json").read_text(encoding="utf-8")))
        rejects = folder / "rejects.jsonl"
        found = rejects if rejects.is_file() else None
        return cls(metadata, folder / "texts.arrow", statistics, fingerprint, found, example)

    @classmethod
    def from_table(cls, table: pa.Table, fingerprint: str, example: Example = PAIR) -> "Rows":
        """The rows of a table in memory with the columns of both schemas; missing metadata become null, a weight 1."""
        size = table.num_rows
        columns: dict[str, Any] = {}
        for wanted in example.metadata_schema:
            absent = pa.array(np.ones(size, np.float32)) if wanted.name == "weight" else pa.nulls(size, wanted.type)
            present = wanted.name in table.column_names
            columns[wanted.name] = table[wanted.name].cast(wanted.type) if present else absent
        if "true_probability" in table.column_names:
            columns["true_probability"] = table["true_probability"]
        texts = table.select(example.texts).cast(example.text_schema)
        metadata = pa.table(columns | {name: pa.array(values) for name, values in sizes(texts, example).items()})
        return cls(metadata, texts, IngestStatistics(read=size, kept=size), fingerprint, example=example)

    @classmethod
    def concatenate(cls, parts: list["Rows"]) -> "Rows":
        """The rows of all parts, one after the other. Their rejects stay apart: only those of the first are known."""
        if len(parts) == 1:
            return parts[0]
        metadata = pa.concat_tables([part.metadata for part in parts], promote_options="default")
        statistics = IngestStatistics()
        for part in parts:
            statistics.add(part.statistics)
        fingerprint = blake2b("".join(part.fingerprint for part in parts).encode(), digest_size=16).hexdigest()
        return cls(metadata, list(parts), statistics, fingerprint, parts[0].rejects, parts[0].example)

    def with_metadata(self, metadata: pa.Table, fingerprint: str) -> "Rows":
        """The same rows with other metadata, and the fingerprint of that."""
        return Rows(metadata, self._texts, self.statistics, fingerprint, self.rejects, self.example)

    @property
    def stand_ins(self) -> list[int]:
        """Positions of the rows that stand in for records which cannot be used."""
        if self.rejects is None:
            return []
        entries = map(json.loads, self.rejects.read_text(encoding="utf-8").splitlines())
        found = [entry["position"] for entry in entries if "position" in entry]
        return [position for position in found if position < self.num_rows]

    def head(self, limit: int | None) -> "Rows":
        """The first `limit` rows; all of them for None."""
        if limit is None or limit >= self.num_rows:
            return self
        fingerprint = blake2b(f"{self.fingerprint} {limit}".encode(), digest_size=16).hexdigest()
        return self.with_metadata(self.metadata.slice(0, limit), fingerprint)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """The texts of these rows (increasing positions; all rows by default) in order, some thousand at a time."""
        start = 0
        for batch in self._text_batches():
            batch = batch.slice(0, self.num_rows - start)  # after the last row of `head` there may be more
            if positions is None:
                yield batch
            else:
                here = positions[(positions >= start) & (positions < start + batch.num_rows)] - start
                if len(here):
                    yield batch.take(pa.array(here))
            start += batch.num_rows
            if start >= self.num_rows:
                return

    def _text_batches(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._texts, list):
            for part in self._texts:
                yield from part.texts()
        elif isinstance(self._texts, Path):
            # Not memory-mapped: the pages of a mapped file would stay in this process.
            with pa.OSFile(str(self._texts)) as source, pa.ipc.open_file(source) as file:
                yield from (file.get_batch(index) for index in range(file.num_record_batches))
        else:
            yield from self._texts.to_batches(max_chunksize=ROWS_AT_ONCE)


class RowWriter:
    """Context manager that fills a folder with rows, a batch at a time.

    Args:
        folder: an existing folder; gets `metadata.arrow`, `texts.arrow` and, on `finish`, `statistics.json`.
        example: the schema.
        more: columns of metadata besides.
    """

    def __init__(self, folder: Path, example: Example, more: Sequence[pa.Field] = ()) -> None:
        self.folder, self.example = folder, example
        known = [*example.metadata_schema, *more]
        self.schema = pa.schema([*known, *example.text_schema])
        self._names = [field.name for field in known]
        self._metadata = pa.ipc.new_file(str(folder / "metadata.arrow"), pa.schema([*known, *example.sizes]))
        self._texts = pa.ipc.new_file(str(folder / "texts.arrow"), example.text_schema)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows; each has the keys of both schemas."""
        batch = pa.RecordBatch.from_pylist(rows, schema=self.schema)
        texts, metadata = batch.select(self.example.texts), batch.select(self._names)
        for name, values in sizes(pa.Table.from_batches([texts]), self.example).items():
            metadata = metadata.append_column(name, pa.array(values))
        self._metadata.write(metadata)
        self._texts.write(texts)

    def finish(self, statistics: IngestStatistics) -> None:
        """Write down where the rows went."""
        (self.folder / "statistics.json").write_text(json.dumps(asdict(statistics)), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._metadata.close()
        self._texts.close()


def sizes(texts: pa.Table, example: Example) -> dict[str, np.ndarray]:
    """`Example.sizes` of some rows, each `[R]` int64; missing turns have no characters."""
    found = {f"{name}_characters": characters(texts, name) for name in example.texts}
    turns = pc.list_value_length(texts[example.texts[0]])  # pyright: ignore[reportAttributeAccessIssue]
    return found | {"turns": turns.to_numpy().astype(np.int64)}


def characters(table: pa.Table, column: str) -> np.ndarray:
    """Characters in all turns of each row, `[R]` int64."""
    lists = table[column].combine_chunks()
    counts = pc.fill_null(pc.utf8_length(pc.list_flatten(lists)), 0)  # pyright: ignore[reportAttributeAccessIssue]
    parents = pc.list_parent_indices(lists)  # pyright: ignore[reportAttributeAccessIssue]
    return np.bincount(parents.to_numpy(), weights=counts.to_numpy(), minlength=table.num_rows).astype(np.int64)
