"""The rows of a data set: what is known of each in memory, the texts on disk, streamed when needed.

A folder of two Arrow files holds them: `facts.arrow` (everything short) is loaded, `texts.arrow` is read a batch at a
time, so memory does not grow with the length of the texts.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
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
        facts: the columns of `Example.fact_schema` and `Example.sizes`, and `true_probability` where it is known.
        account: where the rows of the files went.
        fingerprint: changes when the content does.
        rejects: `rejects.jsonl`, where records were set aside.
        example: which columns there are.
    """

    def __init__(
        self,
        facts: pa.Table,
        texts: pa.Table | Path | list["Rows"],
        account: IngestStatistics,
        fingerprint: str,
        rejects: Path | None = None,
        example: Example = PAIR,
    ) -> None:
        self.example = example
        self.facts = facts
        self._texts = texts
        self.account = account
        self.fingerprint = fingerprint
        self.rejects = rejects

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.facts.num_rows

    @classmethod
    def open(cls, folder: Path, fingerprint: str, example: Example = PAIR) -> "Rows":
        """The rows in a folder that `RowWriter` filled."""
        with pa.ipc.open_file(pa.OSFile(str(folder / "facts.arrow"))) as file:
            facts = file.read_all()
        account = IngestStatistics(**json.loads((folder / "account.json").read_text(encoding="utf-8")))
        rejects = folder / "rejects.jsonl"
        found = rejects if rejects.is_file() else None
        return cls(facts, folder / "texts.arrow", account, fingerprint, found, example)

    @classmethod
    def from_table(cls, table: pa.Table, fingerprint: str, example: Example = PAIR) -> "Rows":
        """The rows of a table in memory with the columns of both schemas; missing facts become null."""
        columns = {f.name: _column(table, f) for f in example.fact_schema}
        if "true_probability" in table.column_names:
            columns["true_probability"] = table["true_probability"]
        texts = table.select(example.texts).cast(example.text_schema)
        facts = pa.table(columns | {name: pa.array(values) for name, values in sizes(texts, example).items()})
        account = IngestStatistics(read=table.num_rows, kept=table.num_rows)
        return cls(facts, texts, account, fingerprint, example=example)

    @classmethod
    def concatenate(cls, parts: list["Rows"]) -> "Rows":
        """The rows of all parts, one after the other. Their rejects stay apart: only those of the first are known."""
        if len(parts) == 1:
            return parts[0]
        facts = pa.concat_tables([part.facts for part in parts], promote_options="default")
        account = IngestStatistics()
        for part in parts:
            account.add(part.account)
        fingerprint = blake2b("".join(part.fingerprint for part in parts).encode(), digest_size=16).hexdigest()
        return cls(facts, list(parts), account, fingerprint, parts[0].rejects, parts[0].example)

    def with_facts(self, facts: pa.Table, fingerprint: str) -> "Rows":
        """The same rows with other facts, and the fingerprint of that."""
        return Rows(facts, self._texts, self.account, fingerprint, self.rejects, self.example)

    @property
    def stand_ins(self) -> list[int]:
        """Positions of the rows that stand in for records which cannot be used (`arena.data.source.ingest.Rules`)."""
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
        return self.with_facts(self.facts.slice(0, limit), fingerprint)

    def texts(self, positions: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
        """The texts of these rows (increasing positions; all rows by default) in order, some thousand at a time."""
        start, wanted = 0, positions
        for batch in self._text_batches():
            batch = batch.slice(0, self.num_rows - start)  # after the last row of `head` there may be more
            if wanted is None:
                yield batch
            else:
                here = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
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
                for index in range(file.num_record_batches):
                    yield file.get_batch(index)
        else:
            yield from self._texts.to_batches(max_chunksize=ROWS_AT_ONCE)


class RowWriter:
    """Context manager that fills a folder with rows, a batch at a time.

    Args:
        folder: an existing folder; gets `facts.arrow`, `texts.arrow` and, on `close`, `account.json`.
        example: which columns there are.
        more: facts besides.
    """

    def __init__(self, folder: Path, example: Example = PAIR, more: Sequence[pa.Field] = ()) -> None:
        self.folder, self.example = folder, example
        known = [*example.fact_schema, *more]
        self.schema = pa.schema([*known, *example.text_schema])
        self._fact_names = [field.name for field in known]
        self._facts = pa.ipc.new_file(str(folder / "facts.arrow"), pa.schema([*known, *example.sizes]))
        self._texts = pa.ipc.new_file(str(folder / "texts.arrow"), example.text_schema)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows; each has the keys of both schemas."""
        batch = pa.RecordBatch.from_pylist(rows, schema=self.schema)
        texts, facts = batch.select(self.example.texts), batch.select(self._fact_names)
        for name, values in sizes(pa.Table.from_batches([texts]), self.example).items():
            facts = facts.append_column(name, pa.array(values))
        self._facts.write(facts)
        self._texts.write(texts)

    def finish(self, account: IngestStatistics) -> None:
        """Write down where the rows went."""
        (self.folder / "account.json").write_text(json.dumps(asdict(account)), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._facts.close()
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


def _column(table: pa.Table, wanted: pa.Field) -> Any:
    if wanted.name in table.column_names:
        return table[wanted.name].cast(wanted.type)
    if wanted.name == "weight":
        return pa.array(np.ones(table.num_rows, np.float32))
    return pa.nulls(table.num_rows, wanted.type)
