"""Files of comparisons to a folder of rows: every record is kept, set aside with a reason, or merged, and counted.

Files are streamed; of each row only hashes stay in memory, about 150 bytes.
"""

import json
import logging
import shutil
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from arena.core.errors import DataError
from arena.core.schema import Count, OutputPath, Share
from arena.data.source import formats
from arena.data.source.cells import REPAIRABLE, RowError
from arena.data.source.examples import TRUE_PROBABILITY, Example
from arena.data.source.files import Record, read_columns, read_records
from arena.data.source.rows import ROWS_AT_ONCE, IngestStatistics, RowWriter
from arena.data.source.seen import Seen
from arena.data.source.stand_in import stand_in

log = logging.getLogger("arena")

READER_VERSION = 4
"""Raise it whenever the same files give other rows: kept rows are then read again."""
DATA_VERSION = 2
"""Of the fingerprint that a run records of its data. It stays, so that an older run still knows its files."""


class Form(Protocol):
    """What the columns of a file mean.

    Attributes:
        name: for people.
        id: column of the id.
        needed: columns that a file must have.
        used: columns that are read where a file has them.
        hint: what to do about a missing column.
        example: the kind of row that a record becomes.
    """

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def needed(self) -> tuple[str, ...]: ...
    @property
    def used(self) -> tuple[str, ...]: ...
    @property
    def hint(self) -> str: ...
    @property
    def example(self) -> Example: ...

    def row(self, raw: dict[str, Any], number: int, repair: bool, notes: list[str]) -> dict[str, Any]:
        """One row of one record, see `arena.data.source.formats.check_row`."""
        ...


class Layout(Protocol):
    """The format of every file of a data set."""

    def of(self, path: Path, columns: list[str], /) -> Form:
        """The format of a file with these columns. Raises a `DataError` where they cannot be read so."""
        ...

    def unlabelled(self) -> "Layout":
        """The same, where columns of labels need not be there."""
        ...


@dataclass(frozen=True)
class Rules:
    """What to do with records that cannot be used as they are.

    Attributes:
        on_bad_row: "error" stops at the first, "quarantine" sets them aside in `rejects.jsonl`, "stand_in" does so too
            and leaves a row with the id and no text in their place (`Rows.stand_ins`).
        max_rejected: share of the records that may be set aside.
        repair: join halves of surrogate pairs, and put U+FFFD for lone halves, NUL and bytes that are not UTF-8.
    """

    on_bad_row: Literal["error", "quarantine", "stand_in"] = "error"
    max_rejected: Share = 0.005
    repair: bool = False

    def with_stand_ins(self) -> "Rules":
        """The same with a row in the place of every record that cannot be used, however many there are."""
        return replace(self, on_bad_row="stand_in", max_rejected=1.0)


@dataclass(frozen=True)
class Ingest:
    """How files become rows: the node `data.ingest`.

    Attributes:
        limit: take only the first rows.
        on_bad_row, max_rejected, repair: see `Rules`.
        rejects: file that gets the broken rows.
    """

    limit: Count | None = None
    on_bad_row: Literal["error", "quarantine"] = "error"
    max_rejected: Share = 0.005
    repair: bool = False
    rejects: OutputPath | None = None

    @property
    def rules(self) -> Rules:
        """What to do with records that cannot be used as they are."""
        return Rules(self.on_bad_row, self.max_rejected, self.repair)


def recognise_file(path: Path, layout: str | Layout = "auto") -> tuple[list[str], Form]:
    """The columns of a file and what they mean.

    Args:
        path: the file.
        layout: a format, or a key of `formats.FORMATS`; "auto" goes by the names of the columns.

    Raises:
        InputOutputError, DataError: as `files.read_columns`, or columns that the format needs are missing.
    """
    columns = read_columns(path)
    if isinstance(layout, str):
        form = formats.recognise(columns) if layout == "auto" else formats.FORMATS[layout]
        form = form.numbered_without_id(columns)
    else:
        form = layout.of(path, columns)
    formats.require_columns(path, columns, form)
    return columns, form


def ingest(paths: list[Path], layout: str | Layout, rules: Rules, folder: Path, rejects: Path | None = None) -> None:
    """Fill `folder` (see `rows.RowWriter`) with the rows of all files, in order.

    Args:
        paths: csv, jsonl or parquet files.
        layout: see `recognise_file`.
        rules: what to do with bad records.
        folder: an existing, empty folder; gets `rejects.jsonl` too if records were set aside.
        rejects: where to leave a copy of `rejects.jsonl` if too many records were set aside.

    Raises:
        InputOutputError, DataError: a file cannot be read; the first bad record, if `rules` say so; too many bad
            records; no row at all.
    """
    known = [(path, name, *recognise_file(path, layout)) for path, name in zip(paths, names_of(paths), strict=True)]
    more = [TRUE_PROBABILITY] if any(TRUE_PROBABILITY.name in columns for _, _, columns, _ in known) else []
    with ExitStack() as stack:
        writer = stack.enter_context(RowWriter(folder, known[0][3].example, more))
        desk = _RecordFilter(rules, writer, folder / "rejects.jsonl")
        stack.callback(desk.close)
        for path, name, columns, form in known:
            desk.read(path, name, columns, form)
        account = desk.finish()
    if rules.max_rejected < account.rejected / max(account.read, 1):
        _stop(paths, rules, account, folder, rejects)
    if account.kept == 0:
        codes = ", ".join(f"{code} {count}" for code, count in account.codes.items())
        why = f" ({account.read} records, none of which can be used: {codes})" if account.read else ""
        raise DataError(f"{', '.join(map(str, paths))}: no rows{why}; {known[0][3].hint}")


def names_of(paths: list[Path]) -> list[str]:
    """A short name for each file: its own, with as many folders in front as it takes to tell the files apart."""
    longest = max((len(path.parts) for path in paths), default=1)
    for parts in range(1, longest + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"{next(str(p) for p in paths if paths.count(p) > 1)}: the file is given twice in data.path")


def _stop(paths: list[Path], rules: Rules, account: IngestStatistics, folder: Path, rejects: Path | None) -> None:
    source, place = folder / "rejects.jsonl", ""
    if rejects is not None:
        rejects.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, rejects)
        place = f"; they are in {rejects}"
    shares = ", ".join(f"{code} {count / account.read:.2%}" for code, count in account.codes.items())
    raise DataError(
        f"{', '.join(map(str, paths))}: {account.rejected} of {account.read} records cannot be used ({shares}), more "
        f"than data.max_rejected={rules.max_rejected}{place}; correct the file or allow more"
    )


class _RecordFilter:
    """Takes the records of one file after the other: keeps, rejects or merges each, and counts."""

    def __init__(self, rules: Rules, writer: RowWriter, rejects: Path) -> None:
        self.rules = rules
        self.writer = writer
        self.account = IngestStatistics()
        self.codes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.seen = Seen(writer.example)
        self._path = rejects
        self._file: IO[str] | None = None

    def read(self, path: Path, name: str, columns: list[str], form: Form) -> None:
        """Take all records of one file."""
        self.account.formats[name] = form.name
        self.seen.begin(name)
        rows = []
        for row in self._rows(path, name, columns, form):
            rows.append(row)
            if len(rows) == ROWS_AT_ONCE:
                self.writer.write(rows)
                rows = []
        if rows:
            self.writer.write(rows)
        if self.seen.renamed:
            log.warning(
                "%s: %d ids are other rows' ids in another file; they became '%s:<id>'", name, self.seen.renamed, name
            )

    def _rows(self, path: Path, name: str, columns: list[str], form: Form) -> Iterator[dict[str, Any]]:
        for record in read_records(path, form.used):
            self.account.read += 1
            notes: list[str] = []
            try:
                row = self._check(record, form, notes)
                is_new = self.seen.add(row, record.number)
            except RowError as error:
                self._reject(path, name, record, error)
                if self.rules.on_bad_row == "stand_in":
                    yield stand_in(path, columns, record, form) | {"source": name}
                continue
            if not is_new:
                self.account.merged += 1
                continue
            self.account.kept += 1
            self.notes.update(notes)
            row["source"] = row["source"] or name
            yield row

    def _check(self, record: Record, form: Form, notes: list[str]) -> dict[str, Any]:
        """The row of a record. Only a record that cannot be used as it stands is repaired."""
        try:
            if record.error is not None:
                raise record.error
            return form.row(record.row or {}, record.number, False, notes)
        except RowError as error:
            if not self.rules.repair or record.row is None or error.code not in REPAIRABLE:
                raise
            notes.clear()
            row = form.row(record.row, record.number, True, notes)
            notes.append("W_REPAIRED")
            return row

    def _reject(self, path: Path, name: str, record: Record, error: RowError) -> None:
        if self.rules.on_bad_row == "error":
            column = f", column {error.column}" if error.column else ""
            raise DataError(
                f"{path}: row {record.number}{column}: {error.reason} ({error.code}); "
                "data.on_bad_row=quarantine sets such rows aside"
            ) from error
        position = self.account.kept + self.account.rejected
        self.account.rejected += 1
        self.codes[error.code] += 1
        raw = record.raw()
        entry = {"file": name, "row": record.number, "code": error.code, "column": error.column, "reason": error.reason}
        entry |= {"raw": b64encode(raw).decode(), "sha256": sha256(raw).hexdigest(), "reader": READER_VERSION}
        entry |= {"position": position} if self.rules.on_bad_row == "stand_in" else {}
        if self._file is None:
            self._file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 - `close` closes it
        self._file.write(json.dumps(entry) + "\n")

    def finish(self) -> IngestStatistics:
        """The account, once all files are read; also written down."""
        account = self.account
        account.codes = dict(sorted(self.codes.items()))
        if conflicts := self.seen.conflicts():
            self.notes["W_CONFLICT"] = conflicts
        account.notes = dict(sorted(self.notes.items()))
        assert account.read == account.kept + account.rejected + account.merged, account
        self.writer.finish(account)
        return account

    def close(self) -> None:
        """Close the file of rejects."""
        if self._file is not None:
            self._file.close()
