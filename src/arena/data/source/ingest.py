"""Files to a folder of rows: every record is kept, set aside with a reason, or merged, and counted.

Files are streamed; of each row only hashes stay in memory, about 200 bytes.
"""

import json
import logging
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from arena.core.errors import DataError
from arena.core.schema import Count, OutputPath, Share
from arena.data.source.codes import RowError
from arena.data.source.examples import TRUE_PROBABILITY, Example
from arena.data.source.files import Record, read_columns, read_records
from arena.data.source.formats import Format
from arena.data.source.rows import ROWS_AT_ONCE, IngestStatistics, RowWriter

log = logging.getLogger("arena")

READER_VERSION = 5
"""Raise it whenever the same files give other rows: kept rows are then read again."""
DATA_VERSION = 2
"""Of the fingerprint that a run records of its data. It stays, so that an older run still knows its files."""


@dataclass(frozen=True)
class Ingest:
    """How files become rows: the node `data.ingest`.

    Attributes:
        limit: take only the first rows.
        on_bad_row: "error" stops at the first record that cannot be used, "quarantine" sets them aside in `rejects`.
        max_rejected: share of the records that may be set aside.
        rejects: file that gets the records which cannot be used.
    """

    limit: Count | None = None
    on_bad_row: Literal["error", "quarantine"] = "error"
    max_rejected: Share = 0.005
    rejects: OutputPath | None = None


def ingest(
    files: list[tuple[Path, str, Format]], how: Ingest, folder: Path, rejects: Path | None, stand_ins: bool
) -> None:
    """Fill `folder` (see `rows.RowWriter`) with the rows of all files, in order.

    Args:
        files: csv, jsonl or parquet files with a name and a format each.
        how: what to do with bad records.
        folder: an existing, empty folder; gets `rejects.jsonl` too if records were set aside.
        rejects: where to leave a copy of `rejects.jsonl` if too many records were set aside.
        stand_ins: write a row with the id and no text in the place of each bad record, however many there are.

    Raises:
        InputOutputError, DataError: a file cannot be read; the first bad record, if `how` says so; too many bad
            records; no row at all.
    """
    columns = [read_columns(path) for path, _, _ in files]
    has_truth = any(TRUE_PROBABILITY.name in names for names in columns)
    form = files[0][2]
    aside = folder / "rejects.jsonl"
    with (
        RowWriter(folder, form.example, [TRUE_PROBABILITY] if has_truth else []) as writer,
        open(aside, "w", encoding="utf-8") as file,
    ):
        chosen = _RecordFilter(form.example, how, stand_ins, file)
        for (path, name, form), names in zip(files, columns, strict=True):
            rows = []
            for row in chosen.rows(path, name, form, names):
                rows.append(row)
                if len(rows) == ROWS_AT_ONCE:
                    writer.write(rows)
                    rows = []
            if rows:
                writer.write(rows)
        statistics = chosen.finish()
        writer.finish(statistics)
    if not statistics.rejected:
        aside.unlink()
    paths = ", ".join(str(path) for path, _, _ in files)
    if not stand_ins and how.max_rejected < statistics.rejected / max(statistics.read, 1):
        place = ""
        if rejects is not None:
            rejects.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(aside, rejects)
            place = f"; they are in {rejects}"
        shares = ", ".join(f"{code} {count / statistics.read:.2%}" for code, count in statistics.codes.items())
        raise DataError(
            f"{paths}: {statistics.rejected} of {statistics.read} records cannot be used ({shares}), more than "
            f"data.max_rejected={how.max_rejected}{place}; correct the file or allow more"
        )
    if statistics.kept == 0:
        codes = ", ".join(f"{code} {count}" for code, count in statistics.codes.items())
        why = f" ({statistics.read} records, none of which can be used: {codes})" if statistics.read else ""
        raise DataError(f"{paths}: no rows{why}; {form.hint}")


class _RecordFilter:
    """Takes the records of one file after the other: keeps, rejects or merges each, and counts."""

    def __init__(self, example: Example, how: Ingest, stand_ins: bool, rejects: IO[str]) -> None:
        self.how, self.stand_ins, self.rejects = how, stand_ins, rejects
        self.statistics, self.duplicates = IngestStatistics(), DuplicateTracker(example)
        self.codes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def rows(self, path: Path, name: str, form: Format, columns: list[str]) -> Iterator[dict[str, Any]]:
        """The rows of one file that are kept, or stand in for others."""
        self.statistics.formats[name] = form.name
        self.duplicates.begin(name)
        for record in read_records(path, form.used):
            self.statistics.read += 1
            notes: list[str] = []
            try:
                if record.error is not None:
                    raise record.error
                row = form.row(record.row or {}, record.number, notes)
                is_new = self.duplicates.add(row, record.number)
            except RowError as error:
                self._reject(path, name, record, error)
                if self.stand_ins:
                    try:
                        yield form.stand_in(record, columns) | {"source": name}
                    except RowError as cause:
                        where = f"{path}: row {record.number} cannot be used, not even its id"
                        raise DataError(f"{where}: {cause.reason}") from None
                continue
            if not is_new:
                self.statistics.merged += 1
                continue
            self.statistics.kept += 1
            self.notes.update(notes)
            row["source"] = row["source"] or name
            yield row
        if renamed := self.duplicates.renamed:
            log.warning("%s: %d ids are other rows' ids in another file; they became '%s:<id>'", name, renamed, name)

    def _reject(self, path: Path, name: str, record: Record, error: RowError) -> None:
        if self.how.on_bad_row == "error" and not self.stand_ins:
            column = f", column {error.column}" if error.column else ""
            raise DataError(
                f"{path}: row {record.number}{column}: {error.reason} ({error.code}); "
                "data.on_bad_row=quarantine sets such rows aside"
            ) from error
        position = {"position": self.statistics.kept + self.statistics.rejected} if self.stand_ins else {}
        self.statistics.rejected += 1
        self.codes[error.code] += 1
        entry = {"file": name, "row": record.number, "code": error.code, "column": error.column}
        entry |= {"reason": error.reason, "record": record.row}
        self.rejects.write(json.dumps(entry | position, default=repr) + "\n")

    def finish(self) -> IngestStatistics:
        """The statistics, once all files are read."""
        found = self.statistics
        if conflicts := self.duplicates.conflicts():
            self.notes["W_CONFLICT"] = conflicts
        found.codes, found.notes = dict(sorted(self.codes.items())), dict(sorted(self.notes.items()))
        assert found.read == found.kept + found.rejected + found.merged, found
        return found


class DuplicateTracker:
    """Ids and contents of the rows so far, as hashes: a false match among a million rows has odds of 1 to 10^6.

    Attributes:
        renamed: rows of the current file that got another id.
    """

    def __init__(self, example: Example) -> None:
        self.example = example
        self._texts, self._labels = array("Q"), array("Q")  # a label of 0 stands for none
        self._ids: set[int] = set()
        self._contents: set[int] = set()
        self.begin("")

    def begin(self, name: str) -> None:
        """The rows that follow are those of another file."""
        self._file, self.renamed = name, 0
        self._numbers: dict[int, int] = {}  # hash of an id in this file -> number of its record

    def add(self, row: dict[str, Any], number: int) -> bool:
        """Tell whether the row is new; false where another file has it. Where only its id is taken, it gets another.

        Raises:
            RowError: an earlier row of the same file has this id.
        """
        name = row["id"]
        texts = _hash(json.dumps([row[column] for column in self.example.texts], ensure_ascii=False))
        values = [row[field.name] for field in self.example.labels]
        first = values[0] if values else None
        unlabelled = first is None or (isinstance(first, list) and not any(each is not None for each in first))
        label = 0 if unlabelled else _hash(" ".join(map(str, values)))
        if (earlier := self._numbers.setdefault(_hash(name), number)) != number:
            raise RowError("E_DUP_ID", "id", f"{name!a} is already the id of row {earlier}")
        content = _hash(f"{name}\0{(texts, label, row['weight'])}")
        is_new = content not in self._contents
        self._contents.add(content)
        if is_new and _hash(name) in self._ids:
            row["id"] = f"{self._file}:{name}"
            if _hash(row["id"]) in self._ids:
                raise RowError("E_DUP_ID", "id", f"{row['id']!a} is already the id of another row")
            self.renamed += 1
        self._ids |= {_hash(name), _hash(row["id"])}
        self._texts.append(texts)
        self._labels.append(label)
        return is_new

    def conflicts(self) -> int:
        """Rows whose texts another row has with another label."""
        texts, labels = (np.array(values, np.uint64) for values in (self._texts, self._labels))
        known = labels > 0
        distinct = np.unique(np.stack([texts[known], labels[known]]), axis=1)[0]
        text, different = np.unique(distinct, return_counts=True)
        return int(np.isin(texts[known], text[different > 1]).sum())


def _hash(text: str) -> int:
    """60 bits: they fit into the smaller kind of Python integers."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 4
