"""Files of comparisons to a folder of rows: every record is kept, set aside with a reason, or merged, and counted.

Files are streamed; of each row only hashes stay in memory, about 150 bytes.
"""

import json
import logging
import shutil
from array import array
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from arena.data import formats
from arena.data.cells import REPAIRABLE, RowError
from arena.data.files import Record, read_columns, read_records
from arena.data.head_format import HeadFormat
from arena.data.reply_format import ReplyFormat
from arena.data.rows import ROWS_AT_ONCE, TEXTS, Account, RowWriter
from arena.errors import DataError
from arena.schema import Share

log = logging.getLogger("arena")

Form = formats.Format | HeadFormat | ReplyFormat
Layout = str | HeadFormat | ReplyFormat
READER_VERSION = 2
"""Raise it whenever the same files give other rows: kept rows are then read again."""


@dataclass(frozen=True)
class Rules:
    """What to do with records that cannot be used as they are.

    Attributes:
        on_bad_row: "error" stops at the first, "quarantine" sets them aside in `rejects.jsonl`.
        max_rejected: share of the records that may be set aside.
        repair: join halves of surrogate pairs, and put U+FFFD for lone halves, NUL and bytes that are not UTF-8.
    """

    on_bad_row: Literal["error", "quarantine"] = "error"
    max_rejected: Share = 0.005
    repair: bool = False


def recognise_file(path: Path, layout: Layout = "auto") -> tuple[list[str], Form]:
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
    else:
        form = layout.of(columns) if isinstance(layout, ReplyFormat) else layout
    formats.require_columns(path, columns, form)
    return columns, form


def ingest(paths: list[Path], layout: Layout, rules: Rules, folder: Path, rejects: Path | None = None) -> None:
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
    truth = any("true_probability" in columns for _, _, columns, _ in known)
    with ExitStack() as stack:
        writer = stack.enter_context(RowWriter(folder, truth, heads=isinstance(layout, HeadFormat)))
        desk = _Desk(rules, writer, folder / "rejects.jsonl")
        stack.callback(desk.close)
        for path, name, _, form in known:
            desk.read(path, name, form)
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


def _stop(paths: list[Path], rules: Rules, account: Account, folder: Path, rejects: Path | None) -> None:
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


class _Desk:
    """Takes the records of one file after the other: keeps, rejects or merges each, and counts."""

    def __init__(self, rules: Rules, writer: RowWriter, rejects: Path) -> None:
        self.rules = rules
        self.writer = writer
        self.account = Account()
        self.codes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.seen = _Seen()
        self._path = rejects
        self._file: IO[str] | None = None

    def read(self, path: Path, name: str, form: Form) -> None:
        """Take all records of one file."""
        self.account.formats[name] = form.name
        self.seen.begin(name)
        rows = []
        for row in self._rows(path, name, form):
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

    def _rows(self, path: Path, name: str, form: Form) -> Iterator[dict[str, Any]]:
        for record in read_records(path, form.used):
            self.account.read += 1
            notes: list[str] = []
            try:
                row = self._check(record, form, notes)
                is_new = self.seen.add(row, record.number)
            except RowError as error:
                self._reject(path, name, record, error)
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
        self.account.rejected += 1
        self.codes[error.code] += 1
        raw = record.raw()
        entry = {"file": name, "row": record.number, "code": error.code, "column": error.column, "reason": error.reason}
        entry |= {"raw": b64encode(raw).decode(), "sha256": sha256(raw).hexdigest(), "reader": READER_VERSION}
        if self._file is None:
            self._file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 - `close` closes it
        self._file.write(json.dumps(entry) + "\n")

    def finish(self) -> Account:
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


class _Seen:
    """The ids and contents of the rows so far, as hashes: a false match among a million rows has odds of 1 to 10^6."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}  # hash of an id -> place in the arrays below
        self.texts = array("Q")  # hash of prompt and answers
        self.labels = array("Q")  # hash of what was said about them; 0 for nothing
        self.weights = array("d")
        self.numbers = array("Q")  # number of the record in its file
        self.first = 0  # the file's first place
        self.name = ""
        self.renamed = 0

    def begin(self, name: str) -> None:
        """What follows is another file."""
        self.name = name
        self.first = len(self.texts)
        self.renamed = 0

    def add(self, row: dict[str, Any], number: int) -> bool:
        """Whether the row is new; false where another file has it. Where only its id is taken, it gets another.

        Raises:
            RowError: an earlier row of the same file has this id.
        """
        texts = _hash_texts(row)
        said = row["winner"] if "labels" not in row else (row["labels"] if any(row["labels"]) else None)
        label = 0 if said is None else _hash(f"{said} {row['probability']}")
        other = self._claim(row["id"])
        is_new = True
        if other is not None:
            if other >= self.first:
                raise self._taken(row["id"], other)
            earlier = self._claim(f"{self.name}\0{row['id']}")
            if earlier is not None:
                raise self._taken(row["id"], earlier)
            content = (texts, label, row["weight"])
            is_same = content == (self.texts[other], self.labels[other], self.weights[other])
            is_new = self._claim(f"{row['id']}\0{content}") is None and not is_same
        if is_new and other is not None:
            row["id"] = f"{self.name}:{row['id']}"
            if (owner := self._claim(row["id"])) is not None:
                raise self._taken(row["id"], owner)
            self.renamed += 1
        self.texts.append(texts)
        self.labels.append(label)
        self.weights.append(row["weight"])
        self.numbers.append(number)
        return is_new

    def _claim(self, name: str) -> int | None:
        """Give a name to the row that comes next. Returns the row that has it already."""
        place = len(self.texts)
        owner = self.places.setdefault(_hash(name), place)
        return None if owner == place else owner

    def _taken(self, name: str, owner: int) -> RowError:
        return RowError("E_DUP_ID", "id", f"{name!a} is already the id of row {self.numbers[owner]}")

    def conflicts(self) -> int:
        """Rows whose texts another row has with another label."""
        texts, labels = (np.array(values, np.uint64) for values in (self.texts, self.labels))
        said = labels > 0
        if not said.any():
            return 0
        _, text, rows = np.unique(texts[said], return_inverse=True, return_counts=True)
        _, label = np.unique(labels[said], return_inverse=True)
        several = np.bincount(np.unique(text * (label.max() + 1) + label) // (label.max() + 1)) > 1
        return int(rows[several].sum())


def _hash_texts(row: dict[str, Any]) -> int:
    turns = [row[name] for name in TEXTS]
    sizes = [[None if turn is None else len(turn) for turn in some] for some in turns]
    return _hash(f"{sizes}" + "".join([turn for some in turns for turn in some if turn]))


def _hash(text: str) -> int:
    """60 bits: they fit into the smaller kind of Python integers."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 4
